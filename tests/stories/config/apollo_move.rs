//! An app moves in from Apollo: its export is looked at, imported, changed as one set and approved by somebody else.

use pilothouse_config_exchange::{Entry, Profile, apollo};
use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, PASSWORD, ROOT};

/// Keys of the export.
const KEYS: usize = 300;

#[tokio::test]
async fn an_app_moves_in_from_apollo_on_sqlite() {
    run(&Installation::sqlite()).await;
}

#[tokio::test]
async fn an_app_moves_in_from_apollo_on_postgres() {
    let place = "config::apollo_move::an_app_moves_in_from_apollo_on_postgres";
    let Some(postgres) = postgres_or_skip(place) else { return };
    run(&Installation::postgres(&postgres.database())).await;
}

/// An export with values of every kind, two clusters and three namespaces.
fn export() -> Vec<Profile> {
    let entry = |n: usize| {
        let key = match n % 3 {
            0 => format!("key.{n:03}"),
            1 => format!("db/pool.{n:03}"),
            _ => format!("DEMO.shared/limit-{n:03}"),
        };
        let value = ["Grüße, 世界 😀", "first\nsecond = 2\n", " kept blanks ", "C:\\temp\\new", ""][n % 5];
        let description = if n.is_multiple_of(7) { format!("number {n}\nof {KEYS}") } else { String::new() };
        Entry { key, value: format!("{value}{n}"), description }
    };
    let profile = |profile: &str, entries: Vec<Entry>| Profile {
        app: "shop".to_owned(),
        profile: profile.to_owned(),
        entries,
    };
    vec![profile("default", (0..KEYS).map(entry).collect()), profile("zone-b", vec![entry(0), entry(1)])]
}

/// Key, value and description of every config of a profile, by key.
async fn items(client: &ApiClient, profile: &str) -> Vec<[String; 3]> {
    let query = json!({"app": "shop", "profile": profile});
    let answer = client.post("/config/query", query).await.ok();
    let rows = answer["data"].as_array().unwrap().iter();
    let mut items: Vec<_> = rows
        .map(|row| ["Key", "Value", "Description"].map(|name| row[name].as_str().unwrap().to_owned()))
        .collect();
    items.sort();
    items
}

fn actions(answer: &Value, action: &str) -> usize {
    answer["data"]["Changes"].as_array().unwrap().iter().filter(|change| change["Action"] == action).count()
}

async fn run(installation: &Installation) {
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    let ann = json!({"mail": "ann@example.com", "name": "ann", "passwd": PASSWORD, "department": "", "permissions": ""});
    root.post("/admin/user", json!({"action": "add", "data": ann})).await.ok();
    let ann = root.login("ann").await;
    ann.post("/app/create", json!({"app": "shop", "appType": 0, "name": "Shop", "charger": "ann"}))
        .await
        .ok();

    let profiles = export();
    let archive = apollo::write(&profiles).unwrap();
    let tried = ann.octets("/config/import?format=apollo&dryRun=true", archive.clone()).await.ok();
    assert_eq!((actions(&tried, "create"), &tried["data"]["ChangeSet"]), (KEYS + 2, &json!(0)));
    assert_eq!(tried["data"]["Dropped"], json!([]));
    assert_eq!(items(&ann, "default").await, <Vec<[String; 3]>>::new());
    let done = ann.octets("/config/import?format=apollo&title=moved", archive.clone()).await.ok();
    assert_eq!((actions(&done, "create"), done["data"]["Profiles"].as_array().unwrap().len()), (KEYS + 2, 2));
    for Profile { profile, entries, .. } in &profiles {
        let mut expected: Vec<_> =
            entries.iter().map(|of| [of.key.clone(), of.value.clone(), of.description.clone()]).collect();
        expected.sort();
        assert_eq!(items(&ann, profile).await, expected, "{profile}");
    }
    let again = ann.octets("/config/import?format=apollo", archive).await.ok();
    assert_eq!((actions(&again, "same"), &again["data"]["ChangeSet"]), (KEYS + 2, &json!(0)));

    // 50 keys are changed and two deleted, as one set that somebody else approves.
    let mut changes: Vec<Value> = profiles[0].entries[..50]
        .iter()
        .map(|of| json!({"key": of.key, "value": format!("{} changed", of.value), "version": 1}))
        .collect();
    changes.extend(profiles[0].entries[50..52].iter().map(|of| json!({"key": of.key, "delete": true})));
    let mut set =
        json!({"app": "shop", "profile": "default", "title": "feature", "changes": changes, "dryRun": true});
    let tried = ann.post("/config/apply", set.clone()).await.ok();
    assert_eq!((actions(&tried, "update"), actions(&tried, "delete")), (50, 2));
    set["dryRun"] = json!(false);
    let made = ann.post("/config/apply", set).await.ok();
    let id = made["data"]["ChangeSet"].as_i64().unwrap();
    root.post("/changeset/approve", json!({"changeset": id})).await.ok();
    let listed = ann.get("/changeset/list?app=shop&profile=default&state=approved").await.ok();
    assert_eq!(
        (listed["data"][0]["Title"].as_str(), listed["data"][0]["Size"].as_i64()),
        (Some("feature"), Some(52))
    );
    assert_eq!(items(&ann, "default").await.len(), KEYS - 2);
}
