//! A company moves in: 50 machines, 20 accounts of Django, 10 apps and 3 customers, from one file into each store.

use std::fs;

use pilothouse_test_support::postgres_or_skip;
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, PASSWORD, ROOT};

/// Django's hash of [`PASSWORD`], made by Python's `hashlib`.
const HASH: &str = "pbkdf2_sha256$20000$NaCl$PHMUIR7/UjMNriYCVWSlQRJZDYn68Xi2igDnF0pprvk=";
/// First bucket of the customers' traffic.
const FIRST: i64 = 1_470_297_000;
/// Buckets of each domain: three days and a bit.
const BUCKETS: i64 = 900;

#[tokio::test]
async fn a_company_moves_in_on_sqlite() {
    let installation = Installation::sqlite();
    run(&installation).await;
}

#[tokio::test]
async fn a_company_moves_in_on_postgres() {
    let Some(postgres) = postgres_or_skip("server::import::a_company_moves_in_on_postgres") else { return };
    run(&Installation::postgres(&postgres.database())).await;
}

async fn run(installation: &Installation) {
    let file = installation.file("company.json");
    fs::write(&file, company().to_string()).unwrap();

    let tried = installation.run(&["import", "company.json", "--dry-run"], "");
    assert_eq!(tried.code, Some(0), "{tried:?}");
    let report = tried.stdout.strip_suffix("dry run: nothing was changed\n").unwrap();
    for line in [
        "accounts: 20 imported, 0 skipped\n",
        "companies: 1 imported, 0 skipped\n",
        "customers: 3 imported, 0 skipped\n",
        "domains: 3 imported, 0 skipped\n",
        "figures: 2700 imported, 0 skipped\n",
        "apps: 10 imported, 0 skipped\n",
        "grants: 20 imported, 0 skipped\n",
        "items: 30 imported, 0 skipped\n",
        "machines: 50 imported, 0 skipped\n",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    refuse_a_broken_file(installation);
    let imported = installation.run(&["import", "-"], &company().to_string());
    assert_eq!((imported.code, &*imported.stdout), (Some(0), report), "{imported:?}");

    let server = installation.serve().await;
    let anonymous = ApiClient::new(&[&server]);
    let root = anonymous.login(ROOT).await;
    accounts(&anonymous, &root).await;
    let machines = root.all("/api/machine_info").await;
    assert_eq!(machines.len(), 50);
    assert_eq!((&machines[49]["id"], &machines[49]["machine_name"]), (&json!(149), &json!("web49")));
    apps(&anonymous).await;
    customers(&anonymous).await;

    let again = installation.run(&["import", "company.json"], "");
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("items[0]: the config app0/prod/key0 exists and differs"), "{again:?}");
}

/// The last of its machines has an address that is none: the place is named, and nothing stays.
fn refuse_a_broken_file(installation: &Installation) {
    let mut broken = company();
    broken["machines"][49]["inside_ip"] = json!("10.0.0");
    fs::write(installation.file("broken.json"), broken.to_string()).unwrap();
    let refused = installation.run(&["import", "broken.json"], "");
    assert_eq!((refused.code, &*refused.stdout), (Some(1), ""), "{refused:?}");
    let reason = "broken.json: nothing was imported: machines[49].inside_ip: must be an IPv4 or IPv6 address";
    assert!(refused.stderr.contains(reason), "{refused:?}");
    fs::write(installation.file("broken.json"), "{\"machines\": [{\"machine_nam\": 1}]}").unwrap();
    let refused = installation.run(&["import", "broken.json"], "");
    assert!(refused.code == Some(1) && refused.stderr.contains("machines[0].machine_nam"), "{refused:?}");
}

/// Every Django user logs in, and again after the password was hashed anew; a wrong password never does.
async fn accounts(anonymous: &ApiClient, root: &ApiClient) {
    for n in 0..20 {
        let name = format!("user{n}");
        for _ in 0..2 {
            anonymous.try_login(&name, PASSWORD).await.ok();
        }
    }
    assert_eq!(anonymous.try_login("user0", "wrong").await.codes(), (403, 403));
    let user = root.get("/admin/user?username=user7").await.ok();
    assert_eq!(user["info"]["id"], 1007);
    assert_eq!((&user["info"]["permissions"], &user["info"]["department"]), (&json!("1,4"), &json!("dev")));
}

/// Nodes get what was released, and a program that remembers the id of an item publishes its next version by it.
async fn apps(anonymous: &ApiClient) {
    for n in 0..10 {
        let app = format!("app{n}");
        let manager = anonymous.login(&format!("user{n}")).await;
        let key = manager.post("/app/key/create", json!({"app": app})).await.ok();
        let node = anonymous.with_token(key["data"]["Key"].as_str().unwrap());
        let config = format!("/node/config?app={app}&profile=prod&nodeId=node-1");
        let released = async || {
            let held = node.get(&config).await.ok();
            let items = held["data"]["Items"].as_array().unwrap().clone();
            items.into_iter().map(|item| (item["Key"].clone(), item["Value"].clone())).collect::<Vec<_>>()
        };
        let register = json!({"app": app, "profile": "prod", "nodeId": "node-1", "pid": "1"});
        node.post("/node/register", register).await.ok();
        let old = format!("released {n}");
        assert_eq!(released().await, [(json!("key0"), json!(old)), (json!("key1"), json!(old))]);

        let item = json!({"app": app, "profile": "prod", "key": "key0"});
        let found = manager.post("/config/queryWithKey", item.clone()).await.ok();
        let id = 500 + 3 * n;
        assert_eq!((&found["data"]["Id"], &found["data"]["Version"]), (&json!(id), &json!(2)));
        assert_eq!(
            (&found["data"]["Value"], &found["data"]["PublishedVersion"]),
            (&json!("draft"), &json!(1))
        );
        let listed = manager.get(&format!("/config/query?app={app}&profile=prod")).await.ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), 3);
        manager.post("/config/approve", item.clone()).await.ok();
        manager.post("/publish", json!({"id": id})).await.ok();
        assert_eq!(released().await[0], (json!("key0"), json!("draft")));
        let mut changed = item;
        changed["value"] = json!("changed after the move");
        manager.post("/config/update", changed).await.ok();
    }
}

