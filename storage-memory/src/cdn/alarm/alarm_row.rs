//! Alarm repository over the state in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{
    Alarm, AlarmFilter, AlarmId, AlarmKind, AlarmOverview, AlarmRepository, AlarmSubject,
};
use pilothouse_core::ports::StorageResult;
use pilothouse_core::{Lease, Page};

use crate::account::AccountState;
use crate::state::Table;
use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(crate) struct AlarmState {
    alarms: Table<AlarmId, Alarm>,
    /// Leader and the end of its lease.
    leader: Option<(String, DateTime<Utc>)>,
}

impl AlarmState {
    pub(crate) fn rows(&self) -> usize {
        self.alarms.iter().count()
    }

    fn of(&self, kind: AlarmKind, subject: &AlarmSubject) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter().filter(move |alarm| alarm.kind == kind && alarm.subject == *subject)
    }
}

fn overview(alarm: Alarm, accounts: &AccountState) -> AlarmOverview {
    let account = accounts.accounts.get(alarm.subject.columns().0);
    let mail = account.map(|account| account.mail.clone()).unwrap_or_default();
    AlarmOverview { alarm, mail }
}

#[async_trait]
impl AlarmRepository for Transaction {
    async fn insert(&mut self, alarm: &Alarm) -> StorageResult<Option<AlarmId>> {
        let state = &mut self.state_mut()?.cdn.alarms;
        let is_open = state.of(alarm.kind, &alarm.subject).any(|held| held.ended.is_none());
        if is_open && alarm.ended.is_none() {
            return Ok(None);
        }
        Ok(Some(state.alarms.insert(|id| Alarm { id, ..alarm.clone() })))
    }

    async fn update(&mut self, alarm: &Alarm) -> StorageResult<bool> {
        let held = self.state_mut()?.cdn.alarms.alarms.get_mut(alarm.id);
        let Some(held) = held.filter(|held| held.ended.is_none()) else { return Ok(false) };
        *held = Alarm {
            id: held.id,
            kind: held.kind,
            subject: held.subject.clone(),
            begun: held.begun,
            ..alarm.clone()
        };
        Ok(true)
    }

    async fn open(&mut self) -> StorageResult<Vec<Alarm>> {
        let alarms = self.state().cdn.alarms.alarms.iter();
        Ok(alarms.filter(|alarm| alarm.ended.is_none()).cloned().collect())
    }

    async fn last_seen(
        &mut self,
        kind: AlarmKind,
        subject: &AlarmSubject,
    ) -> StorageResult<Option<DateTime<Utc>>> {
        let ended = self.state().cdn.alarms.of(kind, subject).filter(|alarm| alarm.ended.is_some());
        Ok(ended.map(|alarm| alarm.last_seen).max())
    }

    async fn list(&mut self, filter: &AlarmFilter, page: Page) -> StorageResult<Vec<AlarmOverview>> {
        let found = self.state().cdn.alarms.alarms.page(page, |alarm| filter.accepts(alarm)).into_iter();
        Ok(found.map(|alarm| overview(alarm, &self.state().account)).collect())
    }

    async fn count(&mut self, filter: &AlarmFilter, start: i64, before: i64) -> StorageResult<u64> {
        Ok(self.state().cdn.alarms.alarms.count(start, before, |alarm| filter.accepts(alarm)))
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        let alarms = &mut self.state_mut()?.cdn.alarms.alarms;
        let old = alarms.iter().filter(|alarm| alarm.ended.is_some_and(|ended| ended < before));
        let old = old.map(|alarm| alarm.id).take(usize::try_from(count).unwrap_or(0));
        let old: BTreeSet<_> = old.collect();
        Ok(alarms.retain(|alarm| !old.contains(&alarm.id)))
    }

    async fn lead(&mut self, leader: &str, now: DateTime<Utc>, lease: Lease) -> StorageResult<bool> {
        let held = &mut self.state_mut()?.cdn.alarms.leader;
        if held.as_ref().is_some_and(|(name, until)| name != leader && lease.is_held(*until, now)) {
            return Ok(false);
        }
        *held = Some((leader.to_owned(), lease.end(now)));
        Ok(true)
    }

    async fn step_down(&mut self, leader: &str) -> StorageResult<()> {
        self.state_mut()?.cdn.alarms.leader.take_if(|(name, _)| name == leader);
        Ok(())
    }
}
