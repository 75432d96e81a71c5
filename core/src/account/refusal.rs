//! Refusals of known callers, and of log-ins to known accounts: counted in memory, and summed into the audit trail every minute.

use crate::account::AuditId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Mutex;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::{Account, AccountId, AuditRow, Caller, Group, Scope};
use crate::sync::{SingleFlight, lock};
use crate::{Error, Pilothouse, Result};

/// Refusals that are not in the trail yet, with how often each happened.
#[derive(Debug, Default)]
pub(crate) struct RefusalBuffer {
    pending: Mutex<HashMap<Refusal, i64>>,
    flushing: SingleFlight,
}

/// The key that refusals are summed by, so that they cannot fill a disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refusal {
    minute: DateTime<Utc>,
    actor: AccountId,
    actor_name: String,
    address: Option<IpAddr>,
    action: &'static str,
    object: String,
}

impl Pilothouse {
    /// Refuses a caller that does not hold `group`.
    pub(crate) fn require(&self, caller: &Caller, group: Group) -> Result<()> {
        if caller.holds(group) { Ok(()) } else { Err(self.refuse(caller, &format!("group {}", group.id()))) }
    }

    /// Refuses a token that opens only the cdn family or the console.
    pub fn require_account_scope(&self, caller: &Caller) -> Result<()> {
        match caller.scope {
            Scope::Account | Scope::Api => Ok(()),
            Scope::Cdn | Scope::Console | Scope::ConsoleCdn => {
                Err(self.refuse(caller, "a token for the whole account"))
            }
        }
    }

    /// Refuses a token that does not open the cdn family.
    pub fn require_cdn_scope(&self, caller: &Caller) -> Result<()> {
        if caller.opens_cdn() { Ok(()) } else { Err(self.refuse(caller, "a token for the cdn family")) }
    }

    /// Refuses whatever did not come by a log-in to the whole account: with a token that is made for a purpose nobody
    /// changes the account's own password, and nobody makes, sees or ends its tokens.
    pub(crate) fn require_log_in(&self, caller: &Caller) -> Result<()> {
        if caller.scope == Scope::Account { Ok(()) } else { Err(self.refuse(caller, "a log-in")) }
    }

    /// Counts a refusal for the audit trail; `right` is what was missing.
    pub(crate) fn refuse(&self, caller: &Caller, right: &str) -> Error {
        self.count_refusal((caller.id, &caller.name), caller.address, "refused", right);
        Error::Forbidden
    }

    /// Counts a log-in to a known account that was refused, for the audit trail. Of unknown names nothing is kept: people
    /// type passwords there.
    pub(crate) fn refuse_login(&self, account: Option<&Account>, address: Option<IpAddr>, why: &Error) {
        let Some(account) = account else { return };
        let why = match why {
            Error::TooMany { .. } => "too many attempts",
            _ if account.is_disabled => "the account is disabled",
            _ => "a wrong password",
        };
        self.count_refusal((account.id, &account.name), address, "login.refused", why);
    }

    fn count_refusal(
        &self,
        (actor, name): (AccountId, &str),
        address: Option<IpAddr>,
        action: &'static str,
        object: &str,
    ) {
        let now = self.clock().now();
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        let (actor_name, object) = (name.to_owned(), object.to_owned());
        let refusal = Refusal { minute, actor, actor_name, address, action, object };
        *lock(&self.refusals().pending).entry(refusal).or_default() += 1;
    }

    /// Flushes refusals to the audit trail. They are forgotten after the commit: one that fails loses none.
    /// Calls at once share one flush, so that none is counted twice.
    pub(crate) async fn flush_refusals(&self) -> Result<()> {
        self.refusals().flushing.run(self.write_refusals()).await
    }

    async fn write_refusals(&self) -> Result<()> {
        let refusals = lock(&self.refusals().pending).clone();
        if refusals.is_empty() {
            return Ok(());
        }
        let mut work = self.storage().begin().await?;
        for (refusal, count) in &refusals {
            let row = AuditRow {
                id: AuditId::UNSAVED,
                at: refusal.minute,
                actor: Some(refusal.actor),
                actor_name: refusal.actor_name.clone(),
                address: refusal.address,
                action: refusal.action.to_owned(),
                object: refusal.object.clone(),
                old: None,
                new: None,
                count: *count,
            };
            work.audit().append(&row).await?;
        }
        work.commit().await?;
        let mut pending = lock(&self.refusals().pending);
        for (refusal, count) in refusals {
            if let Entry::Occupied(mut known) = pending.entry(refusal) {
                *known.get_mut() -= count;
                if *known.get() == 0 {
                    known.remove();
                }
            }
        }
        Ok(())
    }
}
