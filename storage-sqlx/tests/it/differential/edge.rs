//! Edges, who looks after them, the last purge of every host, and what edges owe.

use chrono::TimeDelta;
use pilothouse_core::cdn::{Edge, EdgeState, Owed};
use pilothouse_core::ports::Repositories;

use super::cdn::{cdn_name, job_shown};
use super::known::Known;
use super::random::Random;

fn edge_name(random: &mut Random) -> &'static str {
    random.pick(&["edge-1", "edge-2", "Edge-1", "边缘"])
}

fn edge(random: &mut Random) -> Edge {
    let heard = random.moment();
    Edge {
        cdn: cdn_name(random).to_owned(),
        name: edge_name(random).to_owned(),
        epoch: random.number(100),
        state: random.pick(&[EdgeState::CutOff, EdgeState::Paying, EdgeState::InService]),
        since: random.moment(),
        heard: random.perhaps(heard),
        reason: random.word().to_owned(),
    }
}

pub(super) async fn read(store: &mut dyn Repositories, known: &Known, random: &mut Random) -> String {
    let cdn = cdn_name(random);
    match random.below(4) {
        0 => format!("edges of {cdn}: {:?}", store.edges().list(cdn).await.unwrap()),
        1 => {
            let least = random.number(100);
            format!("purged on {cdn} since {least}: {:?}", store.edges().purged(cdn, least).await.unwrap())
        }
        2 => format!("least stamp on {cdn}: {:?}", store.jobs().least_stamp(cdn).await.unwrap()),
        _ => {
            let (edge, count) = (edge_name(random), random.number(5));
            let owed = store.jobs().owed(cdn, edge, count).await.unwrap().into_iter();
            let owed: Vec<_> = owed.map(|owed| Owed { job: job_shown(owed.job, known), ..owed }).collect();
            format!("{edge} of {cdn} owes at least {count}: {owed:?}")
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, random: &mut Random) -> String {
    let edge = edge(random);
    let cdn = &edge.cdn;
    match random.below(8) {
        0 | 1 => format!("add {edge:?}: {}", store.edges().insert(&edge).await.unwrap()),
        2 | 3 => format!("change {edge:?}: {}", store.edges().update(&edge).await.unwrap()),
        4 => format!("remove {edge:?}: {}", store.edges().remove(cdn, &edge.name).await.unwrap()),
        5 => {
            let (keeper, now) = (random.pick(&["one", "two", "Two"]), random.moment());
            let until = now + TimeDelta::microseconds(random.number(5));
            let kept = store.edges().keep(cdn, keeper, now, until).await.unwrap();
            format!("{keeper} keeps {cdn} from {now} until {until}: {kept}")
        }
        6 => {
            let hosts: Vec<_> =
                ["a.test", "b.test", "A.test"].into_iter().filter(|_| random.chance(50)).collect();
            let owned: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let least = random.number(100);
            let stamp = store.edges().stamp(cdn, &owned, least).await.unwrap();
            format!("purge {hosts:?} on {cdn} at {least} or later: {stamp}")
        }
        _ => {
            store.jobs().wake(cdn, edge.since).await.unwrap();
            format!("wake {cdn} at {}", edge.since)
        }
    }
}
