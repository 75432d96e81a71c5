//! Imports: log-ins of Django's users, limits with their places, progress.

use std::sync::Arc;

use pilothouse_core::import::{ImportDocument, ImportKind, ImportMode, ImportProgress, ImportReport};
use pilothouse_core::{Error, ErrorKind, Pilothouse, Result, Settings};
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

const PASSWORD: &str = "lètmein";
/// Hash of [`PASSWORD`], made by Python's `hashlib`.
const HASH: &str = "pbkdf2_sha256$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=";

fn pilothouse() -> Pilothouse {
    Pilothouse::new(Arc::new(MemoryStorage::new().strict()), Settings::default()).unwrap()
}

async fn import(pilothouse: &Pilothouse, document: Value) -> Result<ImportReport> {
    let document: ImportDocument = serde_json::from_value(document).unwrap();
    pilothouse.imports().run(&document, ImportMode::Commit, &mut ()).await
}

fn ann() -> Value {
    json!({"accounts": [{"name": "ann", "mail": "ann@example.com", "password": HASH}]})
}

/// With the right password only, and after that with the same password by another hash.
#[tokio::test]
async fn a_django_user_logs_in_and_is_hashed_again() {
    let pilothouse = pilothouse();
    import(&pilothouse, ann()).await.unwrap();
    let hash = async || {
        let mut snapshot = pilothouse.storage().read().await.unwrap();
        snapshot.accounts().by_name("ann").await.unwrap().unwrap().password.unwrap()
    };
    let refused = pilothouse.logins().login("ann", "letmein", None).await.unwrap_err();
    assert!(matches!(refused, Error::Unauthenticated));
    assert_eq!(hash().await, HASH);
    let access = pilothouse.logins().login("ann@example.com", PASSWORD, None).await.unwrap();
    assert_eq!(access.account.version, 2);
    let renewed = hash().await;
    assert!(renewed.starts_with("$argon2id$"), "{renewed}");
    pilothouse.logins().login("ann", PASSWORD, None).await.unwrap();
    assert_eq!(hash().await, renewed);
    pilothouse.logins().login("ann", "letmein", None).await.unwrap_err();
    let again = import(&pilothouse, ann()).await.unwrap();
    assert_eq!(again.of(ImportKind::Accounts).skipped, 1, "another hash of the password is no difference");
    assert_eq!(hash().await, renewed);
}

/// All but one of them find another hash than the one that they compared the password with.
#[tokio::test]
async fn first_log_ins_at_once_all_succeed() {
    let pilothouse = pilothouse();
    let mut document = ann();
    document["customers"] = json!([{"login_email": "ann@example.com", "password": HASH}]);
    import(&pilothouse, document).await.unwrap();
    let login = async || pilothouse.logins().login("ann", PASSWORD, None).await;
    let cdn_login = async || pilothouse.cdn_logins().login("ann@example.com", PASSWORD, None).await;
    let done = tokio::join!(login(), login(), login(), cdn_login(), cdn_login());
    assert!(done.0.is_ok() && done.1.is_ok() && done.2.is_ok(), "log-ins to the account");
    assert!(done.3.is_ok() && done.4.is_ok(), "log-ins to the cdns");
}

#[tokio::test]
async fn a_customer_logs_in_to_the_cdns_and_is_hashed_again() {
    let pilothouse = pilothouse();
    let mut document = ann();
    let bob = json!({"name": "bob", "mail": "bob@example.com"});
    document["accounts"].as_array_mut().unwrap().push(bob);
    document["customers"] = json!([
        {"login_email": "ann@example.com", "password": HASH},
        {"login_email": "bob@example.com", "password": "!unusable"},
    ]);
    import(&pilothouse, document).await.unwrap();
    let logins = pilothouse.cdn_logins();
    logins.login("ann@example.com", "letmein", None).await.unwrap_err();
    let access = logins.login("ann@example.com", PASSWORD, None).await.unwrap();
    let mut snapshot = pilothouse.storage().read().await.unwrap();
    let customer = snapshot.customers().find(access.account.id).await.unwrap().unwrap();
    drop(snapshot);
    assert!(customer.password.starts_with("$argon2id$"));
    logins.login("ann@example.com", PASSWORD, None).await.unwrap();
    for password in ["!unusable", "!", "unusable"] {
        let refused = logins.login("bob@example.com", password, None).await.unwrap_err();
        assert!(matches!(refused, Error::Unauthenticated), "{refused:?}");
    }
    let refused = pilothouse.logins().login("bob", "", None).await.unwrap_err();
    assert!(matches!(refused, Error::Unauthenticated), "{refused:?}");
}

