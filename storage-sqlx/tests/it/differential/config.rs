//! Apps, grants, configuration items and releases.

use pilothouse_core::config::{
    Ack, AckResult, App, AppKey, Content, Delivery, Grant, Item, ItemVersion, Node, Permission, Release,
    ReleaseKind, ReleaseState,
};
use pilothouse_core::ports::Repositories;

use super::known::{Known, note, place, some};
use super::random::Random;

fn app_shown(app: App, known: &Known) -> App {
    App { id: place(&known.apps, app.id), ..app }
}

fn grant_shown(grant: Grant, known: &Known) -> Grant {
    let app = grant.app.map(|app| place(&known.apps, app));
    Grant { id: place(&known.grants, grant.id), account: place(&known.accounts, grant.account), app, ..grant }
}

fn item_shown(item: Item, known: &Known) -> Item {
    Item { id: place(&known.items, item.id), app: place(&known.apps, item.app), ..item }
}

fn release_shown(release: &Release, known: &Known) -> Release {
    let (id, item) = (place(&known.releases, release.id), place(&known.items, release.item));
    let origin = release.origin.map(|origin| place(&known.releases, origin));
    Release { id, item, origin, ..release.clone() }
}

fn node_shown(node: Node, known: &Known) -> Node {
    Node { number: place(&known.nodes, node.number), app: place(&known.apps, node.app), ..node }
}

fn key_shown(key: AppKey, known: &Known) -> AppKey {
    AppKey { id: place(&known.keys, key.id), app: place(&known.apps, key.app), ..key }
}

fn delivery_shown(delivery: Delivery, known: &Known) -> Delivery {
    let release = place(&known.releases, delivery.release);
    Delivery { release, node: place(&known.nodes, delivery.node), ..delivery }
}

fn node_id(random: &mut Random) -> &'static str {
    random.pick(&["11", "22", "A", "a", "fe80::1%eth0"])
}

fn profile(random: &mut Random) -> &'static str {
    random.pick(&["dev", "test"])
}

fn key(random: &mut Random) -> &'static str {
    random.pick(&["a", "A", "a/b", "更新", "%"])
}

fn permission(random: &mut Random) -> Permission {
    random.pick(&[Permission::Develop, Permission::Manage])
}

fn app(random: &mut Random) -> App {
    App {
        id: 7,
        app: random.pick(&["app1", "app2", "App1", "a_b", "a.b"]).to_owned(),
        app_type: random.pick(&[0, 9, 255]),
        name: random.word().to_owned(),
        charger: random.word().to_owned(),
        create_time: random.moment(),
        revision: 7,
    }
}

fn version(number: i64, random: &mut Random) -> ItemVersion {
    let content = Content {
        value: format!("{}\r\n\t", random.word()),
        validator: random.word().to_owned(),
        description: random.word().to_owned(),
    };
    // Whoever made or approved a version need not exist any more.
    let (modifier, approver) = (random.number(5), random.perhaps(3));
    ItemVersion { version: number, content, modifier, modify_time: random.moment(), approver }
}

