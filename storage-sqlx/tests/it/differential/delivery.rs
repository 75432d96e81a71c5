//! Releases over time, app keys, nodes, and what became of releases there.

use pilothouse_core::config::{Ack, AckResult, AppKey, Delivery, Node, Release};
use pilothouse_core::ports::Repositories;

use super::config::{key, profile};
use super::known::{Known, note, place, some};
use super::random::Random;

fn release_shown(release: &Release, known: &Known) -> Release {
    let (id, item) = (place(&known.releases, release.id), place(&known.items, release.item));
    let origin = release.origin.map(|origin| place(&known.releases, origin));
    Release { id, item, origin, ..release.clone() }
}

fn node_shown(node: Node, known: &Known) -> Node {
    Node { number: place(&known.nodes, node.number), app: place(&known.apps, node.app), ..node }
}

fn key_shown(mut key: AppKey, known: &Known) -> AppKey {
    (key.id, key.app) = (place(&known.keys, key.id), place(&known.apps, key.app));
    key
}

fn delivery_shown(delivery: Delivery, known: &Known) -> Delivery {
    let release = place(&known.releases, delivery.release);
    Delivery { release, node: place(&known.nodes, delivery.node), ..delivery }
}

pub(super) fn node_id(random: &mut Random) -> &'static str {
    random.pick(&["11", "22", "A", "a", "fe80::1%eth0"])
}

pub(super) async fn read(store: &mut dyn Repositories, known: &Known, random: &mut Random) -> String {
    let (app, profile, key) = (some(&known.apps, random), profile(random), key(random));
    let (item, at) = (some(&known.items, random), place(&known.apps, app));
    match random.below(8) {
        0 => {
            let (since, whole) = (random.number(10), random.chance(50));
            let found = store.releases().since(app, since, whole).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|found| (release_shown(&found.release, known), &found.profile, &found.key, &found.value))
                .collect();
            format!("releases of {at} since {since} {whole}: {found:?}")
        }
        1 => {
            let found = store.releases().active(item).await.unwrap();
            let found: Vec<_> = found.iter().map(|release| release_shown(release, known)).collect();
            format!("active releases of {}: {found:?}", place(&known.items, item))
        }
        2 => {
            let id = some(&known.releases, random);
            let found = store.releases().by_id(id).await.unwrap();
            let place_of = store.items().place(item).await.unwrap();
            format!("release: {:?}, {place_of:?}", found.map(|release| release_shown(&release, known)))
        }
        3 => {
            let (key, limit) = (random.perhaps(key), 1 + random.number(5));
            let found = store.releases().list(app, profile, key, limit).await.unwrap();
            let found: Vec<_> =
                found.iter().map(|(release, key)| (release_shown(release, known), key)).collect();
            format!("releases of {at} {profile} {key:?}: {found:?}")
        }
        4 => {
            let found = store.nodes().list(app, profile).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|node| node_shown(node, known)).collect();
            let online = store.nodes().count_online(app, profile, random.moment()).await.unwrap();
            format!("nodes of {at} {profile}: {found:?}, {online} online")
        }
        5 => {
            let found = store.nodes().find(app, profile, node_id(random)).await.unwrap();
            let present = store.nodes().present(app).await.unwrap();
            let present: Vec<_> = present
                .into_iter()
                .map(|(number, profile, id)| (place(&known.nodes, number), profile, id))
                .collect();
            format!("node of {at}: {:?}, {present:?}", found.map(|node| node_shown(node, known)))
        }
        6 => {
            let releases = [some(&known.releases, random), some(&known.releases, random)];
            let found = store.deliveries().of_releases(&releases).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|found| delivery_shown(found, known)).collect();
            format!("deliveries: {found:?}")
        }
        _ => {
            let apps = [app, some(&known.apps, random)];
            let revisions = store.apps().revisions(&apps).await.unwrap();
            let revisions: Vec<_> = revisions.iter().map(|(app, n)| (place(&known.apps, *app), n)).collect();
            let keys = store.app_keys().ids(&apps).await.unwrap();
            let keys: Vec<_> =
                keys.iter().map(|(app, key)| (place(&known.apps, *app), place(&known.keys, *key))).collect();
            let of_app = store.app_keys().of_app(app).await.unwrap();
            let of_app: Vec<_> = of_app.into_iter().map(|key| key_shown(key, known)).collect();
            let drift = store.nodes().drift(&apps).await.unwrap();
            let drift: Vec<_> = drift
                .iter()
                .map(|(app, node, key)| (place(&known.apps, *app), place(&known.nodes, *node), key))
                .collect();
            format!("revisions, keys and drift: {revisions:?}, {keys:?}, {of_app:?}, {drift:?}")
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
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
        7 => {
            let drift =
                [(number, key(random).to_owned()), (some(&known.nodes, random), key(random).to_owned())];
            store.nodes().add_drift(&drift).await.unwrap();
            let removed = store.nodes().remove_drift(number, key(random)).await.unwrap();
            format!("drift of {}: {removed}", place(&known.nodes, number))
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
