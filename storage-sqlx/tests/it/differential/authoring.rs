//! Apps, grants, configuration items and releases.

use pilothouse_conformance::Rng;
use pilothouse_core::Epoch;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{
    App, AppId, Content, Grant, GrantId, HistoryPage, Item, ItemSearch, ItemVersion, Permission, Release,
    ReleaseId, ReleaseKind, ReleaseState,
};
use pilothouse_core::ports::Repositories;

use super::draws::Draws;
use super::issued_ids::{IssuedIds, any_id, index_of, record_id};

fn comparable_app(app: App, issued: &IssuedIds) -> App {
    // Stores made before and after a full hour begin in different epochs.
    App { id: index_of(&issued.apps, app.id), epoch: Epoch::default(), ..app }
}

fn comparable_grant(grant: Grant, issued: &IssuedIds) -> Grant {
    let app = grant.app.map(|app| index_of(&issued.apps, app));
    Grant {
        id: index_of(&issued.grants, grant.id),
        account: index_of(&issued.accounts, grant.account),
        app,
        ..grant
    }
}

fn comparable_item(item: Item, issued: &IssuedIds) -> Item {
    Item { id: index_of(&issued.items, item.id), app: index_of(&issued.apps, item.app), ..item }
}

pub(super) fn profile(random: &mut Rng) -> &'static str {
    random.pick(&["dev", "test"])
}

pub(super) fn key(random: &mut Rng) -> &'static str {
    random.pick(&["a", "A", "a/b", "更新", "%"])
}

fn permission(random: &mut Rng) -> Permission {
    random.pick(&[Permission::Read, Permission::Develop, Permission::Manage])
}

fn app(random: &mut Rng) -> App {
    App {
        id: AppId(7),
        app: random.pick(&["app1", "app2", "App1", "a_b", "a.b"]).to_owned(),
        app_type: random.pick(&[0, 9, 255]),
        name: random.word().to_owned(),
        charger: random.word().to_owned(),
        create_time: random.moment(),
        epoch: Epoch(7),
        revision: 7,
    }
}

fn version(number: i64, random: &mut Rng) -> ItemVersion {
    let content = Content {
        value: format!("{}\r\n\t", random.word()),
        validator: random.word().to_owned(),
        description: random.word().to_owned(),
    };
    // The account that made or approved a version need not exist any more.
    let (modifier, approver) = (AccountId(random.i64(0..5)), random.perhaps(AccountId(3)));
    ItemVersion { version: number, content, modifier, modify_time: random.moment(), approver }
}

