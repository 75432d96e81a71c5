//! Releases of an app, app keys, nodes and delivery records.

use pilothouse_conformance::Rng;
use pilothouse_core::Page;
use pilothouse_core::config::{
    Ack, AckResult, ActiveGrey, AppId, AppKey, AppKeyId, ConcernedNodes, DeliveryRecord, Node, NodeNumber,
    NodePage, PartAck, PendingItem, ProfileAt, Release, ReleaseId,
};
use pilothouse_core::ports::Repositories;

use super::authoring::{key, profile};
use super::draws::Draws;
use super::issued_ids::{IssuedIds, any_id, index_of, record_id};

fn comparable_release(release: &Release, issued: &IssuedIds) -> Release {
    let (id, item) = (index_of(&issued.releases, release.id), index_of(&issued.items, release.item));
    let origin = release.origin.map(|origin| index_of(&issued.releases, origin));
    Release { id, item, origin, ..release.clone() }
}

fn comparable_node(node: Node, issued: &IssuedIds) -> Node {
    Node { number: index_of(&issued.nodes, node.number), app: index_of(&issued.apps, node.app), ..node }
}

fn comparable_key(mut key: AppKey, issued: &IssuedIds) -> AppKey {
    (key.id, key.app) = (index_of(&issued.keys, key.id), index_of(&issued.apps, key.app));
    key
}

fn comparable_delivery(delivery: DeliveryRecord, issued: &IssuedIds) -> DeliveryRecord {
    let release = index_of(&issued.releases, delivery.release);
    DeliveryRecord { release, node: index_of(&issued.nodes, delivery.node), ..delivery }
}

/// Acknowledgements of some parts, each once.
fn part_acks(reports: &[DeliveryRecord], issued: &IssuedIds, random: &mut Rng) -> Vec<PartAck> {
    let said = reports.iter().filter_map(|report| Some((report, report.ack.clone()?)));
    let said = said.map(|(report, ack)| {
        let DeliveryRecord { release, node, .. } = *report;
        PartAck { release, node, part: any_id(&issued.releases, random), ack }
    });
    said.collect()
}

/// Counts of releases, and of the nodes that the first of them concerns.
async fn counts(
    store: &mut dyn Repositories,
    issued: &IssuedIds,
    releases: &[ReleaseId; 2],
    (app, profile): (AppId, &str),
    random: &mut Rng,
) -> String {
    let counts = store.deliveries().counts(&releases[..1]).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|of| (of.nodes, of.applied, of.rejected, of.failed)).collect();
    let of = ProfileAt { app, profile, now: random.moment() };
    let (release, everyone) = (releases[0], random.chance(50));
    let concerned = ConcernedNodes { release, everyone, except: &["22"] };
    let states = store.deliveries().rollout_states(of, &concerned).await.unwrap();
    let nodes = store.deliveries().rollout_nodes(of, &concerned, NodePage::WHOLE).await.unwrap();
    let nodes: Vec<_> = nodes.iter().map(|node| (&*node.node_id, node.state, node.sent, &node.ack)).collect();
    let reach = store.deliveries().reach(of, &releases[..1], everyone).await.unwrap();
    let reach: Vec<_> = reach.iter().map(|of| (of.left, of.is_acked, of.nodes)).collect();
    let times = store.deliveries().applied_times(release, random.moment()).await.unwrap();
    let census = store.nodes().census(app, profile, of.now).await.unwrap();
    let keys: Vec<_> = issued.nodes.iter().map(|node| (release, *node)).collect();
    let acks = store.deliveries().part_acks(&keys).await.unwrap();
    let acks: Vec<_> = acks.iter().map(|said| (index_of(&issued.releases, said.part), &said.ack)).collect();
    format!("{counts:?}, {states:?}, {nodes:?}, {reach:?}, {times:?}, {census:?}, {acks:?}")
}

pub(super) fn node_id(random: &mut Rng) -> &'static str {
    random.pick(&["11", "22", "A", "a", "fe80::1%eth0"])
}

