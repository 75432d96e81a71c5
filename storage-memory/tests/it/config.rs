//! The use cases of the configuration centre: who may do what, and what is refused.

use std::sync::Arc;

use futures_util::StreamExt;
use pilothouse_core::account::{Account, AuditFilter, Caller, Group, Groups, Scope, UpdateAccount};
use pilothouse_core::config::{
    AppId, Content, ItemId, ItemName, NewApp, NewGrant, Permission, Release, ReleaseState, Selector,
    UpdateApp,
};
use pilothouse_core::ports::{Signal, Topic};
use pilothouse_core::{Error, ErrorKind, Page, Pilothouse, Result, Settings};
use pilothouse_storage_memory::MemoryStorage;

struct World {
    pilothouse: Pilothouse,
    /// Holds `all`.
    root: Caller,
    /// Creates the apps.
    owner: Caller,
}

impl World {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), settings).unwrap();
        let root = pilothouse.accounts().create_superuser("root", "root@example.com", "correct horse").await;
        let root = as_caller(&pilothouse, root.unwrap()).await;
        let owner = add(&pilothouse, "owner", Groups::NONE).await;
        Self { pilothouse, root, owner }
    }

    async fn account(&self, name: &str) -> Caller {
        add(&self.pilothouse, name, Groups::NONE).await
    }

    async fn app(&self, app: &str) {
        self.pilothouse.apps().create(&self.owner, new_app(app)).await.unwrap();
    }

    async fn give(&self, by: &Caller, app: &str, to: &Caller, permission: Permission) -> Result<i64> {
        let new = NewGrant { app: app.into(), account: to.id, uname: "nick".into(), permission };
        self.pilothouse.grants().create(by, new).await
    }

    async fn item(&self, name: &ItemName, value: &str) -> ItemId {
        self.pilothouse.items().create(&self.owner, name, content(value)).await.unwrap()
    }

    async fn approve(&self, name: &ItemName) {
        self.pilothouse.items().approve(&self.owner, name, None).await.unwrap();
    }

    async fn publish(&self, id: ItemId) {
        self.pilothouse.releases().publish(&self.owner, id, &Selector::default(), None).await.unwrap();
    }

    async fn releases(&self, app: AppId) -> Vec<Release> {
        let mut snapshot = self.pilothouse.storage().read().await.unwrap();
        let listed = snapshot.releases().list(app, "dev", Some("k"), 100).await.unwrap();
        listed.into_iter().map(|(release, _)| release).collect()
    }

    async fn revision(&self, app: &str) -> i64 {
        let mut snapshot = self.pilothouse.storage().read().await.unwrap();
        snapshot.apps().by_name(app).await.unwrap().unwrap().revision
    }
}

async fn add(pilothouse: &Pilothouse, name: &str, groups: Groups) -> Caller {
    let account = Account {
        id: 0,
        name: name.into(),
        mail: format!("{name}@example.com"),
        department: String::new(),
        groups,
        password: None,
        version: 1,
    };
    let mut work = pilothouse.storage().begin().await.unwrap();
    let id = work.accounts().insert(&account).await.unwrap().unwrap();
    work.commit().await.unwrap();
    as_caller(pilothouse, id).await
}

async fn as_caller(pilothouse: &Pilothouse, id: i64) -> Caller {
    let account = pilothouse.storage().read().await.unwrap().accounts().by_id(id).await.unwrap().unwrap();
    let Account { id, name, mail, groups, .. } = account;
    Caller { id, name, mail, groups, scope: Scope::Account, token: None, address: None }
}

fn new_app(app: &str) -> NewApp {
    NewApp { app: app.into(), app_type: 9, name: "test-name2".into(), charger: "dyf".into() }
}

fn name(app: &str, key: &str) -> ItemName {
    ItemName { app: app.into(), profile: "dev".into(), key: key.into() }
}

fn content(value: &str) -> Content {
    Content { value: value.into(), validator: String::new(), description: String::new() }
}

fn kind<T: std::fmt::Debug>(answer: Result<T>) -> ErrorKind {
    answer.unwrap_err().kind()
}

