//! Transaction of an import: the store's, with the report and the progress.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;

use chrono::{DateTime, Utc};

use super::ImportMode;
use super::place::Place;
use super::report::{ImportKind, ImportProgress, ImportReport};
use super::row_id::{RowIds, RowKind};
use crate::account::{Account, AccountId, Entry};
use crate::config::AppId;
use crate::ports::{LockKey, UnitOfWork};
use crate::{Error, Pilothouse, Result};

/// Write transaction of an import.
pub(super) struct ImportTransaction<'a> {
    pub(super) pilothouse: &'a Pilothouse,
    pub(super) work: Box<dyn UnitOfWork>,
    /// Time of this process when the import began.
    pub(super) now: DateTime<Utc>,
    /// Apps whose released configuration changes.
    pub(super) released_apps: BTreeSet<AppId>,
    report: ImportReport,
    progress: &'a mut dyn ImportProgress,
    done: [usize; ImportKind::ALL.len()],
    all: [usize; ImportKind::ALL.len()],
    /// Accounts that the document names by their ids in it.
    pub(super) account_ids: HashMap<i64, AccountId>,
    past_accounts: HashMap<String, AccountId>,
}

impl<'a> ImportTransaction<'a> {
    pub(super) async fn begin(
        pilothouse: &'a Pilothouse,
        all: [usize; ImportKind::ALL.len()],
        progress: &'a mut dyn ImportProgress,
    ) -> Result<Self> {
        Ok(Self {
            pilothouse,
            work: pilothouse.storage().begin().await?,
            now: pilothouse.clock().now(),
            released_apps: BTreeSet::new(),
            report: ImportReport::default(),
            progress,
            done: [0; ImportKind::ALL.len()],
            all,
            account_ids: HashMap::new(),
            past_accounts: HashMap::new(),
        })
    }

    pub(super) async fn lock(&mut self, key: LockKey) -> Result<()> {
        Ok(self.work.lock(key).await?)
    }

    /// Appends a row to the audit trail, as the command line's.
    pub(super) async fn record(&mut self, entry: Entry) -> Result<()> {
        self.pilothouse.audit_command(&mut *self.work, entry).await
    }

    /// The numbering of records that want these ids.
    pub(super) async fn row_ids(
        &mut self,
        kind: RowKind,
        wanted: impl Iterator<Item = Option<i64>>,
    ) -> Result<RowIds> {
        RowIds::new(&mut *self.work, kind, wanted.collect()).await
    }

    /// Has the next row get the id that the document gives to its record, if it is still free.
    pub(super) async fn reserve(&mut self, ids: &mut RowIds, place: Place) -> Result<()> {
        Ok(ids.reserve(&mut *self.work, place).await?)
    }

    /// Counts an object that is new in the store; `given` is the id it got.
    pub(super) fn imported(&mut self, ids: &mut RowIds, place: Place, given: i64) {
        ids.given(given);
        let counts = self.report.of_mut(place.kind);
        counts.imported += 1;
        if let Some(wanted) = ids.wanted(place).filter(|wanted| *wanted != given) {
            counts.note(format!("{place}: the id {wanted} is taken, it has the id {given}"));
        }
        self.advance(place.kind, 1);
    }

    /// Counts objects without ids that are new in the store.
    pub(super) fn imported_many(&mut self, kind: ImportKind, count: usize) {
        self.report.of_mut(kind).imported += count as u64;
        self.advance(kind, count);
    }

    /// Counts objects that the store has already, equal to the document's.
    pub(super) fn skipped_many(&mut self, kind: ImportKind, count: usize, note: String) {
        let counts = self.report.of_mut(kind);
        counts.skipped += count as u64;
        counts.note(note);
        self.advance(kind, count);
    }

    /// Skips an object that the store has already; refuses one of which these members differ.
    pub(super) fn skip_equal(
        &mut self,
        place: Place,
        what: impl Display,
        members: &[(&'static str, bool)],
    ) -> Result<()> {
        let differing = members.iter().filter(|(_, is_equal)| !is_equal).map(|(name, _)| *name);
        let differing: Vec<_> = differing.collect();
        if differing.is_empty() {
            self.skipped_many(place.kind, 1, format!("{place}: {what} exists and is equal"));
            return Ok(());
        }
        Err(place.conflict(format!("{what} exists and differs in {}", differing.join(", "))))
    }

    /// Adds a line to the report.
    pub(super) fn note(&mut self, place: Place, note: impl Display) {
        self.report.of_mut(place.kind).note(format!("{place}: {note}"));
    }

    fn advance(&mut self, kind: ImportKind, count: usize) {
        self.done[kind as usize] += count;
        self.progress.advance(kind, self.done[kind as usize], self.all[kind as usize]);
    }

    /// The account with this id in the document, this name or this mail.
    pub(super) async fn account(&mut self, name: &str) -> Result<Option<Account>> {
        if let Some(id) = name.parse().ok().and_then(|id: i64| self.account_ids.get(&id)) {
            return Ok(self.work.accounts().by_id(*id).await?);
        }
        Ok(if name.contains('@') {
            self.work.accounts().by_mail(name).await?
        } else {
            self.work.accounts().by_name(name).await?
        })
    }

    /// The id of the account that did something once; account 0 for one that is not named or not known any more.
    pub(super) async fn past_account(
        &mut self,
        place: Place,
        field: impl Display,
        name: Option<&str>,
    ) -> Result<AccountId> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(AccountId::UNSAVED) };
        if let Some(id) = self.past_accounts.get(name) {
            return Ok(*id);
        }
        let found = self.account(name).await?.map(|account| account.id);
        if found.is_none() {
            self.note(place, format!("{field} {name:?} is no account: kept as account 0"));
        }
        let id = found.unwrap_or(AccountId::UNSAVED);
        self.past_accounts.insert(name.to_owned(), id);
        Ok(id)
    }

    /// A time in unix seconds; now, where it is not given. Refuses what lies outside the years 1970 to 9999.
    pub(super) fn time(
        &self,
        place: Place,
        field: impl Display,
        seconds: Option<i64>,
    ) -> Result<DateTime<Utc>> {
        let Some(seconds) = seconds else { return Ok(self.now) };
        let time = DateTime::from_timestamp(seconds, 0).filter(|_| (0..END_OF_TIME).contains(&seconds));
        time.ok_or_else(|| place.invalid(field, "must be unix seconds of the years 1970 to 9999"))
    }

    /// Commits or rolls back.
    pub(super) async fn end(self, mode: ImportMode) -> Result<ImportReport> {
        match mode {
            ImportMode::DryRun => self.work.rollback().await?,
            ImportMode::Commit => {
                self.work.commit().await?;
                for app in &self.released_apps {
                    self.pilothouse.announce_change(*app).await;
                }
            }
        }
        Ok(self.report)
    }
}

/// Unix time of the beginning of the year 10000.
pub(super) const END_OF_TIME: i64 = 253_402_300_800;

/// The refusal of a reference to something that is neither in the document nor in the store.
pub(super) fn unknown(place: Place, field: impl Display, what: &str, name: &str) -> Error {
    place.invalid(field, format!("{name:?} is no {what}, neither of the document nor of the store"))
}
