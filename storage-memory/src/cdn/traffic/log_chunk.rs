//! Kept lines of access logs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;
use chrono::NaiveDate;
use pilothouse_core::cdn::{DomainId, LogChunk, LogChunkId, LogChunkRepository, LogFile};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

impl Transaction {
    fn chunks(&self) -> impl Iterator<Item = &LogChunk> {
        self.state().cdn.log_chunks.iter()
    }

    fn chunks_in_packs(&self) -> impl Iterator<Item = (&LogChunk, &String)> {
        self.chunks().filter_map(|chunk| match &chunk.file {
            LogFile::Pack(name) => Some((chunk, name)),
            LogFile::Sealed(_) => None,
        })
    }
}

#[async_trait]
impl LogChunkRepository for Transaction {
    async fn insert(&mut self, chunks: &[LogChunk]) -> StorageResult<()> {
        let held = &mut self.state_mut()?.cdn.log_chunks;
        for chunk in chunks {
            let place = |id: LogChunkId| if chunk.place == 0 { id.0 } else { chunk.place };
            held.insert(|id| LogChunk { id, place: place(id), ..chunk.clone() });
        }
        Ok(())
    }

    async fn withdraw(&mut self, pack: &str, offset: i64) -> StorageResult<bool> {
        let file = LogFile::Pack(pack.to_owned());
        let held = &mut self.state_mut()?.cdn.log_chunks;
        Ok(held.retain(|chunk| chunk.file != file || chunk.offset != offset) > 0)
    }

    async fn of_pack(&mut self, pack: &str) -> StorageResult<Vec<LogChunk>> {
        let found = self.chunks_in_packs().filter(|(_, name)| *name == pack);
        Ok(found.map(|(chunk, _)| chunk.clone()).collect())
    }

    async fn of_day(&mut self, domains: &[DomainId], day: NaiveDate) -> StorageResult<Vec<LogChunk>> {
        let found = self.chunks().filter(|chunk| chunk.day == day && domains.contains(&chunk.domain_id));
        let mut found: Vec<_> = found.cloned().collect();
        found.sort_by_key(|chunk| (chunk.place, chunk.id));
        Ok(found)
    }

    async fn sizes(
        &mut self,
        domains: &[DomainId],
        first: NaiveDate,
        last: NaiveDate,
    ) -> StorageResult<Vec<(NaiveDate, i64)>> {
        let mut sizes = BTreeMap::new();
        for chunk in self.chunks().filter(|chunk| domains.contains(&chunk.domain_id)) {
            if (first..=last).contains(&chunk.day) {
                *sizes.entry(chunk.day).or_default() += chunk.length;
            }
        }
        Ok(sizes.into_iter().collect())
    }

    async fn unsealed(&mut self, before: NaiveDate) -> StorageResult<Vec<(DomainId, NaiveDate)>> {
        let days: BTreeSet<_> =
            self.chunks_in_packs().map(|(chunk, _)| (chunk.day, chunk.domain_id)).collect();
        let days = days.into_iter().filter(|(day, _)| *day < before);
        Ok(days.map(|(day, domain_id)| (domain_id, day)).collect())
    }

    async fn expired(&mut self, before: NaiveDate, limit: i64) -> StorageResult<Vec<LogChunk>> {
        let expired = self.chunks().filter(|chunk| chunk.kept_from < before);
        Ok(expired.take(usize::try_from(limit).unwrap_or_default()).cloned().collect())
    }

    async fn delete(&mut self, ids: &[LogChunkId]) -> StorageResult<u64> {
        let held = &mut self.state_mut()?.cdn.log_chunks;
        Ok(ids.iter().filter(|id| held.remove(**id)).count() as u64)
    }

    async fn crowded(&mut self, least: i64) -> StorageResult<Vec<(DomainId, NaiveDate)>> {
        let mut counts = BTreeMap::<_, i64>::new();
        for (chunk, _) in self.chunks_in_packs() {
            *counts.entry((chunk.day, chunk.domain_id)).or_default() += 1;
        }
        let crowded = counts.into_iter().filter(|(_, count)| *count >= least);
        Ok(crowded.map(|((day, domain_id), _)| (domain_id, day)).collect())
    }

    async fn files(&mut self) -> StorageResult<Vec<LogFile>> {
        let files: HashSet<_> = self.chunks().map(|chunk| chunk.file.clone()).collect();
        Ok(files.into_iter().collect())
    }
}
