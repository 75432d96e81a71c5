//! The ids that a store has given out, in their order.

use pilothouse_core::ops::TaskId;

use super::random::Random;

/// The ids of one store. Equal places on two stores mean the same thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) accounts: Vec<i64>,
    pub(super) tokens: Vec<i64>,
    pub(super) apps: Vec<i64>,
    pub(super) grants: Vec<i64>,
    pub(super) items: Vec<i64>,
    pub(super) releases: Vec<i64>,
    pub(super) keys: Vec<i64>,
    pub(super) nodes: Vec<i64>,
    pub(super) cdns: Vec<i64>,
    pub(super) domains: Vec<i64>,
    pub(super) companies: Vec<i64>,
    pub(super) jobs: Vec<i64>,
    pub(super) cities: Vec<i64>,
    pub(super) sources: Vec<i64>,
    /// Made by us, not by the store.
    pub(super) tasks: Vec<TaskId>,
    pub(super) job_names: Vec<String>,
}

/// Notes an id that the store gave out just now, or again.
pub(super) fn note(ids: &mut Vec<i64>, id: i64) -> i64 {
    if !ids.contains(&id) {
        assert!(ids.last().is_none_or(|last| *last < id), "ids grow");
        ids.push(id);
    }
    place(ids, id)
}

/// The place of an id; -1 where the store never gave it out.
pub(super) fn place(ids: &[i64], id: i64) -> i64 {
    ids.iter().position(|known| *known == id).map_or(-1, |place| i64::try_from(place).unwrap())
}

/// One of the ids, most often a late one, sometimes one that does not exist.
pub(super) fn some(ids: &[i64], random: &mut Random) -> i64 {
    let late = ids.len().saturating_sub(6);
    let from = if random.chance(70) { &ids[late..] } else { ids };
    from.get(random.below(from.len() + 1)).copied().unwrap_or(i64::from(i32::MAX))
}