/// Every operation on an app, and the permission it needs.
const OPERATIONS: [(&str, Permission); 19] = [
    ("find", Permission::Develop),
    ("list", Permission::Develop),
    ("profiles", Permission::Develop),
    ("history", Permission::Develop),
    ("diff", Permission::Develop),
    ("nodes", Permission::Develop),
    ("list grants", Permission::Develop),
    ("create", Permission::Develop),
    ("update", Permission::Develop),
    ("roll back", Permission::Develop),
    ("delete never published", Permission::Develop),
    ("delete published", Permission::Manage),
    ("approve", Permission::Manage),
    ("publish", Permission::Manage),
    ("update app", Permission::Manage),
    ("delete app", Permission::Manage),
    ("give grant", Permission::Manage),
    ("change grant", Permission::Manage),
    ("take grant", Permission::Manage),
];

/// Runs an operation on an app that has an item `live`, published, and one `draft`.
async fn operate(world: &World, caller: &Caller, operation: &str, app: &str, ids: Ids) -> Result<()> {
    let (apps, grants) = (world.pilothouse.apps(), world.pilothouse.grants());
    let (items, releases) = (world.pilothouse.items(), world.pilothouse.releases());
    let (draft, live) = (name(app, "draft"), name(app, "live"));
    match operation {
        "find" => items.find(caller, &draft).await.map(|_| ()),
        "list" => items.list(caller, app, "dev").await.map(|_| ()),
        "profiles" => items.profiles(caller, app).await.map(|_| ()),
        "history" => items.history(caller, &draft).await.map(|_| ()),
        "diff" => items.diff(caller, &draft, 1, 1).await.map(|_| ()),
        "nodes" => world.pilothouse.nodes().list(caller, app, "dev").await.map(|_| ()),
        "list grants" => grants.list(caller, app).await.map(|_| ()),
        "create" => items.create(caller, &name(app, "new"), content("")).await.map(|_| ()),
        "update" => items.update(caller, &draft, content("2"), None).await,
        "roll back" => items.roll_back(caller, &live, 1).await,
        "delete never published" => items.delete(caller, &draft, None).await,
        "delete published" => items.delete(caller, &live, None).await,
        "approve" => items.approve(caller, &draft, None).await,
        "publish" => releases.publish(caller, ids.live, &Selector::default(), None).await.map(|_| ()),
        "update app" => apps.update(caller, app, UpdateApp::default()).await,
        // It has configs: whoever may delete it is told so.
        "delete app" => match apps.delete(caller, app).await {
            Err(Error::Conflict(_)) => Ok(()),
            answer => answer,
        },
        "give grant" => world.give(caller, app, &world.root, Permission::Develop).await.map(|_| ()),
        "change grant" => grants.update(caller, ids.grant, Permission::Develop).await,
        "take grant" => grants.delete(caller, ids.grant).await,
        other => panic!("{other}"),
    }
}

#[derive(Clone, Copy)]
struct Ids {
    live: ItemId,
    grant: i64,
}

#[tokio::test]
async fn rights() {
    let world = World::new().await;
    let (nobody, elsewhere, dev, admin, guest) = (
        world.account("nobody").await,
        world.account("elsewhere").await,
        world.account("dev").await,
        world.account("admin").await,
        world.account("guest").await,
    );
    world.app("other").await;
    world.give(&world.owner, "other", &elsewhere, Permission::Manage).await.unwrap();
    let grouped = add(&world.pilothouse, "grouped", Groups::all()).await;
    let cdn = Caller { scope: Scope::Cdn, ..world.root.clone() };
    for (n, (operation, needed)) in OPERATIONS.into_iter().enumerate() {
        for (who, caller, held) in [
            ("nobody", &nobody, None),
            ("every group", &grouped, None),
            ("an admin elsewhere", &elsewhere, None),
            ("a cdn token", &cdn, None),
            ("1", &dev, Some(Permission::Develop)),
            ("9", &admin, Some(Permission::Manage)),
            ("all", &world.root, Some(Permission::Manage)),
        ] {
            let app = format!("app{n}-{}", caller.id + i64::from(who == "a cdn token") * 100);
            world.app(&app).await;
            world.give(&world.owner, &app, &dev, Permission::Develop).await.unwrap();
            world.give(&world.owner, &app, &admin, Permission::Manage).await.unwrap();
            let grant = world.give(&world.owner, &app, &guest, Permission::Manage).await.unwrap();
            world.item(&name(&app, "draft"), "1").await;
            let live = world.item(&name(&app, "live"), "1").await;
            world.approve(&name(&app, "live")).await;
            world.publish(live).await;
            let ids = Ids { live, grant };
            let answer = operate(&world, caller, operation, &app, ids).await;
            if held >= Some(needed) {
                assert!(answer.is_ok(), "{who} may {operation}: {answer:?}");
                continue;
            }
            assert_eq!(kind(answer), ErrorKind::Forbidden, "{who} may not {operation}");
            let kept = world.pilothouse.items().find(&world.owner, &name(&app, "live")).await.unwrap();
            assert_eq!((kept.current.version, kept.published_version, world.revision(&app).await), (1, 1, 1));
            if held.is_none() {
                // Nor does the refusal tell what there is.
                let ids = Ids { live: 1_000_000, grant: 1_000_000 };
                for unknown in ["absent", "all", "..", ""] {
                    let answer = operate(&world, caller, operation, unknown, ids).await;
                    assert_eq!(kind(answer), ErrorKind::Forbidden, "{who}: {operation} on {unknown:?}");
                }
            }
        }
    }
    for (operation, _) in OPERATIONS {
        let ids = Ids { live: 1_000_000, grant: 1_000_000 };
        let answer = operate(&world, &world.root, operation, "absent", ids).await;
        assert_eq!(kind(answer), ErrorKind::NotFound, "{operation}");
    }
}

