//! Kept-aside lines of unregistered hosts.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use imbl::{OrdMap, OrdSet};
use pilothouse_core::cdn::{
    CdnId, LogFile, LogSourceId, OTHER_HOSTS, UnregisteredHost, UnregisteredKey, UnregisteredLines,
    UnregisteredLinesId, UnregisteredRepository, UnregisteredUsage,
};
use pilothouse_core::ports::StorageResult;

use crate::state::Table;
use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(crate) struct UnregisteredState {
    lines: Table<UnregisteredLinesId, UnregisteredLines>,
    /// Dropped lines by cdn and host.
    dropped: OrdMap<(CdnId, String), i64>,
    /// Hosts with lines that the settings list.
    listed: OrdSet<(CdnId, String)>,
}

impl UnregisteredState {
    pub(crate) fn rows(&self) -> usize {
        self.lines.iter().count()
    }

    fn of_cdn(&self, cdn_id: CdnId) -> impl Iterator<Item = &UnregisteredLines> {
        self.lines.iter().filter(move |row| row.cdn_id == cdn_id)
    }

    fn is_listed(&self, row: &UnregisteredLines) -> bool {
        self.listed.contains(&(row.cdn_id, row.host.clone()))
    }

    /// Rows of hosts of a cdn that are not listed.
    fn unlisted(&self, cdn_id: CdnId) -> impl Iterator<Item = &UnregisteredLines> {
        self.of_cdn(cdn_id).filter(|row| !self.is_listed(row))
    }

    fn has_lines(&self, cdn_id: CdnId, host: &str) -> bool {
        self.of_cdn(cdn_id).any(|row| row.host == host)
    }

    /// Removes rows, and counts them as dropped where they are; how many.
    fn remove(&mut self, rows: &[UnregisteredLines], are_dropped: bool) -> u64 {
        let mut hosts = BTreeSet::new();
        for row in rows {
            self.lines.remove(row.id);
            let key = (row.cdn_id, row.host.clone());
            if are_dropped {
                *self.dropped.entry(key.clone()).or_default() += row.lines;
            }
            hosts.insert(key);
        }
        for (cdn_id, host) in hosts {
            // Of a host without lines nothing is left but what was dropped, which is counted together.
            if self.has_lines(cdn_id, &host) {
                continue;
            }
            let key = (cdn_id, host);
            self.listed.remove(&key);
            if let Some(dropped) = self.dropped.remove(&key) {
                *self.dropped.entry((cdn_id, OTHER_HOSTS.to_owned())).or_default() += dropped;
            }
        }
        rows.len() as u64
    }
}

/// Whether a row may be merged with others of its key.
fn is_mergeable(row: &UnregisteredLines, undone: &HashSet<LogSourceId>) -> bool {
    !row.is_open && !undone.contains(&row.source_id)
}

fn key_of(row: &UnregisteredLines) -> UnregisteredKey {
    let &UnregisteredLines { cdn_id, ref host, day, ref file, .. } = row;
    UnregisteredKey { cdn_id, host: host.clone(), day, is_merged: matches!(file, LogFile::Sealed(_)) }
}

