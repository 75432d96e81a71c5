//! Object storage that settings name: a bucket with a prefix, or a folder in its place.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use pilothouse_cdn_providers::SecretSource;
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;
use crate::settings::Settings;

/// Region of a bucket where none is set.
const REGION: &str = "us-east-1";
/// Time limit of a connection's establishment.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit of an answer's beginning, and of each further piece of it.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that are made again after one that failed, and for how long.
const RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// Location of files: a folder, or a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A folder: a path, or `file://` and an absolute one.
    Folder(PathBuf),
    /// `s3://bucket/prefix`; the prefix may be missing.
    Bucket { bucket: String, prefix: Path },
}

impl Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket { bucket, prefix } if prefix.is_root() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl FromStr for Location {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("file://") {
            let path = PathBuf::from(path);
            return path.is_absolute().then_some(Self::Folder(path)).ok_or("file:// needs an absolute path");
        }
        let Some(location) = text.strip_prefix("s3://") else {
            return match text {
                "" => Err("must not be empty"),
                _ if text.contains("://") => Err("must be s3://bucket/prefix or a folder"),
                _ => Ok(Self::Folder(text.into())),
            };
        };
        let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_plain) {
            return Err("a bucket has 3 to 63 of a-z, 0-9, '-' and '.'");
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(is_plain) && !matches!(part, "." | "..");
        if prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(is_part)) {
            return Err(
                "a prefix has at most 512 of letters, digits, '-', '_' and '.', in parts divided by '/'",
            );
        }
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: Path::from(prefix) })
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Checks what the settings say of buckets, without reading a secret.
pub(crate) fn check(settings: &Settings) -> Result<(), Failure> {
    let wrong = |key: &str, why: &str| Err(Failure::usage(format!("{key}: {why}")));
    for (key, location) in [("log_archive", &settings.log_archive), ("blob_dir", &settings.blob_dir)] {
        if !matches!(location, Some(Location::Bucket { .. })) {
            continue;
        }
        for (needed, source) in [
            ("s3_access_key_id", &settings.s3_access_key_id),
            ("s3_secret_access_key", &settings.s3_secret_access_key),
        ] {
            if source.is_none() {
                return wrong(needed, &format!("is required by the bucket of {key}"));
            }
        }
    }
    if let Some(endpoint) = &settings.s3_endpoint {
        let url = endpoint.parse::<url::Url>().ok();
        let is_origin = |url: &url::Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && (url.path(), url.query(), url.fragment()) == ("/", None, None)
                && (url.username(), url.password()) == ("", None)
        };
        if !url.as_ref().is_some_and(is_origin) {
            return wrong("s3_endpoint", "must be http:// or https://, a host and perhaps a port");
        }
    }
    Ok(())
}

/// Opens a location, whose root is the root of what is returned. Nothing is asked of a bucket yet; a folder is created.
pub(crate) fn open(
    settings: &Settings,
    key: &str,
    location: &Location,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    let failed = |error: object_store::Error| Failure::failed(format!("{key} {location}"), error);
    let (bucket, prefix) = match location {
        Location::Folder(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::failed(format!("{key} {location}"), error))?;
            let folder = LocalFileSystem::new_with_prefix(folder).map_err(failed)?;
            return Ok(Arc::new(folder.with_fsync(true)));
        }
        Location::Bucket { bucket, prefix } => (bucket, prefix),
    };
    // Fails where a provider was chosen already, which then counts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT);
    let retries =
        RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(settings.s3_region.as_deref().unwrap_or(REGION))
        .with_access_key_id(secret("s3_access_key_id", settings.s3_access_key_id.as_ref())?)
        .with_secret_access_key(secret("s3_secret_access_key", settings.s3_secret_access_key.as_ref())?)
        .with_client_options(client)
        .with_retry(retries);
    if let Some(endpoint) = &settings.s3_endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    let bucket = builder.build().map_err(failed)?;
    Ok(Arc::new(PrefixStore::new(bucket, prefix.clone())))
}

fn secret(key: &'static str, source: Option<&SecretSource>) -> Result<String, Failure> {
    let source = source.ok_or_else(|| Failure::usage(format!("{key}: is required by a bucket")))?;
    Ok(source.read(key)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_folders_or_buckets() {
        let bucket = |bucket: &str, prefix: &str| Location::Bucket {
            bucket: bucket.to_owned(),
            prefix: Path::from(prefix),
        };
        for (text, location) in [
            ("logs", Location::Folder("logs".into())),
            ("/srv/logs", Location::Folder("/srv/logs".into())),
            ("file:///srv/logs", Location::Folder("/srv/logs".into())),
            ("s3://kept-lines", bucket("kept-lines", "")),
            ("s3://kept-lines/", bucket("kept-lines", "")),
            ("s3://kept.lines/pilothouse/Logs_1", bucket("kept.lines", "pilothouse/Logs_1")),
        ] {
            assert_eq!(text.parse(), Ok(location), "{text}");
        }
        for text in [
            "",
            "file://srv",
            "gs://kept-lines",
            "s3://",
            "s3://Kept",
            "s3://a/b",
            "s3://kept-lines//a",
            "s3://kept-lines/a/../b",
            "s3://kept-lines/a b",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
        assert_eq!(bucket("kept-lines", "a/b").to_string(), "s3://kept-lines/a/b");
        assert_eq!(bucket("kept-lines", "").to_string(), "s3://kept-lines");
    }
}