#[tokio::test]
async fn refusals_are_summed_without_names() {
    let world = World::new().await;
    let nobody = world.account("nobody").await;
    for n in 0..50 {
        let refused = world.pilothouse.items().find(&nobody, &name(&format!("guess{n}"), "k")).await;
        assert_eq!(kind(refused), ErrorKind::Forbidden);
    }
    let filter = AuditFilter { actor: Some("nobody".into()), ..AuditFilter::default() };
    let rows = world.pilothouse.audit_trail().list(&world.root, &filter, Page::default()).await.unwrap();
    assert!(rows.len() <= 2 && rows.iter().map(|row| row.count).sum::<i64>() == 50, "{rows:?}");
}

#[tokio::test]
async fn apps() {
    let world = World::new().await;
    let apps = world.pilothouse.apps();
    for app in ["", ".", "..", "all", "a b", "a/b", &"x".repeat(65)] {
        assert_eq!(kind(apps.create(&world.owner, new_app(app)).await), ErrorKind::Invalid, "{app}");
    }
    let long = "x".repeat(129);
    for wrong in [
        NewApp { name: String::new(), ..new_app("app") },
        NewApp { name: long.clone(), ..new_app("app") },
        NewApp { charger: long.clone(), ..new_app("app") },
        NewApp { charger: "a\nb".into(), ..new_app("app") },
    ] {
        assert_eq!(kind(apps.create(&world.owner, wrong).await), ErrorKind::Invalid);
    }
    let ghost = Caller { id: 1_000_000, ..world.owner.clone() };
    assert_eq!(kind(apps.create(&ghost, new_app("app")).await), ErrorKind::NotFound);
    let cdn = Caller { scope: Scope::Cdn, ..world.owner.clone() };
    assert_eq!(kind(apps.create(&cdn, new_app("app")).await), ErrorKind::Forbidden);
    assert_eq!(kind(apps.list(&cdn).await), ErrorKind::Forbidden);

    let id = apps.create(&world.owner, new_app("app")).await.unwrap();
    assert_eq!(kind(apps.create(&world.root, new_app("app")).await), ErrorKind::AlreadyExists);
    let listed = apps.list(&world.owner).await.unwrap();
    assert_eq!(listed.iter().map(|app| (app.id, app.app.as_str())).collect::<Vec<_>>(), [(id, "app")]);
    let grants = world.pilothouse.grants().list(&world.owner, "app").await.unwrap();
    assert_eq!((grants[0].account, grants[0].uname.as_str()), (world.owner.id, "owner"));
    assert_eq!(grants[0].permission, Permission::Manage);

    let change = UpdateApp { charger: Some("新人".into()), ..UpdateApp::default() };
    apps.update(&world.owner, "app", change).await.unwrap();
    let wrong = UpdateApp { name: Some(long), ..UpdateApp::default() };
    assert_eq!(kind(apps.update(&world.owner, "app", wrong).await), ErrorKind::Invalid);
    let app = apps.list(&world.root).await.unwrap().remove(0);
    assert_eq!((app.app_type, app.name.as_str(), app.charger.as_str()), (9, "test-name2", "新人"));

    let dev = world.account("dev").await;
    world.give(&world.owner, "app", &dev, Permission::Develop).await.unwrap();
    let k = name("app", "k");
    world.item(&k, "1").await;
    assert_eq!(kind(apps.delete(&world.owner, "app").await), ErrorKind::Conflict);
    world.pilothouse.items().delete(&world.owner, &k, None).await.unwrap();
    apps.delete(&world.owner, "app").await.unwrap();
    assert_eq!(kind(apps.delete(&world.owner, "app").await), ErrorKind::Forbidden, "its grants went with it");
    let again = apps.create(&world.root, new_app("app")).await.unwrap();
    assert!(again > id);
    for former in [&world.owner, &dev] {
        assert_eq!(kind(world.pilothouse.items().profiles(former, "app").await), ErrorKind::Forbidden);
        assert!(apps.list(former).await.unwrap().is_empty());
    }
    world.pilothouse.items().create(&world.root, &k, content("")).await.unwrap();
    let item = world.pilothouse.items().find(&world.root, &k).await.unwrap();
    assert_eq!(item.current.version, 1, "nothing of the former app goes on");
}