pub(super) async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    let (app, profile, key) = (any_id(&issued.apps, random), profile(random), key(random));
    let account = any_id(&issued.accounts, random);
    let item = any_id(&issued.items, random);
    let app_index = index_of(&issued.apps, app);
    match random.usize(..9) {
        0 => {
            let found = store.apps().by_id(app).await.unwrap();
            format!("app {app_index}: {:?}", found.map(|app| comparable_app(app, issued)))
        }
        1 => {
            let found = store.apps().by_name("app1").await.unwrap();
            format!("app1: {:?}", found.map(|app| comparable_app(app, issued)))
        }
        2 => {
            let found = store.apps().of_account(account).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|app| comparable_app(app, issued)).collect();
            format!("apps of {}: {found:?}", index_of(&issued.accounts, account))
        }
        3 => {
            let app = random.perhaps(app);
            let found = store.grants().list(app).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|grant| comparable_grant(grant, issued)).collect();
            format!("grants on {:?}: {found:?}", app.map(|_| app_index))
        }
        4 => {
            let app = random.perhaps(app);
            let found = store.grants().held(account, app).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|grant| comparable_grant(grant, issued)).collect();
            format!("{} on {:?}: {found:?}", index_of(&issued.accounts, account), app.map(|_| app_index))
        }
        5 => {
            let found = store.items().find(app, profile, key).await.unwrap();
            let by_id = store.items().by_id(item).await.unwrap();
            let found = [found, by_id].map(|item| item.map(|item| comparable_item(item, issued)));
            format!("item {app_index} {profile} {key}, item {}: {found:?}", index_of(&issued.items, item))
        }
        6 => {
            let found = store.items().list(app, profile).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|item| comparable_item(item, issued)).collect();
            let profiles = store.items().profiles(app).await.unwrap();
            let search = ItemSearch {
                text: random.pick(&["a", "A", "/", "更", "%", "\t"]),
                apps: &[app],
                profile: random.perhaps(profile),
                start: 0,
                before: i64::MAX,
                count: 1 + random.i64(0..4),
            };
            let searched = store.items().search(&search).await.unwrap();
            let searched: Vec<_> = searched.into_iter().map(|item| comparable_item(item, issued)).collect();
            format!(
                "items of {app_index} {profile}: {found:?}, {profiles:?}, {} {:?}: {searched:?}",
                search.text, search.profile
            )
        }
        7 => {
            let found = store.items().history(&HistoryPage::whole(app, profile, key)).await.unwrap();
            let numbers: Vec<i64> = found.iter().map(|version| version.version).collect();
            let newest = numbers.first().copied().unwrap_or(0);
            assert_eq!(numbers, (1..=newest).rev().collect::<Vec<_>>(), "a history has no holes");
            let one = store.items().version(app, profile, key, 1 + random.i64(0..4)).await.unwrap();
            format!("history of {app_index} {profile} {key}: {found:?}, {one:?}")
        }
        _ => {
            let app = store.items().app_of(item).await.unwrap();
            let grant = any_id(&issued.grants, random);
            let found = store.grants().find(grant).await.unwrap();
            let (app, item) = (app.map(|app| index_of(&issued.apps, app)), index_of(&issued.items, item));
            format!("app of {item}: {app:?}; grant: {:?}", found.map(|grant| comparable_grant(grant, issued)))
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    match random.usize(..23) {
        0 | 1 => {
            let app = app(random);
            let id = store.apps().insert(&app).await.unwrap().map(|id| record_id(&mut issued.apps, id));
            format!("add {app:?}: {id:?}")
        }
        2 => {
            let changed = App { id: any_id(&issued.apps, random), ..app(random) };
            let done = store.apps().update(&changed).await.unwrap();
            format!("change {:?}: {done}", comparable_app(changed, issued))
        }
        3 => {
            let id = any_id(&issued.apps, random);
            if !random.chance(30) {
                let revision = store.apps().raise_revision(id).await.unwrap();
                return format!("raise {}: {revision:?}", index_of(&issued.apps, id));
            }
            let shared = store.shared_namespaces().list().await.unwrap();
            if shared.iter().any(|shared| shared.app == Some(id)) {
                return "the app shares a namespace".into();
            }
            format!("delete app {}: {}", index_of(&issued.apps, id), store.apps().delete(id).await.unwrap())
        }
        20..=22 => share(store, issued, random).await,
        4..=9 => write_grant(store, issued, random).await,
        _ => write_item(store, issued, random).await,
    }
}

async fn share(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    let (app, name) = (any_id(&issued.apps, random), random.pick(&["db", "app.json", "更新"]));
    if store.apps().by_id(app).await.unwrap().is_none() {
        return "no app".into();
    }
    let done = if random.bool() {
        store.shared_namespaces().share(name, app).await.unwrap()
    } else {
        let (epoch, revision) = (Epoch(random.i64(0..5)), random.i64(0..5));
        store.shared_namespaces().withdraw(name, app, epoch, revision).await.unwrap()
    };
    let found = store.shared_namespaces().find(name).await.unwrap();
    let mut all = store.shared_namespaces().list().await.unwrap();
    all.extend(found);
    for namespace in &mut all {
        namespace.app = namespace.app.map(|app| index_of(&issued.apps, app));
    }
    format!("share or withdraw {name} of {}: {done}, {all:?}", index_of(&issued.apps, app))
}

