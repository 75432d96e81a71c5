//! API of Amazon's services: signed requests and the meaning of their error codes.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pilothouse_core::ports::{Clock, ProviderError};
use reqwest::Method;
use serde::Deserialize;

use super::xml::Element;
use crate::signing::{AccessKey, sha256_hex, sigv4};
use crate::vendor::{Answer, Endpoint, Request, VendorClient, answered, unreadable};

/// Pause after which some of the invalidations in progress have ended.
const IN_PROGRESS_PAUSE: Duration = Duration::from_secs(10);

/// Service that requests are signed for.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) region: String,
    pub(super) endpoint: Endpoint,
}

/// Signed calls of one account.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) client: VendorClient,
    pub(super) key: AccessKey,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cloudfront: Service,
    pub(super) monitoring: Service,
    pub(super) s3: Service,
}

/// Call of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    /// Escaped path.
    pub(super) path: &'a str,
    /// Query as it is signed.
    pub(super) query: &'a str,
    /// Headers to be signed beside those that every call has.
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: &'a [u8],
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str, query: &'a str) -> Self {
        Self { method: &Method::GET, path, query, headers: &[], body: b"" }
    }

    pub(super) fn post(path: &'a str, body: &'a [u8]) -> Self {
        Self { method: &Method::POST, path, query: "", headers: &[], body }
    }
}

impl Api {
    /// Calls a service and returns a success, or the meaning of its error.
    pub(super) async fn call(&self, service: &Service, call: Call<'_>) -> Result<Answer, ProviderError> {
        let answer = self.client.send(self.request(service, call, self.clock.now())).await?;
        if answer.is_success() { Ok(answer) } else { Err(failure(&answer, self.clock.now())) }
    }

    /// Calls a service that answers with XML.
    pub(super) async fn xml(&self, service: &Service, call: Call<'_>) -> Result<Element, ProviderError> {
        let answer = self.call(service, call).await?;
        Element::parse(&answer.body).ok_or_else(|| unreadable(answer.status))
    }

    fn request(&self, service: &Service, call: Call<'_>, at: DateTime<Utc>) -> Request {
        let (date, hash) = (sigv4::amz_date(at), sha256_hex(call.body));
        let mut signed = vec![("host", service.endpoint.host()), ("x-amz-date", date.as_str())];
        if service.name == "s3" {
            signed.push(("x-amz-content-sha256", &hash));
        }
        signed.extend(call.headers);
        let authorization = sigv4::Call {
            service: service.name,
            region: &service.region,
            at,
            method: call.method.as_str(),
            path: call.path,
            query: call.query,
            headers: &signed,
            body: call.body,
        }
        .authorization(&self.key);
        // The client derives the host from the URL, as the endpoint does.
        let sent = signed.iter().filter(|(name, _)| *name != "host");
        let mut headers: Vec<_> = sent.map(|(name, value)| (*name, (*value).to_owned())).collect();
        headers.push(("authorization", authorization));
        let url = service.endpoint.url(call.path, call.query);
        Request { method: call.method.clone(), url, headers, body: call.body.to_vec() }
    }
}

#[derive(Debug, Deserialize)]
struct JsonError {
    #[serde(rename = "__type")]
    kind: String,
}

/// Code of an error in whichever of the three forms it comes.
fn code_of(body: &[u8]) -> Option<String> {
    if let Ok(error) = serde_json::from_slice::<JsonError>(body) {
        let code = error.kind.rsplit('#').next().unwrap_or_default();
        return Some(code.to_owned());
    }
    let root = Element::parse(body)?;
    let code = if root.name == "Error" { root.text(&["Code"]) } else { root.text(&["Error", "Code"]) };
    (!code.is_empty()).then(|| code.to_owned())
}

/// Meaning of an answer that is no success.
fn failure(answer: &Answer, now: DateTime<Utc>) -> ProviderError {
    let Some(code) = code_of(&answer.body) else { return unreadable(answer.status) };
    let reason = answered(&code);
    match code.as_str() {
        "Throttling" | "ThrottlingException" | "SlowDown" => ProviderError::Throttled { reason, after: None },
        "TooManyInvalidationsInProgress" => {
            ProviderError::Throttled { reason, after: Some(IN_PROGRESS_PAUSE) }
        }
        "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AccessDenied"
        | "AccessDeniedException"
        | "MissingAuthenticationToken"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "IncompleteSignature" => answer.credentials(reason, now),
        "NoSuchDistribution" | "NoSuchInvalidation" | "NoSuchBucket" => ProviderError::NotYours(reason),
        "BatchTooLarge" => ProviderError::TooBig(reason),
        // The same batch may be sent again: its reference is a key against double submission.
        _ if answer.status >= 500 => ProviderError::Ambiguous(reason),
        _ => ProviderError::Refused(reason),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn failed(status: u16, body: &str) -> ProviderError {
        let answer = Answer { status, headers: HeaderMap::new(), body: body.into() };
        failure(&answer, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn error_codes_have_their_meaning_in_all_three_forms() {
        let of_cloudfront = |code: &str| {
            format!(
                "<ErrorResponse xmlns=\"http://x/\"><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>"
            )
        };
        let of_s3 = |code: &str| format!("<Error><Code>{code}</Code><Message>of AKIA</Message></Error>");
        let of_cloudwatch = |code: &str| format!("{{\"__type\": \"com.amazon.coral.service#{code}\"}}");
        let reason = |code: &str| format!("the vendor answered {code}");
        for (status, code, expected) in [
            (403, "SignatureDoesNotMatch", ProviderError::Credentials as fn(String) -> ProviderError),
            (400, "RequestExpired", ProviderError::Credentials),
            (404, "NoSuchDistribution", ProviderError::NotYours),
            (413, "BatchTooLarge", ProviderError::TooBig),
            (503, "ServiceUnavailable", ProviderError::Ambiguous),
            (400, "InvalidArgument", ProviderError::Refused),
        ] {
            for body in [of_cloudfront(code), of_s3(code), of_cloudwatch(code)] {
                assert_eq!(failed(status, &body), expected(reason(code)), "{body}");
            }
        }
        let throttled = |code: &str, after| ProviderError::Throttled { reason: reason(code), after };
        assert_eq!(failed(400, &of_cloudfront("Throttling")), throttled("Throttling", None));
        let code = "TooManyInvalidationsInProgress";
        assert_eq!(failed(400, &of_cloudfront(code)), throttled(code, Some(IN_PROGRESS_PAUSE)));
        assert!(matches!(failed(502, "<html>"), ProviderError::Ambiguous(_)));
    }
}
