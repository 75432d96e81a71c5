//! Edges, the lease on their management, the last purge of every host, and missed purges.

use chrono::TimeDelta;
use pilothouse_conformance::Rng;
use pilothouse_core::Lease;
use pilothouse_core::cdn::{Edge, EdgeState, MissedPurges};
use pilothouse_core::ports::Repositories;

use super::customers::cdn_name;
use super::draws::Draws;
use super::issued_ids::IssuedIds;
use super::job::comparable_job;

fn edge_name(random: &mut Rng) -> &'static str {
    random.pick(&["edge-1", "edge-2", "Edge-1", "边缘"])
}

fn edge(random: &mut Rng) -> Edge {
    let last_seen = random.moment();
    Edge {
        cdn: cdn_name(random).to_owned(),
        name: edge_name(random).to_owned(),
        epoch: random.i64(0..100),
        state: random.pick(&[EdgeState::Unreachable, EdgeState::CatchingUp, EdgeState::InService]),
        since: random.moment(),
        last_seen: random.perhaps(last_seen),
        reason: random.word().to_owned(),
    }
}

pub(super) async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    let cdn = cdn_name(random);
    match random.usize(..4) {
        0 => format!("edges of {cdn}: {:?}", store.edges().list(cdn).await.unwrap()),
        1 => {
            let least = random.i64(0..100);
            format!("purged on {cdn} since {least}: {:?}", store.edges().purged(cdn, least).await.unwrap())
        }
        2 => format!("least stamp on {cdn}: {:?}", store.jobs().least_stamp(cdn).await.unwrap()),
        _ => {
            let (edge, count) = (edge_name(random), random.i64(0..5));
            let missed = store.jobs().missed_purges(cdn, edge, count).await.unwrap().into_iter();
            let missed: Vec<_> = missed
                .map(|missed| MissedPurges { job: comparable_job(missed.job, issued), ..missed })
                .collect();
            format!("purges since {count} that {edge} of {cdn} missed: {missed:?}")
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, random: &mut Rng) -> String {
    let edge = edge(random);
    let cdn = &edge.cdn;
    match random.usize(..8) {
        0 | 1 => format!("add {edge:?}: {}", store.edges().insert(&edge).await.unwrap()),
        2 | 3 => format!("change {edge:?}: {}", store.edges().update(&edge).await.unwrap()),
        4 => format!("remove {edge:?}: {}", store.edges().remove(cdn, &edge.name).await.unwrap()),
        5 => {
            let (leader, now) = (random.pick(&["one", "two", "Two"]), random.moment());
            // So short that what another wrote is often further away than the tolerance.
            let lease = Lease::of(
                TimeDelta::microseconds(random.i64(0..5))
                    - random.perhaps(TimeDelta::seconds(1)).unwrap_or_default(),
            );
            let leads = store.edges().lead(cdn, leader, now, lease).await.unwrap();
            if random.chance(20) {
                store.edges().step_down(cdn, random.pick(&["one", "two", "Two"])).await.unwrap();
            }
            let until = store.edges().led_until(cdn).await.unwrap();
            format!("{leader} leads {cdn} from {now} for {lease:?}: {leads}, until {until:?}")
        }
        6 => {
            let hosts: Vec<_> =
                ["a.test", "b.test", "A.test"].into_iter().filter(|_| random.chance(50)).collect();
            let owned: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let least = random.i64(0..100);
            let stamp = store.edges().stamp(cdn, &owned, least).await.unwrap();
            format!("purge {hosts:?} on {cdn} at {least} or later: {stamp}")
        }
        _ => {
            store.jobs().wake(cdn, edge.since).await.unwrap();
            format!("wake {cdn} at {}", edge.since)
        }
    }
}