async fn write_grant(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    let (account, app, id) =
        (any_id(&issued.accounts, random), any_id(&issued.apps, random), any_id(&issued.grants, random));
    let permission = permission(random);
    match random.usize(..5) {
        0 => {
            let done = store.grants().update(id, permission).await.unwrap();
            format!("change grant {} to {permission:?}: {done}", index_of(&issued.grants, id))
        }
        1 => {
            let done = store.grants().delete(id).await.unwrap();
            format!("delete grant {}: {done}", index_of(&issued.grants, id))
        }
        _ => {
            let app = random.perhaps(app);
            let exists = store.accounts().by_id(account).await.unwrap().is_some();
            let exists = exists
                && match app {
                    Some(app) => store.apps().by_id(app).await.unwrap().is_some(),
                    None => true,
                };
            if !exists {
                return "nobody to grant to".into();
            }
            let on = profile(random).to_owned();
            let grant = Grant {
                id: GrantId::UNSAVED,
                account,
                uname: random.word().to_owned(),
                app,
                profile: app.and(random.perhaps(on)),
                permission,
            };
            let id = store.grants().insert(&grant).await.unwrap();
            let id = id.map(|id| record_id(&mut issued.grants, id));
            format!("add {:?}: {id:?}", comparable_grant(grant, issued))
        }
    }
}

async fn write_item(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    let (app, profile, key) = (any_id(&issued.apps, random), profile(random), key(random));
    if random.chance(30) {
        let first = version(7, random);
        if store.apps().by_id(app).await.unwrap().is_none() {
            return "no app".into();
        }
        let made = store.items().insert(app, profile, key, &first).await.unwrap();
        let made = made.map(|(id, version)| (record_id(&mut issued.items, id), version));
        return format!("add item {} {profile} {key} {first:?}: {made:?}", index_of(&issued.apps, app));
    }
    let id = any_id(&issued.items, random);
    let item = index_of(&issued.items, id);
    let stale = i64::from(random.chance(25));
    let (content, revision, approver) =
        (version(0, random), 1 + random.i64(0..9), AccountId(random.i64(0..5)));
    let operation = random.usize(..6);
    let Some(stored) = store.items().by_id(id).await.unwrap() else { return "no item".into() };
    let seen = stored.current.version - stale;
    match operation {
        0 => {
            let next = ItemVersion { version: seen + 1, ..content };
            format!("amend {item} {next:?}: {}", store.items().amend(id, &next).await.unwrap())
        }
        1 => {
            let done = store.items().approve(id, seen, approver).await.unwrap();
            format!("approve {item} {seen} {approver}: {done}")
        }
        2 if random.chance(30) => {
            let version = 1 + random.i64(0..4);
            let done = store.items().promote(id, version, revision).await.unwrap();
            format!("promote {item} {version} {revision}: {done}")
        }
        2 => {
            let done = store.items().publish(id, seen, revision).await.unwrap();
            format!("publish {item} {seen} {revision}: {done}")
        }
        3 => {
            let revision = random.perhaps(revision);
            let done = store.items().delete(id, seen, revision).await.unwrap();
            format!("delete item {item} {seen} {revision:?}: {done}")
        }
        4 => {
            let kind = random.pick(&[None, Some(ReleaseKind::Full), Some(ReleaseKind::Grey)]);
            let state =
                random.pick(&[ReleaseState::Superseded, ReleaseState::Promoted, ReleaseState::Aborted]);
            store.releases().end(id, kind, state, revision).await.unwrap();
            format!("end {item} {kind:?} {state:?} {revision}")
        }
        _ => {
            let grey = random.chance(50);
            let release = Release {
                id: ReleaseId(7),
                set: None,
                title: random.word().to_owned(),
                change_set: None,
                item: id,
                version: seen,
                kind: if grey { ReleaseKind::Grey } else { ReleaseKind::Full },
                state: ReleaseState::Active,
                publisher: approver,
                publish_time: random.moment(),
                revision,
                end_revision: None,
                nodes: if grey {
                    vec![super::delivery::node_id(random).to_owned(), "zz".to_owned()]
                } else {
                    Vec::new()
                },
                origin: random.perhaps(issued.releases.last().copied()).flatten(),
            };
            let made = store.releases().insert(&release).await.unwrap();
            format!("release {item} {seen}: {}", record_id(&mut issued.releases, made))
        }
    }
}
