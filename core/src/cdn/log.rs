//! Kept lines of access logs, and links to download them.

use async_trait::async_trait;
use chrono::{DateTime, Days, NaiveDate, TimeDelta};
use futures_util::stream::BoxStream;

use super::ingest::KeptLines;
use super::traffic::{self, Traffic};
use super::{DomainId, domain_name};
use crate::account::{AccountId, Caller};
use crate::ports::StorageResult;
use crate::secret::{sign, verify};
use crate::{Error, Pilothouse, Result};

/// The most days one call may ask for.
const MAX_DAYS: i64 = 92;
/// How long a link is good for.
const LINK_LIFE: TimeDelta = TimeDelta::hours(1);
/// What the key of links is derived for.
const PURPOSE: &str = "log links";

/// The file a chunk lies in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogFile {
    /// A pack, by name.
    Pack(String),
    /// A sealed file of the chunk's day, by name.
    Sealed(String),
}

/// Kept lines of one domain and day, compressed: a part of a file that is gzip by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Its id; later ones are greater.
    pub id: i64,
    /// Whose.
    pub domain_id: DomainId,
    /// The day, in the server's zone.
    pub day: NaiveDate,
    /// The day its retention counts from: its own, or the one it was recorded on where that is later, so that history
    /// read in today is not forgotten tomorrow.
    pub kept_from: NaiveDate,
    /// Where it lies.
    pub file: LogFile,
    /// Where it begins there, in bytes.
    pub offset: i64,
    /// Its bytes.
    pub length: i64,
    /// Its lines.
    pub lines: i64,
    /// Its bytes before compression.
    pub raw_length: i64,
    /// Where it stands in its day: chunks with smaller places come first. 0 where it is added behind all others.
    pub place: i64,
    /// Whether it is a line that had no line end, and may be withdrawn when it grows.
    pub is_open: bool,
    /// Of the whole file, where that is sealed.
    pub sha256: Option<[u8; 32]>,
}

impl LogChunk {
    pub(super) fn in_pack(pack: &str, kept: &KeptLines, today: NaiveDate) -> Self {
        let &KeptLines { domain_id, day, offset, length, lines, raw_length, is_open } = kept;
        let (file, kept_from) = (LogFile::Pack(pack.to_owned()), day.max(today));
        let (id, place, sha256) = (0, 0, None);
        Self {
            id,
            domain_id,
            day,
            kept_from,
            file,
            offset,
            length,
            lines,
            raw_length,
            place,
            is_open,
            sha256,
        }
    }
}

/// Kept lines in a store. Every write happens under [`crate::ports::LockKey::Traffic`].
#[async_trait]
pub trait LogChunkRepository: Send {
    /// Adds chunks, ignoring `id`. One with the place 0 has its id as its place from then on.
    async fn insert(&mut self, chunks: &[LogChunk]) -> StorageResult<()>;
    /// Forgets the chunk at an offset of a pack; whether there was one.
    async fn withdraw(&mut self, pack: &str, offset: i64) -> StorageResult<bool>;
    /// The chunks of some domains on one day, by place and id.
    async fn of_day(&mut self, domains: &[DomainId], day: NaiveDate) -> StorageResult<Vec<LogChunk>>;
    /// The bytes of some domains together, by day, of the days from `first` to `last` that have any.
    async fn sizes(
        &mut self,
        domains: &[DomainId],
        first: NaiveDate,
        last: NaiveDate,
    ) -> StorageResult<Vec<(NaiveDate, i64)>>;
    /// Domains and days before `before` with chunks in packs, by day and domain.
    async fn unsealed(&mut self, before: NaiveDate) -> StorageResult<Vec<(DomainId, NaiveDate)>>;
    /// Domains and days with at least so many chunks in packs, by day and domain.
    async fn crowded(&mut self, least: i64) -> StorageResult<Vec<(DomainId, NaiveDate)>>;
    /// Chunks kept from before `before`, by id, at most `limit` of them.
    async fn expired(&mut self, before: NaiveDate, limit: i64) -> StorageResult<Vec<LogChunk>>;
    /// Removes chunks; how many there were.
    async fn delete(&mut self, ids: &[i64]) -> StorageResult<u64>;
    /// The files that chunks lie in, each once, in no order.
    async fn files(&mut self) -> StorageResult<Vec<LogFile>>;
}

/// What a day of a domain's logs is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDay {
    /// The domain, by name.
    pub domain: String,
    /// The day, in the server's zone.
    pub date: NaiveDate,
    /// The bytes of the download; 0 where there is none.
    pub size: i64,
    /// Where to get it, for an hour; empty where there is none.
    pub url: String,
}

/// A log to be downloaded: gzip, in pieces.
pub struct LogDownload {
    /// What to call the file.
    pub name: String,
    /// Its bytes.
    pub size: i64,
    /// Its digest, known of a day that was put into one file.
    pub sha256: Option<[u8; 32]>,
    /// The file.
    pub content: BoxStream<'static, std::io::Result<Vec<u8>>>,
}

