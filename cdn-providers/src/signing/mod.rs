//! Request signing of CDN vendors: the access key and the schemes TC3-HMAC-SHA256, ACS3-HMAC-SHA256 and AWS Signature
//! Version 4.
//!
//! Nothing here sends anything. Every scheme turns a description of a request into the value of its `Authorization` header,
//! and is tested with the vectors that the vendors publish and with requests that their own SDKs made.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
#[cfg(any(feature = "alibaba", feature = "cloudfront"))]
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

#[cfg(feature = "alibaba")]
pub mod acs3;
#[cfg(feature = "cloudfront")]
pub mod sigv4;
#[cfg(feature = "tencent")]
pub mod tc3;

/// Access key of a vendor's account. Its debug output shows the id alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessKey {
    /// Id of the key, which is sent with every request and is no secret.
    pub id: String,
    secret: String,
}

impl AccessKey {
    /// Creates the key of an account.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into() }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Hash of a request's body as the schemes want it: SHA-256 in lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Characters that stay as they are in a name or a value of a query (RFC 3986, 2.3).
#[cfg(any(feature = "alibaba", feature = "cloudfront"))]
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Encodes a name or a value of a query: everything but letters, digits, `-`, `_`, `.` and `~` is escaped.
#[cfg(any(feature = "alibaba", feature = "cloudfront"))]
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// Builds the query string that is both signed and sent: encoded and sorted by name, then by value.
#[cfg(any(feature = "alibaba", feature = "cloudfront"))]
pub fn canonical_query(parameters: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> = parameters.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Lines of the signed headers, and their names as `SignedHeaders` lists them.
#[cfg(any(feature = "alibaba", feature = "cloudfront"))]
struct SignedHeaders {
    lines: String,
    names: String,
}

#[cfg(any(feature = "alibaba", feature = "cloudfront"))]
impl SignedHeaders {
    /// Sorts headers, whose names are in lower case.
    fn new(headers: &[(&str, &str)]) -> Self {
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.trim())).collect();
        headers.sort_unstable();
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        Self { lines: lines.concat(), names: names.join(";") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_never_shown() {
        let key = AccessKey::new("AKID", "hunter2");
        assert_eq!(format!("{key:?}"), "AccessKey { id: \"AKID\", .. }");
    }

    #[cfg(any(feature = "alibaba", feature = "cloudfront"))]
    #[test]
    fn a_query_is_sorted_and_fully_escaped() {
        let query = canonical_query(&[("b", "~*+ "), ("a", "中/2"), ("B", ""), ("a", "1")]);
        assert_eq!(query, "B=&a=%E4%B8%AD%2F2&a=1&b=~%2A%2B%20");
    }
}
