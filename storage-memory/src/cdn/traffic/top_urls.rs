//! Top URLs repository over the state in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use async_trait::async_trait;
use imbl::Vector;
use pilothouse_core::cdn::{Day, DomainId, Hour, LogSourceId, TopUrlsKey, TopUrlsPiece, TopUrlsRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Pieces in the order in which they were added.
pub(crate) type TopUrlsState = Vector<TopUrlsPiece>;

fn key(piece: &TopUrlsPiece) -> TopUrlsKey {
    let &TopUrlsPiece { domain_id, hour, source_id, .. } = piece;
    TopUrlsKey { domain_id, hour, source_id }
}

/// Keeps the pieces that pass; how many went.
fn retain(pieces: &mut TopUrlsState, keep: impl FnMut(&TopUrlsPiece) -> bool) -> u64 {
    let before = pieces.len();
    pieces.retain(keep);
    (before - pieces.len()) as u64
}

#[async_trait]
impl TopUrlsRepository for Transaction {
    async fn insert(&mut self, pieces: &[TopUrlsPiece]) -> StorageResult<()> {
        if !pieces.is_empty() {
            self.state_mut()?.cdn.top_urls.extend(pieces.iter().cloned());
        }
        Ok(())
    }

    async fn of_hours(
        &mut self,
        domain_id: DomainId,
        hours: RangeInclusive<Hour>,
    ) -> StorageResult<Vec<TopUrlsPiece>> {
        let pieces = self.state().cdn.top_urls.iter();
        let asked = pieces.filter(|piece| piece.domain_id == domain_id && hours.contains(&piece.hour));
        let mut asked: Vec<_> = asked.cloned().collect();
        asked.sort_by_key(|piece| piece.hour);
        Ok(asked)
    }

    async fn crowded(&mut self, pieces: i64, count: i64) -> StorageResult<Vec<TopUrlsKey>> {
        let mut counts: BTreeMap<TopUrlsKey, i64> = BTreeMap::new();
        for piece in &self.state().cdn.top_urls {
            *counts.entry(key(piece)).or_default() += 1;
        }
        let crowded = counts.into_iter().filter(|(_, held)| *held >= pieces).map(|(key, _)| key);
        Ok(crowded.take(usize::try_from(count).unwrap_or(0)).collect())
    }

    async fn take(&mut self, asked: TopUrlsKey) -> StorageResult<Vec<TopUrlsPiece>> {
        let pieces = &mut self.state_mut()?.cdn.top_urls;
        let taken = pieces.iter().filter(|piece| key(piece) == asked).cloned().collect();
        pieces.retain(|piece| key(piece) != asked);
        Ok(taken)
    }

    async fn settle(&mut self) -> StorageResult<u64> {
        let cdn = &mut self.state_mut()?.cdn;
        let undone: BTreeSet<LogSourceId> = cdn.log_undo.iter().map(|record| record.source_id).collect();
        let mut settled = 0;
        for piece in &mut cdn.top_urls {
            if piece.source_id != LogSourceId::UNSAVED && !undone.contains(&piece.source_id) {
                piece.source_id = LogSourceId::UNSAVED;
                settled += 1;
            }
        }
        Ok(settled)
    }

    async fn delete_source(&mut self, source_id: LogSourceId) -> StorageResult<u64> {
        Ok(retain(&mut self.state_mut()?.cdn.top_urls, |piece| piece.source_id != source_id))
    }

    async fn prune(&mut self, before: Day, count: i64) -> StorageResult<u64> {
        let mut left = count;
        Ok(retain(&mut self.state_mut()?.cdn.top_urls, |piece| {
            let goes = left > 0 && piece.kept_from < before;
            left -= i64::from(goes);
            !goes
        }))
    }
}