impl std::fmt::Debug for LogDownload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogDownload")
            .field("name", &self.name)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Traffic<'_> {
    /// The days of a domain's logs, each with a link to download it that is good for an hour and needs no token.
    ///
    /// Dates are `YYYYMMDD` in the server's zone, both included, at most 92 days. Refuses a domain that the caller does
    /// not hold, whether or not it exists.
    pub async fn logs(&self, caller: &Caller, domain: &str, start: &str, end: &str) -> Result<Vec<LogDay>> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, None).await?;
        let name = domain_name("domain", domain)?;
        let (start, end) = (parse_date("startDate", start)?, parse_date("endDate", end)?);
        if end < start {
            return Err(Error::invalid("endDate", "must not be before startDate"));
        }
        if (end - start).num_days() >= MAX_DAYS {
            return Err(Error::invalid(
                "endDate",
                format!("must be at most {MAX_DAYS} days from startDate on"),
            ));
        }
        let names = std::slice::from_ref(&name);
        let domains = self.domains(&mut *snapshot, caller, &customer, names).await?;
        let sizes = snapshot.log_chunks().sizes(&traffic::ids(&domains), start, end).await?;
        let mut days = Vec::new();
        for date in start.iter_days().take_while(|date| *date <= end) {
            let size = sizes.iter().find(|(day, size)| *day == date && *size > 0);
            let (size, url) = match size {
                Some((_, size)) => (*size, self.link(customer.account_id, &name, date)),
                None => (0, String::new()),
            };
            days.push(LogDay { domain: name.clone(), date, size, url });
        }
        Ok(days)
    }

    /// A link to a day of the domains of this name that an account holds.
    fn link(self, account: AccountId, domain: &str, date: NaiveDate) -> String {
        let expires = (self.0.clock().now() + LINK_LIFE).timestamp();
        let file = file_name(domain, date);
        let key = self.0.settings().secret.derive(PURPOSE);
        let signature = hex::encode(sign(&key, &signed(&file, &expires.to_string(), &account.to_string())));
        let root = self.0.settings().public_url.trim_end_matches('/');
        format!("{root}/level3/log/{file}?expires={expires}&sig={account}-{signature}")
    }

    /// Opens what a link names. A link that was changed, has expired or is not signed is refused; so is one whose
    /// account no longer holds the domain.
    pub async fn open_log(&self, file: &str, expires: &str, sig: &str) -> Result<LogDownload> {
        let (account, signature) = sig.split_once('-').ok_or(Error::Forbidden)?;
        let signature = hex::decode(signature).map_err(|_| Error::Forbidden)?;
        let key = self.0.settings().secret.derive(PURPOSE);
        if !verify(&key, &signed(file, expires, account), &signature) {
            return Err(Error::Forbidden);
        }
        let until = expires.parse().ok().and_then(|expires| DateTime::from_timestamp(expires, 0));
        if until.is_none_or(|until| until <= self.0.clock().now()) {
            return Err(Error::Forbidden);
        }
        let (day, domain) = parse_file_name(file).ok_or(Error::Forbidden)?;
        let account = account.parse().map_err(|_| Error::Forbidden)?;
        let mut snapshot = self.0.storage().read().await?;
        let mut domains = snapshot.domains().of_account(account, None).await?;
        domains.retain(|held| held.name == domain);
        if domains.is_empty() {
            return Err(Error::Forbidden);
        }
        let chunks = snapshot.log_chunks().of_day(&traffic::ids(&domains), day).await?;
        if chunks.is_empty() {
            return Err(Error::not_found("the log"));
        }
        let size = chunks.iter().map(|chunk| chunk.length).sum();
        let sha256 = if let [chunk] = &*chunks { chunk.sha256 } else { None };
        let content = self.0.log_archive()?.read(chunks);
        Ok(LogDownload { name: file.to_owned(), size, sha256, content })
    }
}

impl Pilothouse {
    /// Today in the server's zone.
    pub(super) fn today(&self) -> NaiveDate {
        self.clock().now().with_timezone(&self.settings().timezone).date_naive()
    }

    /// The first day from which logs are kept.
    pub(super) fn log_days_begin(&self) -> NaiveDate {
        let days = Days::new(self.settings().log_days.into());
        self.today().checked_sub_days(days).unwrap_or(NaiveDate::MIN)
    }
}

fn signed<'a>(file: &'a str, expires: &'a str, account: &'a str) -> [&'a [u8]; 3] {
    [file.as_bytes(), expires.as_bytes(), account.as_bytes()]
}

fn file_name(domain: &str, date: NaiveDate) -> String {
    format!("{}-{domain}.log.gz", date.format("%Y-%m-%d"))
}

fn parse_file_name(file: &str) -> Option<(NaiveDate, &str)> {
    let (date, rest) = file.split_at_checked(10)?;
    let domain = rest.strip_prefix('-')?.strip_suffix(".log.gz")?;
    Some((NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?, domain))
}

fn parse_date(field: &'static str, text: &str) -> Result<NaiveDate> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = NaiveDate::parse_from_str(text, "%Y%m%d").ok().filter(|_| digits);
    date.ok_or_else(|| Error::invalid(field, "must be a date as YYYYMMDD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_eight_digits() {
        assert_eq!(
            parse_date("startDate", "20160928").unwrap(),
            NaiveDate::from_ymd_opt(2016, 9, 28).unwrap()
        );
        for bad in ["2016-09-28", "20160931", "2016092", "201609280", "", "+2016928", "２0160928"] {
            assert!(parse_date("startDate", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_names_come_back() {
        let day = NaiveDate::from_ymd_opt(2016, 9, 29).unwrap();
        assert_eq!(file_name("cdn.exrqs.com", day), "2016-09-29-cdn.exrqs.com.log.gz");
        assert_eq!(parse_file_name("2016-09-29-cdn.exrqs.com.log.gz"), Some((day, "cdn.exrqs.com")));
        for bad in ["", "2016-09-29", "2016-09-29cdn.log.gz", "2016-09-31-a.log.gz", "2016-09-29-a.gz"] {
            assert_eq!(parse_file_name(bad), None, "{bad}");
        }
    }
}