/// A document with a mistake, the beginning of the error that names its place, and a word of the reason.
fn mistakes() -> Vec<(Value, &'static str, &'static str)> {
    let machine = |member: &str, value: Value| {
        let mut machine = json!({"machine_name": "a", "inside_ip": "::1", "outside_ip": "::1", "usage": "web",
            "is_initialized": true, "location": "x"});
        machine[member] = value;
        json!({"machines": [machine]})
    };
    let account = |member: &str, value: Value| {
        let mut account = json!({"name": "a", "mail": "a@example.com"});
        account[member] = value;
        json!({"accounts": [{"name": "z", "mail": "z@example.com"}, account]})
    };
    let app = json!([{"app": "app1", "app_type": 0, "name": "n", "charger": "c"}]);
    let item = |member: &str, value: Value| {
        let mut item = json!({"app": "app1", "profile": "dev", "key": "k",
            "versions": [{"version": 1, "value": "v"}]});
        item[member] = value;
        json!({"apps": app, "items": [item]})
    };
    let customer = |member: &str, value: Value| {
        let mut customer = json!({"login_email": "a@example.com"});
        customer[member] = value;
        json!({"accounts": [{"name": "a", "mail": "a@example.com"}], "cdns": [{"name": "level3"}],
            "customers": [customer]})
    };
    let figures = |fluxs: Value, bandwidths: Value| {
        let mut document = customer("domains", json!([{"cdn": "level3", "domain": "a.test"}]));
        document["figures"] =
            json!([{"cdn": "level3", "domain": "a.test", "fluxs": fluxs, "bandwidths": bandwidths}]);
        document
    };
    let grant = |account: &str, app: &str, permission: i64| {
        json!({"apps": [{"app": "app1", "app_type": 0, "name": "n", "charger": "c"}],
            "accounts": [{"name": "a", "mail": "a@example.com"}],
            "grants": [{"account": account, "app": app, "permission": permission}]})
    };
    vec![
        (machine("machine_name", json!("")), "machines[0].machine_name: ", "empty"),
        (machine("machine_name", json!(" a")), "machines[0].machine_name: ", "blank"),
        (machine("outside_ip", json!("1.2.3")), "machines[0].outside_ip: ", "address"),
        (machine("id", json!(0)), "machines[0].id: ", "from 1 to 1000000000000"),
        (machine("location", json!("x".repeat(257))), "machines[0].location: ", "at most 256 bytes, not 257"),
        (account("name", json!("a@b")), "accounts[1].name: ", "@"),
        (account("mail", json!("a.example")), "accounts[1].mail: ", "mail address"),
        (account("permissions", json!("1,10")), "accounts[1].permissions: ", "1 to 9"),
        (account("password", json!("md5$a$b")), "accounts[1].password: ", "pbkdf2_sha256"),
        (account("id", json!(-1)), "accounts[1].id: ", "from 1"),
        (account("name", json!("Z")), "accounts[1]: ", "differs in name, mail"),
        (
            json!({"companies": [{"company_name": "c", "owner_email": "x@y"}]}),
            "companies[0].owner_email: ",
            "no account",
        ),
        (json!({"cdns": [{"name": "a b"}]}), "cdns[0].name: ", "letters"),
        (json!({"customers": [{"login_email": "x@y"}]}), "customers[0].login_email: ", "no account"),
        (customer("cdns", json!(["other"])), "customers[0].cdns[0]: ", "no cdn"),
        (customer("password", json!("x")), "customers[0].password: ", "pbkdf2_sha256"),
        (
            customer("domains", json!([{"cdn": "level3", "domain": "*.a"}])),
            "customers[0].domains[0].domain: ",
            "host",
        ),
        (figures(json!([[1, 1]]), json!([])), "figures[0].fluxs[0].timeStamp: ", "multiple of 300"),
        (figures(json!([[300, -1]]), json!([])), "figures[0].fluxs[0].value: ", "from 0 to"),
        (figures(json!([[300, 1], [300, 1]]), json!([])), "figures[0].fluxs[1].timeStamp: ", "twice"),
        (figures(json!([]), json!([[300, 1], [300, 1]])), "figures[0].bandwidths[1].timeStamp: ", "twice"),
        (figures(json!([[300, 300]]), json!([[300, 80]])), "figures[0].bandwidths[0].value: ", "300 bytes"),
        (json!({"figures": [{"cdn": "level3", "domain": "a.test"}]}), "figures[0].cdn: ", "no cdn"),
        (
            json!({"apps": [{"app": "all", "app_type": 0, "name": "n", "charger": "c"}]}),
            "apps[0].app: ",
            "reserved",
        ),
        (grant("b", "app1", 1), "grants[0].account: ", "no account"),
        (grant("a", "app2", 1), "grants[0].app: ", "no app"),
        (grant("a", "app1", 2), "grants[0].permission: ", "1 or 9"),
        (grant("a", "all", 1), "grants[0].permission: ", "9"),
        (item("profile", json!("a/b")), "items[0].profile: ", "A-Z"),
        (item("app", json!("app2")), "items[0].app: ", "no app"),
        (item("versions", json!([])), "items[0].versions: ", "at least one"),
        (
            item("versions", json!([{"version": 2, "value": ""}, {"version": 2, "value": ""}])),
            "items[0].versions[1].version: ",
            "twice",
        ),
        (
            item("versions", json!([{"version": 1, "value": "a\u{1}"}])),
            "items[0].versions[0].value: ",
            "U+0001",
        ),
        (
            item("versions", json!([{"version": 1, "value": "", "modify_time": -1}])),
            "items[0].versions[0].modify_time: ",
            "unix seconds",
        ),
        (item("released", json!({"version": 2})), "items[0].released.version: ", "one of the versions"),
    ]
}

