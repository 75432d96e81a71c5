//! Logs of vendors: fetched from those that list them, and kept for download beside the lines of own edges.
//!
//! A file is fetched once, and is of the day on which its time begins; its lines are not parsed. It comes hours after its hour, so
//! the last days are looked at again and again. A domain that was handed over brings its new holder nothing of the time before.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};

use super::log_chunk::{LogChunk, LogChunkId, LogFile};
use crate::cdn::customers::{Domain, DomainState};
use crate::cdn::identifier::{CdnId, DomainId};
use crate::ports::{self, CdnProvider, KeptPiece, LockKey, LogContent, ProviderError, StorageResult};
use crate::{Error, Pilothouse, Result};

/// Days of UTC before the present one that are looked at: files come up to two days after their own.
const LOOK_BACK: u64 = 3;
/// Time after a look at a domain in which it is left alone.
const FRESH: TimeDelta = TimeDelta::minutes(25);
/// Time after which a run begins with no more files; the next goes on.
const RUN_LIMIT: Duration = Duration::from_mins(10);
/// Time limit of a list, and of each piece of a file.
const CALL_LIMIT: Duration = Duration::from_mins(1);
/// Time after its own for which a fetched file is remembered, longer than any is looked for.
const REMEMBERED: TimeDelta = TimeDelta::days(31);

/// Look at the logs of a domain, a row per cdn and domain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorLogPull {
    /// Cdn of the vendor.
    pub cdn_id: CdnId,
    /// Name of the domain.
    pub domain: String,
    /// Domain that is looked at, which tells its holder.
    pub domain_id: DomainId,
    /// Time before which a file is of an earlier holder; the Unix epoch where there was none.
    pub since: DateTime<Utc>,
    /// Time of the last look.
    pub pulled_at: DateTime<Utc>,
}

/// File of a vendor's log that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorLogFile {
    /// Cdn of the vendor.
    pub cdn_id: CdnId,
    /// Name of the domain.
    pub domain: String,
    /// Name of the file.
    pub name: String,
    /// Begin of the time that it is of.
    pub from: DateTime<Utc>,
}

/// Looks at vendors' logs in a store. Every write happens under [`LockKey::Traffic`].
#[async_trait]
pub trait VendorLogRepository: Send {
    /// Adds the row of a domain, or replaces it.
    async fn put(&mut self, pull: &VendorLogPull) -> StorageResult<()>;
    /// The rows of a cdn by domain.
    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<VendorLogPull>>;
    /// Notes that a file was fetched; false where it was before.
    async fn insert(&mut self, file: &VendorLogFile) -> StorageResult<bool>;
    /// Names of the files of a domain that were fetched, in no order.
    async fn names(&mut self, cdn_id: CdnId, domain: &str) -> StorageResult<Vec<String>>;
    /// Forgets the files that are of a time before this; how many.
    async fn forget(&mut self, before: DateTime<Utc>) -> StorageResult<u64>;
}

/// Result of a look at the logs of one vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledLogs {
    /// Name of the cdn.
    pub cdn: String,
    /// Number of files that were fetched.
    pub files: usize,
    /// Failures by domain, in words that operators may read; what failed is tried again.
    pub failures: Vec<(String, String)>,
}

/// A domain whose turn it is.
struct Turn<'a> {
    domain: Domain,
    provider: &'a dyn CdnProvider,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    deadline: Instant,
}

impl Pilothouse {
    /// Fetches the logs of every vendor that lists them, of the domains that nobody looked at lately. One that fails keeps
    /// nothing from the others. Nothing is fetched where no archive or no log reader is set up.
    pub async fn pull_logs(&self) -> Result<Vec<PulledLogs>> {
        let mut all = Vec::new();
        if self.log_archive().is_err() || self.log_reader().is_err() {
            return Ok(all);
        }
        let deadline = Instant::now() + RUN_LIMIT;
        for (cdn, provider) in self.providers().iter() {
            let can = provider.capabilities();
            if !can.is_vendor || !can.logs {
                continue;
            }
            let mut pulled = PulledLogs { cdn: cdn.to_owned(), files: 0, failures: Vec::new() };
            for domain in self.domains_to_look_at(cdn).await? {
                let name = domain.name.clone();
                let Some(turn) = self.take_turn(domain, &**provider, deadline).await? else { continue };
                let (files, failure) = self.pull_logs_of(&turn).await?;
                pulled.files += files;
                if let Some(error) = failure {
                    let error = &error as &dyn StdError;
                    tracing::warn!(
                        cdn,
                        domain = name,
                        error,
                        "a vendor's log was not fetched; it is tried again"
                    );
                    pulled.failures.push((name, error.to_string()));
                }
            }
            all.push(pulled);
        }
        Ok(all)
    }

    /// The active domains of a cdn, the one that waits longest first.
    async fn domains_to_look_at(&self, cdn: &str) -> Result<Vec<Domain>> {
        let mut snapshot = self.storage().read().await?;
        let Some(cdn) = snapshot.cdns().by_name(cdn).await? else { return Ok(Vec::new()) };
        let mut domains = snapshot.domains().of_cdn(cdn.id).await?;
        domains.retain(|domain| domain.state == DomainState::Active);
        let pulls = snapshot.vendor_logs().of_cdn(cdn.id).await?;
        let last =
            |domain: &Domain| pulls.iter().find(|pull| pull.domain == domain.name).map(|pull| pull.pulled_at);
        domains.sort_by_key(last);
        Ok(domains)
    }