pub(super) async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    let (app, profile, key) = (any_id(&issued.apps, random), profile(random), key(random));
    let (item, app_index) = (any_id(&issued.items, random), index_of(&issued.apps, app));
    match random.usize(..9) {
        0 => {
            let (since, whole) = (random.i64(0..10), random.chance(50));
            let found = store.releases().since(app, since, whole).await.unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|found| {
                    (comparable_release(&found.release, issued), &found.profile, &found.key, &found.value)
                })
                .collect();
            format!("releases of {app_index} since {since} {whole}: {found:?}")
        }
        1 => {
            let found = store.releases().active(item).await.unwrap();
            let found: Vec<_> = found.iter().map(|release| comparable_release(release, issued)).collect();
            let with = store.releases().with_active(&[item]).await.unwrap().len();
            let ended = store.releases().ended_at(&[item], random.i64(0..10)).await.unwrap();
            let ended: Vec<_> = ended.iter().map(|release| comparable_release(release, issued)).collect();
            let of = store.releases().active_of(&[item]).await.unwrap();
            assert_eq!(of.len(), found.len());
            format!("active releases of {}: {found:?}, {with}, {ended:?}", index_of(&issued.items, item))
        }
        2 => {
            let id = any_id(&issued.releases, random);
            let found = store.releases().by_id(id).await.unwrap();
            let place_of = store.items().place(item).await.unwrap();
            format!("release: {:?}, {place_of:?}", found.map(|release| comparable_release(&release, issued)))
        }
        3 => {
            let (key, limit) = (random.perhaps(key), 1 + random.i64(0..5));
            let found = store.releases().list(app, profile, key, limit).await.unwrap();
            let found: Vec<_> =
                found.iter().map(|(release, key)| (comparable_release(release, issued), key)).collect();
            let sets = store.releases().list_sets(app, profile, key, Page::at(0, limit)).await.unwrap();
            let sets: Vec<_> = sets.into_iter().map(|set| index_of(&issued.releases, set)).collect();
            format!("releases of {app_index} {profile} {key:?}: {found:?}, {sets:?}")
        }
        4 => {
            let found = store.nodes().list(app, profile).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|node| comparable_node(node, issued)).collect();
            let online = store.nodes().count_online(app, profile, random.moment()).await.unwrap();
            format!("nodes of {app_index} {profile}: {found:?}, {online} online")
        }
        5 => {
            let found = store.nodes().find(app, profile, node_id(random)).await.unwrap();
            let present = store.nodes().present(app).await.unwrap();
            let present: Vec<_> = present
                .into_iter()
                .map(|(number, profile, id)| (index_of(&issued.nodes, number), profile, id))
                .collect();
            format!("node of {app_index}: {:?}, {present:?}", found.map(|node| comparable_node(node, issued)))
        }
        6 => {
            let releases = [any_id(&issued.releases, random), any_id(&issued.releases, random)];
            let found = store.deliveries().of_releases(&releases).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|found| comparable_delivery(found, issued)).collect();
            let node = any_id(&issued.nodes, random);
            let of_node = store.deliveries().of_node(node).await.unwrap();
            let nodes = [any_id(&issued.nodes, random), node];
            let held = store.deliveries().held(item, &nodes, random.i64(0..4)).await.unwrap();
            let held: Vec<_> =
                held.iter().map(|held| (index_of(&issued.nodes, held.node), held.version)).collect();
            let counts = counts(store, issued, &releases, (app, profile), random).await;
            format!("deliveries: {found:?}, {of_node:?}, {held:?}, {counts}")
        }
        7 => {
            let apps = [app, any_id(&issued.apps, random)];
            format!("pending: {}", pending(store, issued, &apps, random).await)
        }
        _ => {
            let apps = [app, any_id(&issued.apps, random)];
            let revisions = store.apps().revisions(&apps).await.unwrap();
            let revisions: Vec<_> =
                revisions.iter().map(|of| (index_of(&issued.apps, of.app), of.number)).collect();
            let keys = store.app_keys().ids(&apps).await.unwrap();
            let keys: Vec<_> = keys
                .iter()
                .map(|(app, key)| (index_of(&issued.apps, *app), index_of(&issued.keys, *key)))
                .collect();
            let of_app = store.app_keys().of_app(app).await.unwrap();
            let of_app: Vec<_> = of_app.into_iter().map(|key| comparable_key(key, issued)).collect();
            let drift = store.nodes().drift(&apps).await.unwrap();
            let drift: Vec<_> = drift
                .iter()
                .map(|(app, node, key)| (index_of(&issued.apps, *app), index_of(&issued.nodes, *node), key))
                .collect();
            format!("revisions, keys and drift: {revisions:?}, {keys:?}, {of_app:?}, {drift:?}")
        }
    }
}

