//! CORS: which pages of other origins may call the API from a browser.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use serde::Deserialize;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Time for which a browser may keep the answer to a preflight.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Origin of pages, as browsers send it: a scheme, a host in lower case, and a port unless it is the scheme's.
///
/// ```
/// use pilothouse_http_axum::Origin;
///
/// assert!("https://console.example.com".parse::<Origin>().is_ok());
/// for refused in ["*", "https://console.example.com/", "console.example.com", "https://Console.example.com"] {
///     assert!(refused.parse::<Origin>().is_err());
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(HeaderValue);

/// A text that is no [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidOrigin;

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be http:// or https://, a host in lower case, and a port unless it is the usual one",
        )
    }
}

impl Error for InvalidOrigin {}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let is_origin = text.parse::<Uri>().is_ok_and(|uri| {
            let scheme = uri.scheme_str().unwrap_or_default();
            let default_port = if scheme == "https" { 443 } else { 80 };
            // What is behind the host, such as a slash, would never equal what a browser sends.
            uri.authority().is_some_and(|authority| {
                ["http", "https"].contains(&scheme)
                    && text == format!("{scheme}://{authority}").to_lowercase()
                    && !authority.as_str().contains('@')
                    && authority.port_u16() != Some(default_port)
            })
        });
        let value = HeaderValue::from_str(text).ok().filter(|_| is_origin);
        value.map(Self).ok_or(InvalidOrigin)
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    fn try_from(text: String) -> Result<Self, InvalidOrigin> {
        text.parse()
    }
}

/// Answers preflights, and lets pages of these origins read answers. Cookies mean nothing to the API, so none are allowed.
pub(crate) fn layer(origins: &[Origin]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([
            header::CONTENT_DISPOSITION,
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(MAX_AGE)
}
