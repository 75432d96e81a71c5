//! Access logs of CloudFront's distributions, which are files in a bucket of the account.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use pilothouse_core::ports::{LogFile, ProviderError};

use super::CloudFront;
use super::api::Call;
use super::distributions::DISTRIBUTIONS;
use crate::signing::{canonical_query, sigv4};
use crate::vendor::of_reading;

/// Time for which a link to a file works, in seconds.
const LINK_SECONDS: u32 = 3600;
/// Most pages that are read of one list, so that a vendor that repeats itself is not asked for ever.
const MAX_PAGES: usize = 200;

/// Bucket of logs and the begin of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) prefix: String,
}

impl CloudFront {
    pub(super) async fn log_files(
        &self,
        domain: &str,
        day: NaiveDate,
    ) -> Result<Vec<LogFile>, ProviderError> {
        let operation = "list the logs of a domain that shares its distribution";
        let id = self.own_distribution(domain, operation).await?;
        let place = match &self.log_place {
            Some(place) => place.clone(),
            None => self.place_of(&id).await?,
        };
        let start = format!("{}{id}.{}-", place.prefix, day.format("%Y-%m-%d"));
        let path = format!("/{}", sigv4::encode_path(&place.bucket));
        let (mut files, mut token) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let mut query = vec![("list-type", "2"), ("prefix", &start)];
            if !token.is_empty() {
                query.push(("continuation-token", &token));
            }
            let query = canonical_query(&query);
            let list = self.api.xml(&self.api.s3, Call::get(&path, &query)).await.map_err(of_reading)?;
            for object in list.all("Contents") {
                let key = object.text(&["Key"]);
                let Some(from) = hour_of(key, &place.prefix, &id) else { continue };
                files.push(LogFile {
                    name: key.rsplit('/').next().unwrap_or(key).to_owned(),
                    link: self.link(&place.bucket, key),
                    bytes: object.text(&["Size"]).parse().ok(),
                    from,
                    until: from + TimeDelta::hours(1),
                });
            }
            let next = list.text(&["NextContinuationToken"]);
            if list.text(&["IsTruncated"]) != "true" || next.is_empty() {
                break;
            }
            next.clone_into(&mut token);
        }
        Ok(files)
    }

    /// Place of a distribution's logs, as its configuration says.
    async fn place_of(&self, id: &str) -> Result<Place, ProviderError> {
        let path = format!("{DISTRIBUTIONS}/{id}/config");
        let config = self.api.xml(&self.api.cloudfront, Call::get(&path, "")).await.map_err(of_reading)?;
        let is_enabled = config.text(&["Logging", "Enabled"]) == "true";
        // The configuration names the bucket by its host.
        match config.text(&["Logging", "Bucket"]).split_once(".s3") {
            Some((bucket, _)) if is_enabled && !bucket.is_empty() => Ok(Place {
                bucket: bucket.to_owned(),
                prefix: config.text(&["Logging", "Prefix"]).to_owned(),
            }),
            _ => {
                let reason = "the distribution writes no logs to a bucket that is known";
                Err(ProviderError::Refused(reason.to_owned()))
            }
        }
    }

    fn link(&self, bucket: &str, key: &str) -> String {
        let service = &self.api.s3;
        let path = sigv4::encode_path(&format!("/{bucket}/{key}"));
        let query = sigv4::Call {
            service: service.name,
            region: &service.region,
            at: self.api.clock.now(),
            method: "GET",
            path: &path,
            query: "",
            headers: &[("host", service.endpoint.host())],
            body: b"",
        }
        .presigned_query(&self.api.key, LINK_SECONDS);
        service.endpoint.url(&path, &query)
    }
}

/// Hour that a file is of: its name is `ID.YYYY-MM-DD-HH.UNIQUE.gz`.
fn hour_of(key: &str, prefix: &str, id: &str) -> Option<DateTime<Utc>> {
    let rest = key.strip_prefix(prefix)?.strip_prefix(id)?.strip_prefix('.')?;
    let hour = rest.split('.').next()?;
    let time = NaiveDateTime::parse_from_str(&format!("{hour}:00"), "%Y-%m-%d-%H:%M").ok()?;
    Some(time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_in_the_name() {
        let hour = hour_of("cf/E1.2026-07-25-23.abcdef01.gz", "cf/", "E1");
        assert_eq!(hour, "2026-07-25T23:00:00Z".parse().ok());
        for key in ["cf/E2.2026-07-25-23.a.gz", "E1.2026-07-25-23.a.gz", "cf/E1.2026-07-25.a.gz", "cf/E1"] {
            assert_eq!(hour_of(key, "cf/", "E1"), None, "{key}");
        }
    }
}