fn first(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

#[async_trait]
impl UnregisteredRepository for Transaction {
    async fn insert(&mut self, lines: &[UnregisteredLines]) -> StorageResult<()> {
        let held = &mut self.state_mut()?.cdn.unregistered.lines;
        for row in lines {
            held.insert(|id| UnregisteredLines { id, ..row.clone() });
        }
        Ok(())
    }

    async fn withdraw(&mut self, pack: &str, offset: i64) -> StorageResult<bool> {
        let file = LogFile::Pack(pack.to_owned());
        let state = &mut self.state_mut()?.cdn.unregistered;
        let found = state.lines.iter().filter(|row| row.file == file && row.offset == offset);
        let found: Vec<_> = found.cloned().collect();
        Ok(state.remove(&found, false) > 0)
    }

    async fn hosts(&mut self, cdn_id: CdnId) -> StorageResult<Vec<UnregisteredHost>> {
        let state = &self.state().cdn.unregistered;
        let empty = |host: &str| {
            let (host, times) = (host.to_owned(), None);
            UnregisteredHost { cdn_id, host, lines: 0, bytes: 0, times, dropped: 0, is_listed: false }
        };
        let mut hosts = BTreeMap::<&str, UnregisteredHost>::new();
        for row in state.of_cdn(cdn_id) {
            let host = hosts.entry(&row.host).or_insert_with(|| empty(&row.host));
            host.is_listed = state.is_listed(row);
            host.lines += row.lines;
            host.bytes += row.raw_length;
            let (earliest, latest) = host.times.unwrap_or((row.first, row.last));
            host.times = Some((earliest.min(row.first), latest.max(row.last)));
        }
        for ((of, host), dropped) in &state.dropped {
            if *of == cdn_id {
                hosts.entry(host).or_insert_with(|| empty(host)).dropped = *dropped;
            }
        }
        Ok(hosts.into_values().collect())
    }

    async fn usage(&mut self, cdn_id: CdnId) -> StorageResult<UnregisteredUsage> {
        let mut usage = UnregisteredUsage::default();
        let mut hosts = HashSet::new();
        for row in self.state().cdn.unregistered.unlisted(cdn_id) {
            hosts.insert(&row.host);
            usage.rows += 1;
            usage.bytes += row.raw_length;
        }
        usage.hosts = i64::try_from(hosts.len()).unwrap_or(i64::MAX);
        Ok(usage)
    }

    async fn take(&mut self, cdn_id: CdnId, host: &str) -> StorageResult<Vec<UnregisteredLines>> {
        let state = &mut self.state_mut()?.cdn.unregistered;
        let taken: Vec<_> = state.of_cdn(cdn_id).filter(|row| row.host == host).cloned().collect();
        state.dropped.remove(&(cdn_id, host.to_owned()));
        state.remove(&taken, false);
        Ok(taken)
    }

    async fn set_listed(&mut self, cdn_id: CdnId, host: &str, is_listed: bool) -> StorageResult<()> {
        let state = &mut self.state_mut()?.cdn.unregistered;
        let key = (cdn_id, host.to_owned());
        if is_listed && state.has_lines(cdn_id, host) {
            state.listed.insert(key);
        } else {
            state.listed.remove(&key);
        }
        Ok(())
    }

    async fn drop_host(&mut self, cdn_id: CdnId) -> StorageResult<()> {
        let state = &mut self.state_mut()?.cdn.unregistered;
        let mut newest = BTreeMap::<&str, DateTime<Utc>>::new();
        for row in state.unlisted(cdn_id) {
            let at = newest.entry(&row.host).or_insert(row.recorded);
            *at = row.recorded.max(*at);
        }
        let stalest = newest.into_iter().min_by_key(|&(host, at)| (at, host));
        let Some((host, _)) = stalest else { return Ok(()) };
        let dropped: Vec<_> = state.of_cdn(cdn_id).filter(|row| row.host == host).cloned().collect();
        state.remove(&dropped, true);
        Ok(())
    }

    async fn drop_first(&mut self, cdn_id: CdnId, count: i64) -> StorageResult<()> {
        let state = &mut self.state_mut()?.cdn.unregistered;
        let dropped: Vec<_> = state.unlisted(cdn_id).take(first(count)).cloned().collect();
        state.remove(&dropped, true);
        Ok(())
    }

    async fn crowded(&mut self, rows: i64, count: i64) -> StorageResult<Vec<UnregisteredKey>> {
        let cdn = &self.state().cdn;
        let undone: HashSet<_> = cdn.log_undo.iter().map(|record| record.source_id).collect();
        let mut counts = BTreeMap::<UnregisteredKey, i64>::new();
        for row in cdn.unregistered.lines.iter().filter(|row| is_mergeable(row, &undone)) {
            *counts.entry(key_of(row)).or_default() += 1;
        }
        let crowded = counts.into_iter().filter(|(_, found)| *found >= rows).map(|(key, _)| key);
        Ok(crowded.take(first(count)).collect())
    }

    async fn of_key(&mut self, key: &UnregisteredKey, count: i64) -> StorageResult<Vec<UnregisteredLines>> {
        let cdn = &self.state().cdn;
        let undone: HashSet<_> = cdn.log_undo.iter().map(|record| record.source_id).collect();
        let rows = cdn.unregistered.lines.iter().filter(|row| is_mergeable(row, &undone));
        Ok(rows.filter(|row| key_of(row) == *key).take(first(count)).cloned().collect())
    }

    async fn delete(&mut self, ids: &[UnregisteredLinesId]) -> StorageResult<u64> {
        let state = &mut self.state_mut()?.cdn.unregistered;
        let found: Vec<_> = ids.iter().filter_map(|id| state.lines.get(*id).cloned()).collect();
        Ok(state.remove(&found, false))
    }

    async fn count_dropped(&mut self, cdn_id: CdnId, host: &str, lines: i64) -> StorageResult<()> {
        let state = &mut self.state_mut()?.cdn.unregistered;
        let host = if state.has_lines(cdn_id, host) { host } else { OTHER_HOSTS };
        *state.dropped.entry((cdn_id, host.to_owned())).or_default() += lines;
        Ok(())
    }

    async fn delete_source(&mut self, source_id: LogSourceId) -> StorageResult<u64> {
        let state = &mut self.state_mut()?.cdn.unregistered;
        let found = state.lines.iter().filter(|row| row.source_id == source_id);
        let found: Vec<_> = found.cloned().collect();
        Ok(state.remove(&found, false))
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        let state = &mut self.state_mut()?.cdn.unregistered;
        let old = state.lines.iter().filter(|row| row.recorded < before && !state.is_listed(row));
        let old = old.take(first(count));
        let old: Vec<_> = old.cloned().collect();
        Ok(state.remove(&old, false))
    }

    async fn files(&mut self) -> StorageResult<Vec<LogFile>> {
        let files: HashSet<_> =
            self.state().cdn.unregistered.lines.iter().map(|row| row.file.clone()).collect();
        Ok(files.into_iter().collect())
    }
}