/// Each customer reads its own traffic, by both series.
async fn customers(anonymous: &ApiClient) {
    for n in 0..3 {
        let access = json!({"login_email": format!("user{}@example.com", 10 + n), "password": PASSWORD});
        for _ in 0..2 {
            anonymous.post("/level3/login", access.clone()).await.ok();
        }
        let token = anonymous.post("/level3/login", access).await.ok()["token"].as_str().unwrap().to_owned();
        let customer = anonymous.with_token(&token);
        let last = FIRST + (BUCKETS - 1) * 300;
        let range = format!("domain=cdn{n}.example.com&startTime={FIRST}&endTime={last}");
        let values = async |series: &str| {
            let answer = customer.get(&format!("/level3/{series}?{range}")).await.ok();
            let points = answer["results"].as_array().unwrap().clone();
            points.iter().map(|point| point["value"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        let expected: Vec<_> = (0..BUCKETS).map(|bucket| flux(n, bucket)).collect();
        assert_eq!(values("fluxs").await, expected);
        let expected: Vec<_> = expected.iter().map(|flux| (flux * 8 + 150) / 300).collect();
        assert_eq!(values("bandwidths").await, expected);
        let foreign =
            format!("/level3/fluxs?domain=cdn{}.example.com&startTime={FIRST}&endTime={last}", (n + 1) % 3);
        assert_eq!(customer.get(&foreign).await.codes(), (200, 4));
    }
}

/// Bytes of a customer's bucket.
fn flux(customer: i64, bucket: i64) -> i64 {
    (bucket * 7919 + customer) % 1_000_003 * 1000
}

fn company() -> Value {
    let machines = (0..50).map(|n| {
        json!({"id": 100 + n, "machine_name": format!("web{n:02}"), "inside_ip": format!("10.2.2.{n}"),
            "outside_ip": format!("111.111.11.{n}"), "userage": "web 服务器", "is_initialized": n % 2,
            "location": "阿里云"})
    });
    let accounts = (0..20).map(|n| {
        json!({"id": 1000 + n, "mail": format!("user{n}@example.com"), "name": format!("user{n}"),
            "department": "dev", "permissions": "1,4", "password": HASH})
    });
    let customers = (0..3).map(|n| {
        json!({"login_email": format!("user{}@example.com", 10 + n), "password": HASH, "operations": 1,
            "domains": [{"cdn": "level3", "domain": format!("cdn{n}.example.com")}]})
    });
    let figures = (0..3).map(|n| {
        let points: Vec<_> =
            (0..BUCKETS).map(|bucket| json!([FIRST + bucket * 300, flux(n, bucket)])).collect();
        json!({"cdn": "level3", "domain": format!("cdn{n}.example.com"), "fluxs": points})
    });
    let apps = (0..10).map(|n| {
        json!({"id": 50 + n, "app": format!("app{n}"), "app_type": 0, "name": "应用", "charger": "dyf",
            "create_time": 1_499_940_862})
    });
    let grants = (0..20).map(|n| {
        let (app, permission) = (n % 10, if n < 10 { 9 } else { 1 });
        json!({"app": format!("app{app}"), "account": format!("user{n}"), "permission": permission})
    });
    let items = (0..30).map(|n| {
        let (app, key) = (n / 3, n % 3);
        let old = json!({"version": 1, "value": format!("released {app}"), "modifier": "user0", "approved": 1,
            "approver": "user1", "modify_time": 1_499_843_292});
        let new = json!({"version": 2, "value": "draft", "modifier": "user0", "approved": 0});
        let mut item = json!({"id": 500 + n, "app": format!("app{app}"), "profile": "prod", "key": format!("key{key}"),
            "versions": [old, new]});
        if key < 2 {
            item["released"] = json!({"version": 1, "publisher": "user1", "publish_time": 1_499_843_300});
        }
        item
    });
    json!({
        "machines": machines.collect::<Vec<_>>(),
        "accounts": accounts.collect::<Vec<_>>(),
        "companies": [{"id": 3, "company_name": "Tan14", "company_alias": "T", "owner_email": "user0@example.com"}],
        "cdns": [{"id": 1, "name": "level3"}, {"id": 2, "name": "qcould"}],
        "customers": customers.collect::<Vec<_>>(),
        "figures": figures.collect::<Vec<_>>(),
        "apps": apps.collect::<Vec<_>>(),
        "grants": grants.collect::<Vec<_>>(),
        "items": items.collect::<Vec<_>>(),
    })
}
