//! Downloads of kept log lines, by signed links that need no token.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta};
use futures_util::stream::BoxStream;

use crate::account::{AccountId, Caller};
use crate::cdn::customers::{Domain, domain_name, domains_since, ids};
use crate::ports::{ProviderError, Repositories};
use crate::secret::{sign, verify};
use crate::{Error, Pilothouse, Result};

/// The most days one call may ask for.
const MAX_DAYS: i64 = 92;
/// Life of a link.
const LINK_LIFE: TimeDelta = TimeDelta::hours(1);
/// Purpose that the signing key of links is derived for.
const PURPOSE: &str = "log links";

/// Kept log of a domain on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDay {
    /// The domain, by name.
    pub domain: String,
    /// The day, in the server's zone.
    pub date: NaiveDate,
    /// The bytes of the download; 0 where there is none.
    pub size: i64,
    /// Signed link to it, where there is one.
    pub link: Option<LogLink>,
}

/// Signed link to a log, good for an hour: the parts that an adapter puts into a URL, and takes out of it again. All of
/// them are safe in a URL as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLink {
    /// Name of the file, `<YYYY-MM-DD>-<domain>.log.gz`.
    pub file: String,
    /// Time of expiry, Unix seconds.
    pub expires: String,
    /// Account and signature over all the parts.
    pub sig: String,
}

/// A log to be downloaded: gzip, in pieces.
pub struct LogDownload {
    /// File name for the client.
    pub name: String,
    /// Size in bytes, gzipped, of all pieces together.
    pub size: i64,
    /// Digest, known of a day that was put into one file.
    pub sha256: Option<[u8; 32]>,
    /// Bytes of the gzip file, in pieces.
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

/// The use cases of log downloads.
#[derive(Clone, Copy, Debug)]
pub struct LogDownloads<'a>(pub(crate) &'a Pilothouse);

impl LogDownloads<'_> {
    /// The days of a domain's logs, each with a link to download it that is good for an hour and needs no token.
    ///
    /// Days are those of the server's zone, at most 92. A caller asks for itself where `login_email` is none, or for anyone with
    /// group 8. Refuses a domain that the customer does not hold, whether or not it exists. Unavailable, with the names of
    /// vendor and operation, where there are none and the domain is only on vendors that can list none.
    pub async fn logs(
        &self,
        caller: &Caller,
        login_email: Option<&str>,
        domain: &str,
        days: RangeInclusive<NaiveDate>,
    ) -> Result<Vec<LogDay>> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, login_email).await?;
        let name = domain_name("domain", domain)?;
        let (start, end) = days.into_inner();
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
        let since = day_start(start);
        let domains = self.0.owned_domains_since(&mut *snapshot, caller, &customer, names, since).await?;
        let sizes = snapshot.log_chunks().sizes(&ids(&domains), start, end).await?;
        if sizes.is_empty() {
            self.check_logs_are_told(&mut *snapshot, &domains).await?;
        }
        let mut days = Vec::new();
        for date in start.iter_days().take_while(|date| *date <= end) {
            let size = sizes.iter().find(|(day, size)| *day == date && *size > 0);
            let link = size.map(|_| self.link(customer.account_id, &name, date));
            let size = size.map_or(0, |(_, size)| *size);
            days.push(LogDay { domain: name.clone(), date, size, link });
        }
        Ok(days)
    }

    /// Refuses domains of which no cdn has logs: vendors that tell traffic, but list no logs.
    async fn check_logs_are_told(
        self,
        repositories: &mut dyn Repositories,
        domains: &[Domain],
    ) -> Result<()> {
        let mut refused = None;
        for cdn in repositories.cdns().list().await? {
            if !domains.iter().any(|domain| domain.cdn_id == cdn.id) {
                continue;
            }
            let provider = self.0.providers().get(&cdn.name);
            // Where a vendor does not tell its traffic, its logs may be ingested.
            let never = provider.filter(|provider| {
                let can = provider.capabilities();
                can.is_vendor && can.series && !can.logs
            });
            if never.is_none() {
                return Ok(());
            }
            let error = ProviderError::Unsupported { provider: cdn.name, operation: "list logs" };
            refused.get_or_insert(Error::Unavailable(error.to_string()));
        }
        refused.map_or(Ok(()), Err)
    }

    /// A link to a day of the domains of this name that an account holds.
    fn link(self, account: AccountId, domain: &str, date: NaiveDate) -> LogLink {
        let expires = (self.0.clock().now() + LINK_LIFE).timestamp().to_string();
        let file = file_name(domain, date);
        let key = self.0.settings().secret.derive(PURPOSE);
        let signature = hex::encode(sign(&key, &signed(&file, &expires, &account.to_string())));
        LogLink { file, expires, sig: format!("{account}-{signature}") }
    }

    /// Opens what a link names. A link that was changed, has expired or is not signed is refused; so is one whose
    /// account did not hold the domain on that day or later. A log of which a file is missing fails as a whole.
    pub async fn open_log(&self, link: &LogLink) -> Result<LogDownload> {
        let LogLink { file, expires, sig } = link;
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
        let account = account.parse().map(AccountId).map_err(|_| Error::Forbidden)?;
        self.open(self.0.storage().read().await?, account, file).await
    }

    /// Opens the caller's own log of that file name, without a link. Refused like a link that is not good.
    pub async fn open_own_log(&self, caller: &Caller, file: &str) -> Result<LogDownload> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, None).await?;
        self.open(snapshot, customer.account_id, file).await
    }

    /// Opens a day of the domains of one name that an account holds, or held on that day.
    async fn open(
        self,
        mut snapshot: Box<dyn Repositories>,
        account: AccountId,
        file: &str,
    ) -> Result<LogDownload> {
        let (day, domain) = parse_file_name(file).ok_or(Error::Forbidden)?;
        let mut domains = domains_since(&mut *snapshot, account, day_start(day)).await?;
        domains.retain(|held| held.name == domain);
        if domains.is_empty() {
            return Err(Error::Forbidden);
        }
        let chunks = snapshot.log_chunks().of_day(&ids(&domains), day).await?;
        if chunks.is_empty() {
            return Err(Error::not_found("the log"));
        }
        let size = chunks.iter().map(|chunk| chunk.length).sum();
        let sha256 = if let [chunk] = &*chunks { chunk.sha256 } else { None };
        drop(snapshot);
        let content = self.0.log_archive()?.read(chunks).await;
        let content =
            content.map_err(|error| Error::Internal(format!("the log {file} cannot be read: {error}")))?;
        Ok(LogDownload { name: file.to_owned(), size, sha256, content })
    }
}

/// Moment in unix seconds before which a day has not begun in any zone.
fn day_start(day: NaiveDate) -> i64 {
    day.and_time(NaiveTime::MIN).and_utc().timestamp() - 14 * 3600
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

#[cfg(test)]
mod tests {
    use super::*;

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
