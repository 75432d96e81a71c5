//! Steps of a vendor's batch: cut, and send.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;

use super::batch::{BatchState, VendorBatch};
use super::cut::{Cutting, cut, host, hosts};
use super::open_calls::Purpose;
use super::outcome::{Aftermath, Effect, LOOK_WAIT, all_failed, refused, retry_wait, submitted};
use super::speaker::{Speaker, Step};
use crate::Result;
use crate::ports::{CallLimits, Operation, ProviderError};
use crate::sync::lock;

/// Time after its day for which spending is kept, longer than a quota that was read is believed.
const SPENDING_KEPT: TimeDelta = TimeDelta::hours(1);

/// Batches' worth of what waits longest that are looked at for a batch, so that a long queue makes no step slow.
const LOOKED_AT: usize = 10;

impl<'a> Speaker<'a> {
    /// Cuts a batch of what waits for an operation, to be sent; `None` where nothing can be sent now.
    pub(super) async fn cut(
        &self,
        operation: Operation,
        waiting: &[&VendorBatch],
        rows: &[VendorBatch],
        now: DateTime<Utc>,
    ) -> Result<Option<Step<'a>>> {
        let mut limits = lock(self.memory).limits(self.can(), operation);
        if let Some(most) = limits.in_flight {
            limits.items = limits.items.min(most.saturating_sub(in_flight(rows, operation)));
        }
        if limits.items == 0 || waiting.is_empty() {
            return Ok(None);
        }
        let waiting = longest_waiting(waiting, limits.items.saturating_mul(LOOKED_AT));
        // While something is being sent, nobody knows whether the vendor has counted it.
        let reads_quotas = self.can().quota && lock(self.memory).needs_quotas();
        if reads_quotas && self.open.has(Purpose::Send) {
            return Ok(None);
        }
        if !self.learn_groups(waiting, now).await? || !self.learn_quotas(now).await? {
            return Ok(Some(Step::Done));
        }
        if self.refuse_strangers(waiting).await? {
            return Ok(Some(Step::Done));
        }
        let groups = self.groups_of(waiting);
        let Some(groups) = self.within_quota(operation, waiting, groups, &mut limits).await? else {
            return Ok(Some(Step::Done));
        };
        let Some(shares) = self.within_share(operation, waiting, &groups).await? else {
            return Ok(Some(Step::Done));
        };
        let id = self.calls.pilothouse.ids().uuid().to_string();
        let Some(mut cutting) = cut(id, waiting, &groups, limits, now) else { return Ok(None) };
        cutting.spending = shares.spending(&cutting.batch);
        Ok(Some(self.send(cutting.batch.clone(), Some(&cutting)).await?))
    }

    /// Asks for the groups of hosts that are not known; false where the vendor did not say.
    async fn learn_groups(&self, waiting: &[&VendorBatch], now: DateTime<Utc>) -> Result<bool> {
        let urls = waiting.iter().flat_map(|row| &row.items).map(|item| item.url.as_str());
        let mut hosts = hosts(urls);
        hosts.retain(|host| lock(self.memory).group(host).is_none());
        if hosts.is_empty() {
            return Ok(true);
        }
        let Some(answer) = self.call(self.provider.groups(&hosts)).await else { return Ok(false) };
        match answer {
            Ok(groups) => {
                lock(self.memory).set_groups(hosts, groups);
                Ok(true)
            }
            Err(error) => {
                let tries = waiting.iter().map(|row| row.tries).max().unwrap_or(0);
                self.postpone(waiting, now + retry_wait(tries), &error.to_string()).await?;
                self.note(&error, now);
                Ok(false)
            }
        }
    }

    /// Reads the quotas, where they were not read lately; false where the vendor refused the credentials.
    pub(super) async fn learn_quotas(&self, now: DateTime<Utc>) -> Result<bool> {
        if !self.can().quota || !lock(self.memory).needs_quotas() {
            return Ok(true);
        }
        let Some(answer) = self.call(self.provider.quota()).await else { return Ok(false) };
        match answer {
            Ok(quotas) => lock(self.memory).set_quotas(self.can(), quotas),
            Err(error) => {
                // The vendor knows its quota, and refuses what is beyond it.
                lock(self.memory).set_quotas(self.can(), Vec::new());
                if self.note(&error, now) {
                    return Ok(false);
                }
                self.tell(&error.to_string());
            }
        }
        Ok(true)
    }

    /// Fails what is of hosts that the vendor does not serve; whether there was any.
    async fn refuse_strangers(&self, waiting: &[&VendorBatch]) -> Result<bool> {
        let moment = self.moment().await?;
        let mut any = false;
        for row in waiting {
            let (mut strangers, mut reason) = ((*row).clone(), String::new());
            strangers.items.retain(|item| match lock(self.memory).group(&host(&item.url)) {
                Some(Err(error)) if !error.may_be_retried() => {
                    reason = error.to_string();
                    true
                }
                _ => false,
            });
            if strangers.items.is_empty() {
                continue;
            }
            let mut next = (*row).clone();
            next.items.retain(|item| !strangers.items.contains(item));
            let next = Some(next).filter(|next| !next.items.is_empty());
            let effect = Effect { next, ..all_failed(&strangers, &reason, moment) };
            self.write(row, effect).await?;
            any = true;
        }
        Ok(any)
    }

    /// Groups of the URLs whose hosts have one.
    fn groups_of(&self, waiting: &[&VendorBatch]) -> HashMap<String, String> {
        let memory = lock(self.memory);
        let items = waiting.iter().flat_map(|row| &row.items);
        let group = |url: &str| memory.group(&host(url))?.as_ref().ok().cloned();
        items.filter_map(|item| Some((item.url.clone(), group(&item.url)?))).collect()
    }

    /// Leaves the URLs of one group whose quota is not used up, and limits a call to what is left of it. Where all are used
    /// up, everything waits until the first begins anew, and there is `None`.
    async fn within_quota(
        &self,
        operation: Operation,
        waiting: &[&VendorBatch],
        mut groups: HashMap<String, String>,
        limits: &mut CallLimits,
    ) -> Result<Option<HashMap<String, String>>> {
        let mut used_up = None;
        let mut seen = HashSet::new();
        for url in waiting.iter().flat_map(|row| &row.items).map(|item| &item.url) {
            let Some(group) = groups.get(url).filter(|group| seen.insert((*group).clone())) else { continue };
            let quota = lock(self.memory).least_quota(operation, group).cloned();
            match quota {
                Some(quota) if quota.left <= 0 => {
                    if used_up.as_ref().is_none_or(|(until, _)| quota.resets_at < *until) {
                        used_up = Some((quota.resets_at, quota.pool));
                    }
                }
                quota => {
                    if let Some(quota) = quota {
                        limits.items = limits.items.min(usize::try_from(quota.left).unwrap_or(usize::MAX));
                    }
                    let group = group.clone();
                    groups.retain(|_, own| *own == group);
                    return Ok(Some(groups));
                }
            }
        }
        let Some((until, pool)) = used_up else { return Ok(Some(groups)) };
        self.postpone(waiting, until, &ProviderError::QuotaUsed { pool, until }.to_string()).await?;
        // Whether it did begin anew is read then.
        lock(self.memory).forget_quotas();
        Ok(None)
    }

    /// Writes that a batch may have been sent, which the call then does. Of one that was just cut, what it was cut from is
    /// written with it.
    pub(super) async fn send(&self, row: VendorBatch, cutting: Option<&Cutting>) -> Result<Step<'a>> {
        let Some((mut work, now)) = self.lead().await? else { return Ok(Step::Done) };
        let row = VendorBatch { state: BatchState::Sent, due: now + LOOK_WAIT, ..row };
        if let Some(cutting) = cutting {
            for id in &cutting.used_up {
                work.vendor_batches().remove(id).await?;
            }
            for left in &cutting.left {
                work.vendor_batches().update(left).await?;
            }
            if !cutting.spending.is_empty() {
                work.vendor_spending().forget(self.cdn, now - SPENDING_KEPT).await?;
            }
            for spending in &cutting.spending {
                work.vendor_spending().spend(spending).await?;
            }
            work.vendor_batches().insert(&row).await?;
        } else if !work.vendor_batches().update(&row).await? {
            work.rollback().await?;
            return Ok(Step::Done);
        }
        work.commit().await?;
        let open = self.open.open(Purpose::Send, [row.id.clone()]);
        let mut memory = lock(self.memory);
        memory.take(self.can(), row.operation);
        memory.spend(self.can(), row.operation, &row.group, row.items.len());
        let speaker = *self;
        let call = async move {
            let _open = open;
            speaker.submit(&row).await
        };
        Ok(Step::Call(call.boxed()))
    }

    /// Calls the vendor with a batch, and writes what became of it.
    async fn submit(&self, row: &VendorBatch) -> Result<()> {
        let edge = self.can().edges.first().map_or(self.cdn, String::as_str);
        let batch = row.to_batch(edge);
        let Some(answer) = self.call(self.provider.submit(&batch)).await else { return Ok(()) };
        let answer = answer.and_then(|answers| {
            if answers.len() == row.items.len() {
                return Ok(answers);
            }
            let (got, sent) = (answers.len(), row.items.len());
            Err(ProviderError::Ambiguous(format!("answered for {got} of {sent} URLs")))
        });
        let moment = self.moment().await?;
        match answer {
            Ok(answers) => self.write(row, submitted(row, answers, moment)).await,
            Err(error) => {
                let (effect, aftermath) = refused(row, &error, self.can().repeat, moment);
                self.tell(&error.to_string());
                // Whether it was counted is read before the next.
                lock(self.memory).forget_quotas();
                self.take_note(row.operation, aftermath, moment.now);
                self.write(row, effect).await
            }
        }
    }

    fn take_note(&self, operation: Operation, aftermath: Aftermath, now: DateTime<Utc>) {
        match aftermath {
            Aftermath::Nothing => {}
            Aftermath::SlowDown(after) => lock(self.memory).set_back(self.can(), operation, after),
            Aftermath::TooMany(items) => {
                tracing::error!(
                    cdn = self.cdn,
                    items,
                    "a vendor takes fewer items a call than its provider says"
                );
                lock(self.memory).too_many(operation, items);
            }
            Aftermath::Pause(reason) => self.pause(now, &reason),
        }
    }

    /// Notes a failure that concerns all calls; whether it does.
    pub(super) fn note(&self, error: &ProviderError, now: DateTime<Utc>) -> bool {
        let is_credentials = matches!(error, ProviderError::Credentials(_));
        if is_credentials {
            self.pause(now, &error.to_string());
        }
        is_credentials
    }
}

/// Those that wait longest, of so many items together, one at least.
fn longest_waiting<'r, 'b>(waiting: &'r [&'b VendorBatch], items: usize) -> &'r [&'b VendorBatch] {
    let mut before = 0;
    let enough = waiting.iter().take_while(|row| {
        let is_short = before < items;
        before += row.items.len();
        is_short
    });
    &waiting[..enough.count()]
}

/// Items that the vendor works on, or may, and those of batches that will be sent again.
fn in_flight(rows: &[VendorBatch], operation: Operation) -> usize {
    let has = |row: &&VendorBatch| row.state != BatchState::Waiting;
    rows.iter().filter(has).filter(|row| row.operation == operation).map(|row| row.items.len()).sum()
}