/// What is open in some apps.
async fn pending(
    store: &mut dyn Repositories,
    issued: &IssuedIds,
    apps: &[AppId],
    random: &mut Rng,
) -> String {
    let (count, is_approved) = (1 + random.i64(0..5), random.chance(50));
    let start = any_id(&issued.items, random);
    let items = store.pending().pending_items(apps, is_approved, start, count).await.unwrap();
    let items: Vec<_> = items
        .into_iter()
        .map(|found| {
            let (item, app) = (index_of(&issued.items, found.item), index_of(&issued.apps, found.app));
            PendingItem { item, app, ..found }
        })
        .collect();
    let start = any_id(&issued.releases, random);
    let greys = store.pending().active_greys(apps, start, count).await.unwrap();
    let greys: Vec<_> = greys
        .into_iter()
        .map(|found| {
            let (item, app) = (index_of(&issued.items, found.item), index_of(&issued.apps, found.app));
            ActiveGrey { release: index_of(&issued.releases, found.release), item, app, ..found }
        })
        .collect();
    format!("{is_approved}: {items:?}, {greys:?}")
}

pub(super) async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    let (app, number) = (any_id(&issued.apps, random), any_id(&issued.nodes, random));
    let app_index = index_of(&issued.apps, app);
    match random.usize(..10) {
        0 => {
            let key = AppKey {
                id: AppKeyId(7),
                app,
                salt: [9; 32],
                // No digest repeats, as keys are random.
                digest: std::array::from_fn(|_| random.u64(..).to_le_bytes()[0]),
                encrypted: random.perhaps(vec![0, 255, 7]),
                create_time: random.moment(),
            };
            if store.apps().by_id(app).await.unwrap().is_none() {
                return "no app".into();
            }
            let id = store.app_keys().insert(&key).await.unwrap().unwrap();
            assert_eq!(store.app_keys().insert(&key).await.unwrap(), None, "its digest is taken");
            let found = store.app_keys().app_by_digest(&key.digest).await.unwrap();
            assert_eq!(found, Some(app));
            format!("add key of {app_index}: {}", record_id(&mut issued.keys, id))
        }
        1 => {
            let id = any_id(&issued.keys, random);
            let found = store.app_keys().find(id).await.unwrap().map(|key| comparable_key(key, issued));
            format!("delete {found:?}: {}", store.app_keys().delete(id).await.unwrap())
        }
        2 => format!(
            "leave {}: {}",
            index_of(&issued.nodes, number),
            store.nodes().leave(number).await.unwrap()
        ),
        3 => {
            let (numbers, until) = ([number, any_id(&issued.nodes, random)], random.moment());
            store.nodes().renew(&numbers, until).await.unwrap();
            format!("renew {:?} {until}", numbers.map(|number| index_of(&issued.nodes, number)))
        }
        7 => {
            let drift =
                [(number, key(random).to_owned()), (any_id(&issued.nodes, random), key(random).to_owned())];
            store.nodes().add_drift(&drift).await.unwrap();
            let removed = store.nodes().remove_drift(number, key(random)).await.unwrap();
            format!("drift of {}: {removed}", index_of(&issued.nodes, number))
        }
        4 if random.chance(20) => {
            let before = random.moment();
            let void = store.nodes().end_void_leases(before - chrono::TimeDelta::seconds(16)).await.unwrap();
            format!("prune {before}: {void}, {}", store.nodes().prune(before, 2).await.unwrap())
        }
        5 | 6 => {
            let now = random.moment();
            let mut reports: Vec<DeliveryRecord> = Vec::new();
            for _ in 0..=random.usize(..4) {
                let (release, node) = (any_id(&issued.releases, random), any_id(&issued.nodes, random));
                let result = random.pick(&[AckResult::Applied, AckResult::Rejected, AckResult::Failed]);
                let ack = Ack { result, message: random.word().to_owned(), time: random.moment() };
                let (sent, ack) = (random.moment(), random.perhaps(ack));
                let report = DeliveryRecord { release, node, sent: random.perhaps(sent), ack };
                if !reports.iter().any(|other| (other.release, other.node) == (release, node)) {
                    reports.push(report);
                }
            }
            store.deliveries().record(&reports, now).await.unwrap();
            if random.chance(20) {
                store.deliveries().replace_acks(&reports[..1]).await.unwrap();
            }
            if random.chance(30) {
                store.deliveries().set_part_acks(&part_acks(&reports, issued, random)).await.unwrap();
            }
            if random.chance(10) {
                store.deliveries().clear_part_acks(&[(reports[0].release, reports[0].node)]).await.unwrap();
            }
            let shown: Vec<_> =
                reports.into_iter().map(|report| comparable_delivery(report, issued)).collect();
            format!("record {shown:?}")
        }
        _ => {
            let label = ("zone".to_owned(), random.word().to_owned());
            let labels = random.perhaps(label);
            let node = Node {
                number: NodeNumber::UNSAVED,
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
            let number = number.map(|number| record_id(&mut issued.nodes, number));
            format!("register {:?}: {number:?}", comparable_node(node, issued))
        }
    }
}