    /// Takes the turn of a domain, unless the time is up or somebody looked at it lately.
    async fn take_turn<'a>(
        &self,
        domain: Domain,
        provider: &'a dyn CdnProvider,
        deadline: Instant,
    ) -> Result<Option<Turn<'a>>> {
        if Instant::now() >= deadline {
            return Ok(None);
        }
        let mut work = self.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let now = work.now().await?;
        let pulls = work.vendor_logs().of_cdn(domain.cdn_id).await?;
        let before = pulls.into_iter().find(|pull| pull.domain == domain.name);
        let since = match before {
            Some(pull) if pull.domain_id != domain.id => now,
            Some(pull) if pull.pulled_at <= now && now - pull.pulled_at < FRESH => {
                work.rollback().await?;
                return Ok(None);
            }
            Some(pull) => pull.since,
            None => DateTime::UNIX_EPOCH,
        };
        let pull = VendorLogPull {
            cdn_id: domain.cdn_id,
            domain: domain.name.clone(),
            domain_id: domain.id,
            since,
            pulled_at: now,
        };
        work.vendor_logs().put(&pull).await?;
        work.commit().await?;
        Ok(Some(Turn { domain, provider, since, now, deadline }))
    }

    /// Fetches what is missing of a domain's logs, the oldest first, until something fails; how many files.
    async fn pull_logs_of(&self, turn: &Turn<'_>) -> Result<(usize, Option<Error>)> {
        let Domain { cdn_id, ref name, .. } = turn.domain;
        let known = self.storage().read().await?.vendor_logs().names(cdn_id, name).await?;
        let known: HashSet<String> = known.into_iter().collect();
        let mut fetched = 0;
        for back in (0..=LOOK_BACK).rev() {
            let Some(day) = turn.now.date_naive().checked_sub_days(Days::new(back)) else { continue };
            let mut files = match in_time(turn.provider.logs(name, day)).await {
                Ok(files) => files,
                Err(error) => return Ok((fetched, Some(Error::Unavailable(error.to_string())))),
            };
            files
                .retain(|file| file.from >= turn.since && is_name(&file.name) && !known.contains(&file.name));
            files.sort_by(|one, other| (one.from, &one.name).cmp(&(other.from, &other.name)));
            for file in &files {
                if Instant::now() >= turn.deadline {
                    return Ok((fetched, None));
                }
                match self.fetch(turn, file).await {
                    Ok(is_new) => fetched += usize::from(is_new),
                    Err(error) => return Ok((fetched, Some(error))),
                }
            }
        }
        Ok((fetched, None))
    }

    /// Fetches a file into the archive, and records it; false where somebody else did meanwhile.
    async fn fetch(&self, turn: &Turn<'_>, file: &ports::LogFile) -> Result<bool> {
        let content = in_time(turn.provider.log_content(file)).await;
        let content = content.map_err(|error| Error::Unavailable(error.to_string()))?;
        let pieces = self.log_reader()?.keep(within_limits(content)).await?;
        let timezone = self.settings().timezone;
        let day = file.from.with_timezone(&timezone).date_naive();
        let (domain, today) = (&turn.domain, self.today());
        let mut work = self.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let now = work.now().await?;
        let Domain { cdn_id, id: domain_id, ref name, .. } = *domain;
        let (domain, since) = (name.clone(), turn.since);
        let row = VendorLogFile { cdn_id, domain: domain.clone(), name: file.name.clone(), from: file.from };
        if !work.vendor_logs().insert(&row).await? {
            work.rollback().await?;
            return Ok(false);
        }
        work.vendor_logs().put(&VendorLogPull { cdn_id, domain, domain_id, since, pulled_at: now }).await?;
        let chunks: Vec<_> = pieces.into_iter().map(|piece| chunk(domain_id, day, today, piece)).collect();
        work.log_chunks().insert(&chunks).await?;
        work.commit().await?;
        Ok(true)
    }
}

/// End of the times whose fetched files are forgotten.
pub(super) fn remembered_from(now: DateTime<Utc>) -> DateTime<Utc> {
    now - REMEMBERED
}

fn chunk(domain_id: DomainId, day: NaiveDate, today: NaiveDate, piece: KeptPiece) -> LogChunk {
    LogChunk {
        id: LogChunkId::UNSAVED,
        domain_id,
        day,
        kept_from: day.max(today),
        file: LogFile::Pack(piece.pack),
        offset: 0,
        length: piece.length,
        lines: piece.lines,
        raw_length: piece.raw_length,
        place: 0,
        is_open: false,
        sha256: None,
    }
}

/// Whether a file can be remembered by this name, which no vendor's are known to be other than.
fn is_name(name: &str) -> bool {
    (1..=512).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Makes a call of a vendor, and gives it up after its time.
async fn in_time<T>(call: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
    timeout(CALL_LIMIT, call).await.unwrap_or_else(|_| Err(too_late()))
}

/// Content whose pieces each have their time.
fn within_limits(content: LogContent) -> LogContent {
    let next = |mut content: LogContent| async move {
        match timeout(CALL_LIMIT, content.next()).await {
            Ok(Some(piece)) => Ok(Some((piece?, content))),
            Ok(None) => Ok(None),
            Err(_) => Err(too_late()),
        }
    };
    futures_util::stream::try_unfold(content, next).boxed()
}

fn too_late() -> ProviderError {
    ProviderError::Unavailable(format!("no answer within {} s", CALL_LIMIT.as_secs()))
}