#[tokio::test]
async fn the_place_and_the_limit_of_a_mistake_are_named() {
    let pilothouse = pilothouse();
    for (document, place, word) in mistakes() {
        let refused = import(&pilothouse, document.clone()).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Invalid | ErrorKind::Conflict), "{document}: {refused}");
        let text = refused.to_string();
        assert!(text.starts_with(place) && text.contains(word), "{document}: {text}");
    }
    assert!(!pilothouse.accounts().any().await.unwrap(), "nothing of it was imported");
}

/// The page for those who move in shows a document that is one.
#[tokio::test]
async fn the_documented_example_is_imported() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/moving.md")).unwrap();
    let (_, example) = page.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let report = import(&pilothouse(), serde_json::from_str(example).unwrap()).await.unwrap();
    for kind in ImportKind::ALL {
        let is_shown = !matches!(kind, ImportKind::Companies | ImportKind::Machines);
        let counts = report.of(kind);
        assert_eq!((counts.imported > 0, counts.all_notes), (is_shown, 0), "{kind:?}: {:?}", counts.notes);
    }
}

#[tokio::test]
async fn two_records_with_one_id_are_refused() {
    let accounts = json!([{"id": 5, "name": "a", "mail": "a@b"}, {"id": 5, "name": "b", "mail": "b@b"}]);
    let refused = import(&pilothouse(), json!({"accounts": accounts})).await.unwrap_err();
    assert_eq!(refused.to_string(), "accounts[1].id: is the id of accounts[0], too");
}

/// Numbers of versions are kept, also where some are missing; behind a deleted item of the same key they go on.
#[tokio::test]
async fn versions_keep_their_numbers() {
    let pilothouse = pilothouse();
    let versions = json!([{"version": 7, "value": "seven"}, {"version": 3, "value": "three"}]);
    let item = json!({"app": "app1", "profile": "dev", "key": "k", "versions": versions, "released": {"version": 3}});
    let app = json!({"app": "app1", "app_type": 0, "name": "n", "charger": "c"});
    let document = json!({"apps": [app], "items": [item]});
    let report = import(&pilothouse, document.clone()).await.unwrap();
    assert_eq!(report.of(ImportKind::Items).notes, [""; 0]);
    let mut work = pilothouse.storage().begin().await.unwrap();
    let app = work.apps().by_name("app1").await.unwrap().unwrap();
    let item = work.items().find(app.id, "dev", "k").await.unwrap().unwrap();
    assert_eq!((item.current.version, &*item.current.content.value), (7, "seven"));
    assert_eq!((item.published_version, &*item.published_value), (3, "three"));
    assert!(work.items().delete(item.id, 7, None).await.unwrap());
    work.commit().await.unwrap();
    let report = import(&pilothouse, document).await.unwrap();
    let notes = &report.of(ImportKind::Items).notes;
    assert!(notes[0].ends_with("numbers go on behind its: 3 became 8"), "{notes:?}");
    let mut snapshot = pilothouse.storage().read().await.unwrap();
    let item = snapshot.items().find(app.id, "dev", "k").await.unwrap().unwrap();
    assert_eq!((item.current.version, item.published_version, &*item.published_value), (9, 8, "three"));
}

/// The last progress of each kind.
#[derive(Default)]
struct Last(Vec<(ImportKind, usize, usize)>);

impl ImportProgress for Last {
    fn advance(&mut self, kind: ImportKind, done: usize, all: usize) {
        self.0.retain(|(known, ..)| *known != kind);
        self.0.push((kind, done, all));
    }
}

#[tokio::test]
async fn progress_ends_with_all() {
    let mut document = ann();
    document["cdns"] = json!([{"name": "level3"}, {"name": "qcould"}, {"name": "qcloud"}]);
    document["customers"] = json!([{"login_email": "ann@example.com", "domains":
        [{"cdn": "level3", "domain": "a.test"}, {"cdn": "level3", "domain": "A.TEST"}]}]);
    let points = json!([[300, 38], [600, 0], [900, 5]]);
    document["figures"] =
        json!([{"cdn": "level3", "domain": "a.test", "fluxs": points, "bandwidths": [[300, 1], [1200, 1]]}]);
    let document: ImportDocument = serde_json::from_value(document).unwrap();
    let mut last = Last::default();
    pilothouse().imports().run(&document, ImportMode::DryRun, &mut last).await.unwrap();
    let expected = [
        (ImportKind::Accounts, 1),
        (ImportKind::Cdns, 3),
        (ImportKind::Customers, 1),
        (ImportKind::Domains, 2),
        (ImportKind::Figures, 5),
    ];
    assert_eq!(last.0, expected.map(|(kind, count)| (kind, count, count)));
}