#[tokio::test]
async fn grants() {
    let world = World::new().await;
    let grants = world.pilothouse.grants();
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    world.app("app").await;
    let of_owner = grants.list(&world.owner, "app").await.unwrap()[0].id;
    let ghost = Caller { id: 1_000_000, ..ann.clone() };
    let given = world.give(&world.owner, "app", &ghost, Permission::Develop).await;
    assert_eq!(given.unwrap_err().to_string(), "the account of this uid does not exist");
    let of_ann = world.give(&world.owner, "app", &ann, Permission::Develop).await.unwrap();
    let twice = world.give(&world.owner, "app", &ann, Permission::Manage).await;
    assert_eq!(kind(twice), ErrorKind::AlreadyExists);
    let named = NewGrant {
        app: "app".into(),
        account: bob.id,
        uname: "x".repeat(129),
        permission: Permission::Develop,
    };
    assert_eq!(kind(grants.create(&world.owner, named).await), ErrorKind::Invalid);

    // The last admin stays, until there is another; that root reaches the app does not count.
    assert_eq!(kind(grants.delete(&world.owner, of_owner).await), ErrorKind::Conflict);
    let demoted = grants.update(&world.root, of_owner, Permission::Develop).await;
    assert_eq!(kind(demoted), ErrorKind::Conflict);
    grants.update(&world.owner, of_owner, Permission::Manage).await.unwrap();
    grants.update(&world.owner, of_ann, Permission::Manage).await.unwrap();
    grants.update(&ann, of_owner, Permission::Develop).await.unwrap();
    assert_eq!(kind(grants.delete(&ann, of_ann).await), ErrorKind::Conflict);
    grants.delete(&ann, of_owner).await.unwrap();
    assert_eq!(kind(grants.list(&world.owner, "app").await), ErrorKind::Forbidden, "at once");
    assert_eq!(grants.list(&ann, "app").await.unwrap().len(), 1);
    assert_eq!(kind(grants.delete(&world.root, of_owner).await), ErrorKind::NotFound);

    // `all`: only permission 9, only by a holder, and the last holder stays.
    assert_eq!(kind(world.give(&ann, "all", &bob, Permission::Manage).await), ErrorKind::Forbidden);
    assert_eq!(kind(grants.list(&ann, "all").await), ErrorKind::Forbidden);
    let develop = world.give(&world.root, "all", &bob, Permission::Develop).await;
    assert_eq!(develop.unwrap_err().to_string(), "permission: on all must be 9");
    let of_root = grants.list(&world.root, "all").await.unwrap()[0].id;
    assert_eq!(kind(grants.delete(&world.root, of_root).await), ErrorKind::Conflict);
    assert_eq!(kind(grants.delete(&ann, of_root).await), ErrorKind::Forbidden);
    let of_bob = world.give(&world.root, "all", &bob, Permission::Manage).await.unwrap();
    assert_eq!(kind(grants.update(&bob, of_bob, Permission::Develop).await), ErrorKind::Invalid);
    grants.delete(&bob, of_root).await.unwrap();
    assert_eq!(kind(grants.list(&world.root, "all").await), ErrorKind::Forbidden);
}