pub(super) async fn read(store: &mut dyn Repositories, known: &Known, random: &mut Random) -> String {
    let (app, profile, key) = (some(&known.apps, random), profile(random), key(random));
    let account = some(&known.accounts, random);
    let item = some(&known.items, random);
    let at = place(&known.apps, app);
    match random.below(17) {
        0 => {
            let found = store.apps().by_id(app).await.unwrap();
            format!("app {at}: {:?}", found.map(|app| app_shown(app, known)))
        }
        1 => {
            let found = store.apps().by_name("app1").await.unwrap();
            format!("app1: {:?}", found.map(|app| app_shown(app, known)))
        }
        2 => {
            let found = store.apps().of_account(account).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|app| app_shown(app, known)).collect();
            format!("apps of {}: {found:?}", place(&known.accounts, account))
        }
        3 => {
            let app = random.perhaps(app);
            let found = store.grants().list(app).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|grant| grant_shown(grant, known)).collect();
            format!("grants on {:?}: {found:?}", app.map(|_| at))
        }
        4 => {
            let app = random.perhaps(app);
            let found = store.grants().strongest(account, app).await.unwrap();
            format!("{} on {:?}: {found:?}", place(&known.accounts, account), app.map(|_| at))
        }
        5 => {
            let found = store.items().find(app, profile, key).await.unwrap();
            let by_id = store.items().by_id(item).await.unwrap();
            let found = [found, by_id].map(|item| item.map(|item| item_shown(item, known)));
            format!("item {at} {profile} {key}, item {}: {found:?}", place(&known.items, item))
        }
        6 => {
            let found = store.items().list(app, profile).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|item| item_shown(item, known)).collect();
            let profiles = store.items().profiles(app).await.unwrap();
            format!("items of {at} {profile}: {found:?}, {profiles:?}")
        }
        7 => {
            let found = store.items().history(app, profile, key).await.unwrap();
            let numbers: Vec<i64> = found.iter().map(|version| version.version).collect();
            let newest = numbers.first().copied().unwrap_or(0);
            assert_eq!(numbers, (1..=newest).rev().collect::<Vec<_>>(), "a history has no holes");
            let one = store.items().version(app, profile, key, 1 + random.number(4)).await.unwrap();
            format!("history of {at} {profile} {key}: {found:?}, {one:?}")
        }
        8 => {
            let (since, whole) = (random.number(10), random.chance(50));
            let found = store.releases().since(app, since, whole).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|found| (release_shown(&found.release, known), &found.profile, &found.key, &found.value))
                .collect();
            format!("releases of {at} since {since} {whole}: {found:?}")
        }
        9 => {
            let found = store.releases().active(item).await.unwrap();
            let found: Vec<_> = found.iter().map(|release| release_shown(release, known)).collect();
            format!("active releases of {}: {found:?}", place(&known.items, item))
        }
        10 => {
            let id = some(&known.releases, random);
            let found = store.releases().by_id(id).await.unwrap();
            let place_of = store.items().place(item).await.unwrap();
            format!("release: {:?}, {place_of:?}", found.map(|release| release_shown(&release, known)))
        }
        11 => {
            let (key, limit) = (random.perhaps(key), 1 + random.number(5));
            let found = store.releases().list(app, profile, key, limit).await.unwrap();
            let found: Vec<_> =
                found.iter().map(|(release, key)| (release_shown(release, known), key)).collect();
            format!("releases of {at} {profile} {key:?}: {found:?}")
        }
        12 => {
            let found = store.nodes().list(app, profile).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|node| node_shown(node, known)).collect();
            format!("nodes of {at} {profile}: {found:?}")
        }
        13 => {
            let found = store.nodes().find(app, profile, node_id(random)).await.unwrap();
            let present = store.nodes().present(app).await.unwrap();
            let present: Vec<_> = present
                .into_iter()
                .map(|(number, profile, id)| (place(&known.nodes, number), profile, id))
                .collect();
            format!("node of {at}: {:?}, {present:?}", found.map(|node| node_shown(node, known)))
        }
        14 => {
            let releases = [some(&known.releases, random), some(&known.releases, random)];
            let found = store.deliveries().of_releases(&releases).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|found| delivery_shown(found, known)).collect();
            format!("deliveries: {found:?}")
        }
        15 => {
            let apps = [app, some(&known.apps, random)];
            let revisions = store.apps().revisions(&apps).await.unwrap();
            let revisions: Vec<_> = revisions.iter().map(|(app, n)| (place(&known.apps, *app), n)).collect();
            let keys = store.app_keys().ids(&apps).await.unwrap();
            let keys: Vec<_> =
                keys.iter().map(|(app, key)| (place(&known.apps, *app), place(&known.keys, *key))).collect();
            let of_app = store.app_keys().of_app(app).await.unwrap();
            let of_app: Vec<_> = of_app.into_iter().map(|key| key_shown(key, known)).collect();
            format!("revisions and keys: {revisions:?}, {keys:?}, {of_app:?}")
        }
        _ => {
            let app = store.items().app_of(item).await.unwrap();
            let grant = some(&known.grants, random);
            let found = store.grants().find(grant).await.unwrap();
            let (app, item) = (app.map(|app| place(&known.apps, app)), place(&known.items, item));
            format!("app of {item}: {app:?}; grant: {:?}", found.map(|grant| grant_shown(grant, known)))
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    match random.below(28) {
        0 | 1 => {
            let app = app(random);
            let id = store.apps().insert(&app).await.unwrap().map(|id| note(&mut known.apps, id));
            format!("add {app:?}: {id:?}")
        }
        2 => {
            let changed = App { id: some(&known.apps, random), ..app(random) };
            let done = store.apps().update(&changed).await.unwrap();
            format!("change {:?}: {done}", app_shown(changed, known))
        }
        3 => {
            let id = some(&known.apps, random);
            if !random.chance(30) {
                let revision = store.apps().raise_revision(id).await.unwrap();
                return format!("raise {}: {revision:?}", place(&known.apps, id));
            }
            format!("delete app {}: {}", place(&known.apps, id), store.apps().delete(id).await.unwrap())
        }
        4..=9 => write_grant(store, known, random).await,
        10..=17 => write_node(store, known, random).await,
        _ => write_item(store, known, random).await,
    }
}

