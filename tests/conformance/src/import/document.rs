//! Documents: every kind of object with its id, all or nothing, again.

use std::sync::Arc;

use pilothouse_core::ErrorKind;
use pilothouse_core::account::{AccountId, AuditFilter};
use pilothouse_core::cdn::{BUCKET_SECONDS, CdnId, CompanyId, DomainState, TrafficQuery};
use pilothouse_core::config::{AppId, GrantId, ItemId, Permission};
use pilothouse_core::import::{ImportDocument, ImportKind, ImportMode, ImportReport};
use pilothouse_core::ops::MachineNumber;
use pilothouse_core::ports::{Clock, Storage, SystemClock};
use pilothouse_core::{Page, Result};
use serde_json::{Value, json};

use crate::Fixture;
use crate::doubles::ScriptedProvider;

/// An object of every kind, each with the id 700.
fn every_kind() -> Value {
    json!({
        "accounts": [
            {"id": 702, "mail": "bob@example.com", "name": "bob"},
            {"id": 700, "mail": "Ann@example.com", "name": "ann", "department": "dev", "permissions": "4,1",
             "password": "pbkdf2_sha256$1$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        ],
        "companies": [{"id": 700, "company_name": "公司", "company_alias": "T", "owner_email": "ann@example.com"}],
        "cdns": [{"id": 700, "name": "level3"}],
        "customers": [{"login_email": "ann@example.com", "operations": 0,
            "domains": [{"cdn": "level3", "domain": "A.example.com"}]}],
        "figures": [{"cdn": "level3", "domain": "a.example.com",
            "fluxs": [[1_470_297_000, 150_995], [1_470_297_300, 0]], "bandwidths": [[1_470_297_600, 5033]]}],
        "apps": [{"id": 700, "app": "app1", "app_type": 9, "name": "应用", "charger": "dyf",
            "create_time": 1_499_940_862}],
        "grants": [
            {"id": 700, "app": "app1", "account": "bob", "username": "Bobby", "permission": 1},
            {"app": "app1", "profile": "prod", "account": "bob", "permission": 0},
        ],
        "items": [{"id": 700, "app": "app1", "profile": "dev", "key": "k1",
            "versions": [
                {"version": 1, "value": "one", "modifier": "bob", "modify_time": 1_499_843_292, "approved": 1,
                 "approver": "700"},
                {"version": 2, "value": "two", "modifier": "gone"},
            ],
            "released": {"version": 1, "publisher": "ann", "publish_time": 1_499_843_300}}],
        "machines": [{"id": 700, "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "111.111.11.1",
            "userage": "web 服务器1", "is_initialized": 1, "location": "阿里云"}],
    })
}

async fn import(fixture: &Fixture, document: &Value, mode: ImportMode) -> Result<ImportReport> {
    let document: ImportDocument = serde_json::from_value(document.clone()).unwrap();
    fixture.pilothouse.imports().run(&document, mode, &mut ()).await
}

async fn assert_nothing_there(fixture: &Fixture) {
    let mut snapshot = fixture.storage.read().await.unwrap();
    assert_eq!(snapshot.accounts().names().await.unwrap(), Vec::<String>::new());
    assert_eq!(snapshot.machines().names().await.unwrap(), Vec::<String>::new());
    assert_eq!(snapshot.cdns().list().await.unwrap(), []);
    assert_eq!(snapshot.apps().by_name("app1").await.unwrap(), None);
    assert!(snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap().is_empty());
}

async fn assert_every_kind_there(fixture: &Fixture) {
    let mut snapshot = fixture.storage.read().await.unwrap();
    let ann = snapshot.accounts().by_id(AccountId(700)).await.unwrap().unwrap();
    assert_eq!((&*ann.name, &*ann.mail, &*ann.department), ("ann", "Ann@example.com", "dev"));
    assert_eq!(ann.groups.to_string(), "1,4");
    let bob = snapshot.accounts().by_id(AccountId(702)).await.unwrap().unwrap();
    assert_eq!((&*bob.name, bob.password), ("bob", None));
    let company = snapshot.companies().by_name("公司").await.unwrap().unwrap();
    assert_eq!((company.id, company.owner_id), (CompanyId(700), Some(ann.id)));
    assert_eq!(snapshot.cdns().by_id(CdnId(700)).await.unwrap().unwrap().name, "level3");
    let customer = snapshot.customers().find(ann.id).await.unwrap().unwrap();
    assert!(!customer.operations);
    assert_eq!(snapshot.customers().cdns(ann.id).await.unwrap().len(), 1);
    let domain = snapshot.domains().find(CdnId(700), "a.example.com").await.unwrap().unwrap();
    assert_eq!(domain.account_id, ann.id);
    let app = snapshot.apps().by_id(AppId(700)).await.unwrap().unwrap();
    assert_eq!((&*app.app, app.app_type, app.create_time.timestamp()), ("app1", 9, 1_499_940_862));
    assert_eq!(app.revision, 1);
    let grant = snapshot.grants().find(GrantId(700)).await.unwrap().unwrap();
    assert_eq!((grant.account, &*grant.uname, grant.permission), (bob.id, "Bobby", Permission::Develop));
    let held = snapshot.grants().held(bob.id, Some(app.id)).await.unwrap();
    let held: Vec<_> = held.iter().map(|grant| (grant.profile.as_deref(), grant.permission)).collect();
    assert_eq!(held, [(None, Permission::Develop), (Some("prod"), Permission::Read)]);
    let item = snapshot.items().by_id(ItemId(700)).await.unwrap().unwrap();
    assert_eq!((item.app, &*item.profile, &*item.key), (app.id, "dev", "k1"));
    assert_eq!((item.current.version, &*item.current.content.value), (2, "two"));
    assert_eq!((item.current.modifier, item.current.approver), (AccountId(0), None));
    assert_eq!((item.published_version, &*item.published_value), (1, "one"));
    let first = snapshot.items().version(app.id, "dev", "k1", 1).await.unwrap().unwrap();
    assert_eq!((first.modifier, first.approver), (bob.id, Some(ann.id)));
    assert_eq!(first.modify_time.timestamp(), 1_499_843_292);
    let released = snapshot.releases().active(item.id).await.unwrap();
    assert_eq!(released.len(), 1);
    assert_eq!((released[0].version, released[0].publisher, released[0].revision), (1, ann.id, 1));
    let machine = snapshot.machines().find("web01").await.unwrap().unwrap();
    assert_eq!((machine.id, machine.is_initialized), (MachineNumber(700), true));
}

/// Every kind of object keeps its id, and numbering goes on behind it.
pub(crate) async fn ids_are_kept(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let report = import(&fixture, &every_kind(), ImportMode::Commit).await.unwrap();
    for kind in ImportKind::ALL {
        let expected = match kind {
            ImportKind::Accounts | ImportKind::Grants => 2,
            ImportKind::Figures => 3,
            _ => 1,
        };
        assert_eq!((report.of(kind).imported, report.of(kind).skipped), (expected, 0), "{kind:?}");
    }
    assert_eq!(report.of(ImportKind::Items).all_notes, 1, "one modifier is no account");
    assert_every_kind_there(&fixture).await;
    assert_eq!(fixture.account("carl", "".parse().unwrap()).await.id, AccountId(703));
    assert_eq!(fixture.cdn("qcloud").await, CdnId(701));
}

/// An id that was given already, also to a row that is gone, is not given again; nor does a new id take one that another
/// record keeps.
pub(crate) async fn taken_ids_are_replaced(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let there = fixture.account("there", "".parse().unwrap()).await.id.0;
    let account =
        |id: i64, name: &str| json!({"id": id, "name": name, "mail": format!("{name}@example.com")});
    let document =
        json!({"accounts": [account(there, "a"), account(there + 2, "c"), account(there + 1, "b")]});
    let report = import(&fixture, &document, ImportMode::Commit).await.unwrap();
    let mut snapshot = fixture.storage.read().await.unwrap();
    for (name, id) in [("a", there + 3), ("b", there + 1), ("c", there + 2)] {
        assert_eq!(snapshot.accounts().by_name(name).await.unwrap().unwrap().id, AccountId(id), "{name}");
    }
    let note = format!("accounts[0]: the id {there} is taken, it has the id {}", there + 3);
    assert_eq!(report.of(ImportKind::Accounts).notes, [note]);
}

/// A dry run reports the same and changes nothing, nor does a refused document: ids are free as before.
pub(crate) async fn all_or_nothing(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let tried = import(&fixture, &every_kind(), ImportMode::DryRun).await.unwrap();
    assert_nothing_there(&fixture).await;
    let mut broken = every_kind();
    broken["machines"].as_array_mut().unwrap().push(json!({"machine_name": "web02", "inside_ip": "10.2.2",
        "outside_ip": "::1", "usage": "web", "is_initialized": 0, "location": "x"}));
    let refused = import(&fixture, &broken, ImportMode::Commit).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().starts_with("machines[1].inside_ip: "), "{refused}");
    assert_nothing_there(&fixture).await;
    let done = import(&fixture, &every_kind(), ImportMode::Commit).await.unwrap();
    assert_eq!(done, tried);
    assert_every_kind_there(&fixture).await;
}

/// The same document again skips everything; one that differs in an object is refused as a whole.
pub(crate) async fn equal_objects_are_skipped(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    import(&fixture, &every_kind(), ImportMode::Commit).await.unwrap();
    let again = import(&fixture, &every_kind(), ImportMode::Commit).await.unwrap();
    for kind in ImportKind::ALL {
        let zeros = u64::from(kind == ImportKind::Figures);
        assert_eq!(again.of(kind).imported, zeros, "{kind:?}: only a bucket of nothing says nothing new");
        assert!(again.of(kind).skipped > 0 && !again.of(kind).notes.is_empty(), "{kind:?}");
    }
    assert_every_kind_there(&fixture).await;
    for (pointer, value, words) in [
        (
            "/accounts/1/department",
            json!("ops"),
            "accounts[1]: the account ann exists and differs in department",
        ),
        (
            "/accounts/0/mail",
            json!("ann@example.com"),
            "accounts[0]: the account bob exists and differs in mail",
        ),
        ("/companies/0/company_alias", json!("X"), "companies[0]: "),
        ("/customers/0/operations", json!(1), "customers[0]: "),
        ("/figures/0/fluxs/0/1", json!(5), "figures[0]: the store has 150995 bytes at 1470297000"),
        ("/apps/0/charger", json!("x"), "apps[0]: the app app1 exists and differs in charger"),
        ("/grants/0/permission", json!(9), "grants[0]: "),
        (
            "/items/0/versions/1/value",
            json!("three"),
            "items[0]: the config app1/dev/k1 exists and differs in value",
        ),
        (
            "/items/0/released/version",
            json!(2),
            "items[0]: the config app1/dev/k1 exists and differs in what is released",
        ),
        (
            "/machines/0/machine_name",
            json!("WEB01"),
            "machines[0]: the machine WEB01 exists and differs in machine_name",
        ),
    ] {
        let mut changed = every_kind();
        *changed.pointer_mut(pointer).unwrap() = value;
        let refused = import(&fixture, &changed, ImportMode::Commit).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{pointer}");
        assert!(refused.to_string().starts_with(words), "{pointer}: {refused}");
    }
    assert_every_kind_there(&fixture).await;
}

/// Figures of days that are over and of today are answered alike, and add to what is counted later.
pub(crate) async fn figures_are_answered(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let ann = fixture.customer("ann", "level3", &["a.example.com"]).await;
    let now = SystemClock.now().timestamp() / BUCKET_SECONDS * BUCKET_SECONDS;
    let figures = json!([{"cdn": "level3", "domain": "a.example.com",
        "fluxs": [[1_470_297_000, 150_995], [now, 188_744]], "bandwidths": [[1_470_297_300, 2_463_818]]}]);
    import(&fixture, &json!({"figures": figures}), ImportMode::Commit).await.unwrap();
    let bandwidths = async |start_time: i64| {
        let query =
            TrafficQuery { login_email: None, domains: Vec::new(), start_time, end_time: start_time + 300 };
        let points = fixture.pilothouse.traffic().bandwidths(&ann, &query).await.unwrap();
        points.into_iter().map(|point| point.value).collect::<Vec<_>>()
    };
    assert_eq!(bandwidths(1_470_297_000).await, [4027, 2_463_818]);
    assert_eq!(bandwidths(now).await, [5033, 0]);
    fixture.pilothouse.maintain().await.unwrap();
    assert_eq!(
        bandwidths(1_470_297_000).await,
        [4027, 2_463_818],
        "what is imported today is not too old yet"
    );
    let more = json!([{"cdn": "level3", "domain": "a.example.com", "fluxs": [[1_470_297_600, 9437]]}]);
    import(&fixture, &json!({"figures": more}), ImportMode::Commit).await.unwrap();
    assert_eq!(bandwidths(1_470_297_300).await, [2_463_818, 252]);
}

/// Domains that the cdn serves are active at once, and another cdn of a known customer is a row of the trail.
pub(crate) async fn customers_are_served_and_mapped_as_by_hand(storage: Arc<dyn Storage>) {
    let served = Arc::new(ScriptedProvider::new(&["edge-1"]));
    let fixture = Fixture::builder(storage).provider("level3", served).build();
    import(&fixture, &every_kind(), ImportMode::Commit).await.unwrap();
    let mut snapshot = fixture.storage.read().await.unwrap();
    let ann = snapshot.accounts().by_name("ann").await.unwrap().unwrap().id;
    let domains = snapshot.domains().of_account(ann, None).await.unwrap();
    assert_eq!(domains.iter().map(|domain| domain.state).collect::<Vec<_>>(), [DomainState::Active]);
    drop(snapshot);
    let mut more = every_kind();
    more["cdns"].as_array_mut().unwrap().push(json!({"name": "another"}));
    more["customers"][0]["cdns"] = json!(["another"]);
    let mapped = AuditFilter { object: Some("Ann@example.com".to_owned()), ..AuditFilter::default() };
    for (document, rows) in [(every_kind(), 0), (more.clone(), 1), (more, 1)] {
        import(&fixture, &document, ImportMode::Commit).await.unwrap();
        let trail =
            fixture.storage.read().await.unwrap().audit().list(&mapped, Page::default()).await.unwrap();
        assert_eq!(trail.iter().filter(|row| row.action == "customer.map").count(), rows, "{trail:?}");
    }
}