#[tokio::test]
async fn items_and_their_versions() {
    let world = World::new().await;
    let items = world.pilothouse.items();
    world.app("app").await;
    let k = name("app", "k");
    let dev = world.account("dev").await;
    world.give(&world.owner, "app", &dev, Permission::Develop).await.unwrap();
    let id = items.create(&dev, &k, content("1")).await.unwrap();
    assert_eq!(kind(items.create(&dev, &k, content("1")).await), ErrorKind::AlreadyExists);
    world.approve(&k).await;
    let approver = async || items.find(&dev, &k).await.unwrap().current.approver;
    assert_eq!(approver().await, Some(world.owner.id));
    items.approve(&world.root, &k, None).await.unwrap();
    assert_eq!(approver().await, Some(world.owner.id), "the first approver stays");

    // An update that changes nothing makes no version and keeps the approval; any change clears it.
    items.update(&dev, &k, content("1"), Some(1)).await.unwrap();
    let item = items.find(&dev, &k).await.unwrap();
    assert_eq!((item.id, item.current.version, item.current.approver), (id, 1, Some(world.owner.id)));
    let changes = [
        content("2"),
        Content { validator: "v".into(), ..content("2") },
        Content { validator: "v".into(), description: "d".into(), ..content("2") },
    ];
    for (n, change) in (2..).zip(changes) {
        items.update(&world.owner, &k, change.clone(), Some(n - 1)).await.unwrap();
        let current = items.find(&dev, &k).await.unwrap().current;
        assert_eq!((current.version, current.content, current.approver), (n, change, None));
        assert_eq!(current.modifier, world.owner.id);
        items.approve(&world.owner, &k, Some(n)).await.unwrap();
    }
    // What the caller saw must be current.
    for seen in [Some(3), Some(5), Some(0)] {
        assert_eq!(kind(items.update(&dev, &k, content("x"), seen).await), ErrorKind::Conflict);
        assert_eq!(kind(items.approve(&world.owner, &k, seen).await), ErrorKind::Conflict);
        let (releases, everyone) = (world.pilothouse.releases(), Selector::default());
        let published = releases.publish(&world.owner, id, &everyone, seen).await;
        assert_eq!(kind(published), ErrorKind::Conflict);
        assert_eq!(kind(items.delete(&dev, &k, seen).await), ErrorKind::Conflict);
    }
    items.roll_back(&dev, &k, 1).await.unwrap();
    let current = items.find(&dev, &k).await.unwrap().current;
    assert_eq!((current.version, current.content, current.modifier), (5, content("1"), dev.id));
    assert_eq!(current.approver, None, "it is approved like any other");
    assert_eq!(kind(items.roll_back(&dev, &k, 6).await), ErrorKind::NotFound);
    let history = items.history(&dev, &k).await.unwrap();
    assert_eq!(history.iter().map(|version| version.version).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    assert_eq!(history[4].approver, Some(world.owner.id));
    let diff = items.diff(&dev, &k, 1, 2).await.unwrap();
    assert!(diff.starts_with("--- k (version 1)\n+++ k (version 2)\n@@ -1 +1 @@\n-1\n"), "{diff}");
    assert_eq!(kind(items.diff(&dev, &k, 1, 6).await), ErrorKind::NotFound);
    assert_eq!(kind(items.history(&dev, &name("app", "none")).await), ErrorKind::NotFound);

    // Gone and back: the version goes on, and the history with it.
    items.delete(&dev, &k, Some(5)).await.unwrap();
    assert_eq!(kind(items.find(&dev, &k).await), ErrorKind::NotFound);
    assert_eq!(kind(items.update(&dev, &k, content("x"), None).await), ErrorKind::NotFound);
    assert_eq!(items.history(&dev, &k).await.unwrap().len(), 5);
    assert_eq!(items.create(&dev, &k, content("1")).await.unwrap(), id);
    assert_eq!(items.find(&dev, &k).await.unwrap().current.version, 6);
}

#[tokio::test]
async fn limits_of_items() {
    let world = World::new().await;
    let items = world.pilothouse.items();
    world.app("app").await;
    let mib = "x".repeat(1 << 20);
    let why = async |name: ItemName, content: Content| {
        items.create(&world.owner, &name, content).await.unwrap_err().to_string()
    };
    let k = name("app", "k");
    assert_eq!(why(name("app", ""), content("")).await, "key: must not be empty");
    assert_eq!(
        why(name("app", &"x".repeat(257)), content("")).await,
        "key: must be at most 256 bytes, not 257"
    );
    assert_eq!(
        why(name("app", "a\tb"), content("")).await,
        "key: must not hold the control character U+0009"
    );
    let elsewhere = ItemName { profile: "..".into(), ..k.clone() };
    assert_eq!(why(elsewhere, content("")).await, "profile: must not be . or ..");
    let long = format!("{mib}x");
    assert_eq!(why(k.clone(), content(&long)).await, "value: must be at most 1048576 bytes, not 1048577");
    assert_eq!(why(k.clone(), content("\0")).await, "value: must not hold the control character U+0000");
    let validator = Content { validator: "x".repeat(65537), ..content("") };
    assert_eq!(why(k.clone(), validator).await, "validator: must be at most 65536 bytes, not 65537");
    let description = Content { description: "x".repeat(4097), ..content("") };
    assert_eq!(why(k.clone(), description).await, "description: must be at most 4096 bytes, not 4097");
    assert!(items.profiles(&world.owner, "app").await.unwrap().is_empty(), "nothing was created");

    let malformed = items.find(&world.root, &name("a/b", "k")).await.unwrap_err();
    assert_eq!(malformed.to_string(), "app: may hold only A-Z, a-z, 0-9, ., _ and -");
    assert_eq!(kind(items.list(&world.owner, "app", "..").await), ErrorKind::Invalid);
    assert_eq!(kind(world.pilothouse.nodes().list(&world.owner, "app", "").await), ErrorKind::Invalid);
    for read in [name("app", ""), ItemName { profile: "..".into(), ..k.clone() }] {
        assert_eq!(kind(items.find(&world.owner, &read).await), ErrorKind::Invalid);
        assert_eq!(kind(items.history(&world.owner, &read).await), ErrorKind::Invalid);
        assert_eq!(kind(items.diff(&world.owner, &read, 1, 1).await), ErrorKind::Invalid);
    }

    let most = Content { value: mib, validator: "x".repeat(65536), description: "\t\r\n".repeat(1365) };
    items.create(&world.owner, &name("app", &"键".repeat(85)), most.clone()).await.unwrap();
    let listed = items.list(&world.owner, "app", "dev").await.unwrap();
    assert!(listed[0].current.content == most);
    let updated = items.update(&world.owner, &name("app", &"键".repeat(85)), content(&long), None).await;
    assert_eq!(kind(updated), ErrorKind::Invalid);
}

#[tokio::test]
async fn built_in_validators() {
    let world = World::new().await;
    let items = world.pilothouse.items();
    world.app("app").await;
    let k = name("app", "k");
    let with = |validator: &str, value: &str| Content { validator: validator.into(), ..content(value) };
    for (validator, good, bad) in [
        ("json", "{}", "{"),
        ("yaml", "a: [1]", "a: [1"),
        ("toml", "a = 1", "a = "),
        ("int", "-1", "one"),
        ("url", "https://example.com/", "example.com"),
        ("regex:^[a-z]+$", "abc", "abc1"),
        (r#"jsonschema:{"type":"integer"}"#, "1", "1.5"),
    ] {
        let refused = items.create(&world.owner, &k, with(validator, bad)).await.unwrap_err().to_string();
        assert!(refused.starts_with("value: "), "{validator}: {refused}");
        assert_eq!(kind(items.find(&world.owner, &k).await), ErrorKind::NotFound);
        items.create(&world.owner, &k, with(validator, good)).await.unwrap();
        let refused =
            items.update(&world.owner, &k, with(validator, bad), None).await.unwrap_err().to_string();
        assert!(refused.starts_with("value: "), "{validator}: {refused}");
        let found = items.find(&world.owner, &k).await.unwrap();
        assert_eq!(found.current.content, with(validator, good));
        items.delete(&world.owner, &k, None).await.unwrap();
    }
    for malformed in ["regex:(", "jsonschema:{", r#"jsonschema:{"type":"nothing"}"#] {
        let refused = items.create(&world.owner, &k, with(malformed, "1")).await.unwrap_err().to_string();
        assert!(refused.starts_with("validator: "), "{malformed}: {refused}");
    }
    items.create(&world.owner, &k, with("v => v.length", "anything")).await.unwrap();

    // Who may not write is told so, and nothing of the value.
    let stranger = world.account("stranger").await;
    assert_eq!(kind(items.create(&stranger, &k, with("json", "{")).await), ErrorKind::Forbidden);
    assert_eq!(kind(items.update(&stranger, &k, with("json", "{"), None).await), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_rollback_does_not_pass_by_the_validators() {
    let world = World::new().await;
    let items = world.pilothouse.items();
    world.app("app").await;
    let k = name("app", "k");
    let id = world.item(&k, "1").await;
    // As a version that was stored when nothing checked it.
    let mut work = world.pilothouse.storage().begin().await.unwrap();
    let mut version = work.items().by_id(id).await.unwrap().unwrap().current;
    version.version = 2;
    version.content = Content { validator: "json".into(), ..content("{") };
    assert!(work.items().amend(id, &version).await.unwrap());
    work.commit().await.unwrap();
    items.update(&world.owner, &k, content("3"), None).await.unwrap();

    let refused = items.roll_back(&world.owner, &k, 2).await.unwrap_err();
    assert!(refused.to_string().starts_with("value: is not JSON: "), "{refused}");
    assert_eq!(items.find(&world.owner, &k).await.unwrap().current.version, 3);
    items.roll_back(&world.owner, &k, 1).await.unwrap();
    assert_eq!(items.find(&world.owner, &k).await.unwrap().current.content, content("1"));
}

#[tokio::test]
async fn four_eyes() {
    let settings = Settings { four_eyes_profiles: vec!["prod".into()], ..Settings::default() };
    let world = World::with(settings).await;
    let items = world.pilothouse.items();
    world.app("app").await;
    let (dev, prod) = (name("app", "k"), ItemName { profile: "prod".into(), ..name("app", "k") });
    for name in [&dev, &prod] {
        world.item(name, "1").await;
    }
    items.approve(&world.owner, &dev, None).await.unwrap();
    assert_eq!(kind(items.approve(&world.owner, &prod, None).await), ErrorKind::Forbidden);
    assert_eq!(items.find(&world.owner, &prod).await.unwrap().current.approver, None);
    items.approve(&world.root, &prod, None).await.unwrap();
    items.update(&world.root, &prod, content("2"), None).await.unwrap();
    assert_eq!(kind(items.approve(&world.root, &prod, None).await), ErrorKind::Forbidden);
    items.approve(&world.owner, &prod, None).await.unwrap();
}

#[tokio::test]
async fn publishing() {
    let world = World::new().await;
    let (items, releases) = (world.pilothouse.items(), world.pilothouse.releases());
    world.app("app").await;
    let k = name("app", "k");
    let id = world.item(&k, "1").await;
    let publish = async |selector: &Selector| releases.publish(&world.owner, id, selector, None).await;
    let everyone = Selector::default();
    let refused = publish(&everyone).await.unwrap_err();
    assert_eq!(
        (refused.to_string().as_str(), refused.kind()),
        ("version 1 is not approved", ErrorKind::Conflict)
    );
    world.approve(&k).await;

    // What names or selects no node publishes nothing.
    let nodes = |nodes: &str| Selector { nodes: Some(nodes.into()), ..Selector::default() };
    assert_eq!(kind(publish(&nodes("")).await), ErrorKind::Invalid);
    let unknown = publish(&nodes("11,22")).await.unwrap_err();
    assert_eq!(unknown.to_string(), "the node 11 does not exist");
    for grey in [
        Selector { percent: Some(50), ..Selector::default() },
        Selector { labels: Some("zone:a".into()), ..Selector::default() },
    ] {
        assert_eq!(kind(publish(&grey).await), ErrorKind::Invalid);
    }
    let item = items.find(&world.owner, &k).await.unwrap();
    assert_eq!((item.published_version, item.published_value.as_str()), (0, ""));
    assert_eq!(world.revision("app").await, 0);

    let mut signals = world.pilothouse.storage().signals();
    let app = item.app;
    let released = publish(&everyone).await.unwrap();
    assert_eq!((released.targets, world.revision("app").await), (0, 1));
    assert_eq!(signals.next().await, Some(Signal::Changed(Topic::App(app))));
    items.update(&world.owner, &k, content("2"), None).await.unwrap();
    let item = items.find(&world.owner, &k).await.unwrap();
    assert_eq!((item.current.version, item.published_version, item.published_value.as_str()), (2, 1, "1"));
    assert_eq!(kind(publish(&everyone).await), ErrorKind::Conflict, "the new version is not approved");
    world.approve(&k).await;
    publish(&everyone).await.unwrap();
    let rows = world.releases(app).await;
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.version, row.revision, row.end_revision, row.state, row.publisher, row.origin))
        .collect();
    let (by, active, ended) = (world.owner.id, ReleaseState::Active, ReleaseState::Superseded);
    assert_eq!(shown, [(2, 2, None, active, by, None), (1, 1, Some(2), ended, by, None)]);
    assert_eq!(signals.next().await, Some(Signal::Changed(Topic::App(app))));

    // Deleting what is published changes what nodes hold; deleting what is not, does not.
    world.item(&name("app", "draft"), "").await;
    items.delete(&world.owner, &name("app", "draft"), None).await.unwrap();
    assert_eq!(world.revision("app").await, 2);
    items.delete(&world.owner, &k, None).await.unwrap();
    assert_eq!(world.revision("app").await, 3);
    assert_eq!(signals.next().await, Some(Signal::Changed(Topic::App(app))));
    assert_eq!(kind(publish(&everyone).await), ErrorKind::NotFound);
    let rows = world.releases(app).await;
    assert!(rows.iter().all(|row| row.state == ReleaseState::Superseded));
    assert_eq!(rows[0].end_revision, Some(3));

    // Created again it is published by nobody, so a developer may delete it.
    world.item(&k, "3").await;
    let item = items.find(&world.owner, &k).await.unwrap();
    assert_eq!((item.current.version, item.published_version, item.published_value.as_str()), (3, 0, ""));
    let dev = world.account("dev").await;
    world.give(&world.owner, "app", &dev, Permission::Develop).await.unwrap();
    items.delete(&dev, &k, None).await.unwrap();
}

#[tokio::test]
async fn an_account_with_all_is_changed_only_by_another() {
    let world = World::new().await;
    let accounts = world.pilothouse.accounts();
    // Every group, but no grant; and a second holder of `all` with fewer groups.
    let chief = add(&world.pilothouse, "chief", Groups::all()).await;
    let held = add(&world.pilothouse, "held", Groups::NONE).await;
    world.give(&world.root, "all", &held, Permission::Manage).await.unwrap();
    let change = |name: &str| UpdateAccount { name: Some(name.into()), ..UpdateAccount::default() };
    for change in [
        UpdateAccount { new_passwd: Some("correct horse".into()), ..change("held") },
        UpdateAccount { groups: Some(Groups::from_iter([Group::Cdn])), ..change("held") },
        UpdateAccount { department: Some("x".into()), ..change("held") },
    ] {
        assert_eq!(kind(accounts.update(&chief, change.clone()).await), ErrorKind::Forbidden);
        accounts.update(&world.root, change).await.unwrap();
    }
    assert_eq!(kind(accounts.delete(&chief, "held").await), ErrorKind::Forbidden);
    // A grant on a single app is no reason to refuse.
    world.app("app").await;
    accounts.delete(&chief, "owner").await.unwrap();
    accounts.delete(&world.root, "held").await.unwrap();

    // The app lost its only admin: whoever holds `all` manages it, and gives it another.
    let grants = world.pilothouse.grants();
    assert!(grants.list(&world.root, "app").await.unwrap().is_empty());
    world.give(&world.root, "app", &chief, Permission::Manage).await.unwrap();
}

#[tokio::test]
async fn every_write_is_audited_without_values() {
    let world = World::new().await;
    let (items, secret) = (world.pilothouse.items(), "do-not-tell");
    world.app("app").await;
    let k = name("app", "k");
    let dev = world.account("dev").await;
    let grant = world.give(&world.owner, "app", &dev, Permission::Develop).await.unwrap();
    world.pilothouse.grants().update(&world.owner, grant, Permission::Manage).await.unwrap();
    world.pilothouse.grants().delete(&world.owner, grant).await.unwrap();
    world.pilothouse.apps().update(&world.owner, "app", UpdateApp::default()).await.unwrap();
    let id = world.item(&k, secret).await;
    items.update(&world.owner, &k, content("other"), None).await.unwrap();
    items.roll_back(&world.owner, &k, 1).await.unwrap();
    world.approve(&k).await;
    world.publish(id).await;
    items.delete(&world.owner, &k, None).await.unwrap();
    world.pilothouse.apps().delete(&world.owner, "app").await.unwrap();
    let filter = AuditFilter { actor: Some("owner".into()), ..AuditFilter::default() };
    let page = Page { start: 0, count: 100 };
    let rows = world.pilothouse.audit_trail().list(&world.root, &filter, page).await.unwrap();
    let deeds: Vec<_> = rows.iter().map(|row| (row.action.as_str(), row.object.as_str())).collect();
    let uid = format!("app uid {}", dev.id);
    assert_eq!(
        deeds,
        [
            ("app.create", "app"),
            ("grant.create", &uid),
            ("grant.update", &uid),
            ("grant.delete", &uid),
            ("app.update", "app"),
            ("config.create", "app/dev/k"),
            ("config.update", "app/dev/k"),
            ("config.rollback", "app/dev/k"),
            ("config.approve", "app/dev/k"),
            ("config.publish", "app/dev/k"),
            ("config.delete", "app/dev/k"),
            ("app.delete", "app"),
        ]
    );
    assert!(!format!("{rows:?}").contains(secret));
}