async fn write_node(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    let (app, number) = (some(&known.apps, random), some(&known.nodes, random));
    let at = place(&known.apps, app);
    match random.below(10) {
        0 => {
            let key = AppKey {
                id: 7,
                app,
                salt: [9; 32],
                // Never twice, as keys are random.
                digest: std::array::from_fn(|_| random.next().to_le_bytes()[0]),
                create_time: random.moment(),
            };
            if store.apps().by_id(app).await.unwrap().is_none() {
                return "no app".into();
            }
            let id = store.app_keys().insert(&key).await.unwrap();
            let found = store.app_keys().app_by_digest(&key.digest).await.unwrap();
            assert_eq!(found, Some(app));
            format!("add key of {at}: {}", note(&mut known.keys, id))
        }
        1 => {
            let id = some(&known.keys, random);
            let found = store.app_keys().find(id).await.unwrap().map(|key| key_shown(key, known));
            format!("delete {found:?}: {}", store.app_keys().delete(id).await.unwrap())
        }
        2 => format!("leave {}: {}", place(&known.nodes, number), store.nodes().leave(number).await.unwrap()),
        3 => {
            let (numbers, until) = ([number, some(&known.nodes, random)], random.moment());
            store.nodes().renew(&numbers, until).await.unwrap();
            format!("renew {:?} {until}", numbers.map(|number| place(&known.nodes, number)))
        }
        4 if random.chance(20) => {
            let before = random.moment();
            format!("prune {before}: {}", store.nodes().prune(before).await.unwrap())
        }
        5 | 6 => {
            let mut reports: Vec<Delivery> = Vec::new();
            for _ in 0..=random.below(4) {
                let (release, node) = (some(&known.releases, random), some(&known.nodes, random));
                let result = random.pick(&[AckResult::Applied, AckResult::Rejected, AckResult::Failed]);
                let ack = Ack { result, message: random.word().to_owned(), time: random.moment() };
                let (sent, ack) = (random.moment(), random.perhaps(ack));
                let report = Delivery { release, node, sent: random.perhaps(sent), ack };
                if !reports.iter().any(|held| (held.release, held.node) == (release, node)) {
                    reports.push(report);
                }
            }
            store.deliveries().record(&reports).await.unwrap();
            let shown: Vec<_> = reports.into_iter().map(|report| delivery_shown(report, known)).collect();
            format!("record {shown:?}")
        }
        _ => {
            let label = ("zone".to_owned(), random.word().to_owned());
            let labels = random.perhaps(label);
            let node = Node {
                number: 0,
                app,
                profile: profile(random).to_owned(),
                node_id: node_id(random).to_owned(),
                pid: random.word().to_owned(),
                ip: random.perhaps("fe80::1".parse().unwrap()),
                labels: labels.into_iter().collect(),
                register_time: random.moment(),
                lease_until: random.moment(),
                left: false,
            };
            let number = store.nodes().register(&node).await.unwrap();
            let number = number.map(|number| note(&mut known.nodes, number));
            format!("register {:?}: {number:?}", node_shown(node, known))
        }
    }
}

async fn write_grant(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    let (account, app, id) =
        (some(&known.accounts, random), some(&known.apps, random), some(&known.grants, random));
    let permission = permission(random);
    match random.below(5) {
        0 => {
            let done = store.grants().update(id, permission).await.unwrap();
            format!("change grant {} to {permission:?}: {done}", place(&known.grants, id))
        }
        1 => {
            let done = store.grants().delete(id).await.unwrap();
            format!("delete grant {}: {done}", place(&known.grants, id))
        }
        _ => {
            let app = random.perhaps(app);
            let there = store.accounts().by_id(account).await.unwrap().is_some();
            let there = there
                && match app {
                    Some(app) => store.apps().by_id(app).await.unwrap().is_some(),
                    None => true,
                };
            if !there {
                return "nobody to grant to".into();
            }
            let grant = Grant { id: 0, account, uname: random.word().to_owned(), app, permission };
            let id = store.grants().insert(&grant).await.unwrap();
            let id = id.map(|id| note(&mut known.grants, id));
            format!("add {:?}: {id:?}", grant_shown(grant, known))
        }
    }
}

async fn write_item(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    let (app, profile, key) = (some(&known.apps, random), profile(random), key(random));
    if random.chance(30) {
        let first = version(7, random);
        if store.apps().by_id(app).await.unwrap().is_none() {
            return "no app".into();
        }
        let made = store.items().insert(app, profile, key, &first).await.unwrap();
        let made = made.map(|(id, version)| (note(&mut known.items, id), version));
        return format!("add item {} {profile} {key} {first:?}: {made:?}", place(&known.apps, app));
    }
    let id = some(&known.items, random);
    let item = place(&known.items, id);
    let stale = i64::from(random.chance(25));
    let (content, revision, approver) = (version(0, random), 1 + random.number(9), random.number(5));
    let operation = random.below(6);
    let Some(held) = store.items().by_id(id).await.unwrap() else { return "no item".into() };
    let seen = held.current.version - stale;
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
            let version = 1 + random.number(4);
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
                id: 7,
                item: id,
                version: seen,
                kind: if grey { ReleaseKind::Grey } else { ReleaseKind::Full },
                state: ReleaseState::Active,
                publisher: approver,
                publish_time: random.moment(),
                revision,
                end_revision: None,
                nodes: if grey { vec![node_id(random).to_owned(), "zz".to_owned()] } else { Vec::new() },
                origin: random.perhaps(known.releases.last().copied()).flatten(),
            };
            let made = store.releases().insert(&release).await.unwrap();
            format!("release {item} {seen}: {}", note(&mut known.releases, made))
        }
    }
}
