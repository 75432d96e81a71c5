//! API of Alibaba Cloud CDN, version 2018-05-10: signed requests and the meaning of its error codes.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use pilothouse_core::ports::{Clock, Ids, ProviderError};
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::signing::{AccessKey, acs3, canonical_query, sha256_hex};
use crate::vendor::{
    Answer, Endpoint, Pace, Request, VendorClient, answered, next_midnight, of_reading, unreadable,
};

/// Version of the API.
const VERSION: &str = "2018-05-10";
const FORM: &str = "application/x-www-form-urlencoded";

/// Parameters of a call by name.
pub(super) type Parameters<'a> = [(&'a str, &'a str)];

/// Signed calls of one account.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) client: VendorClient,
    pub(super) endpoint: Endpoint,
    pub(super) key: AccessKey,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) pace: Pace,
}

/// Time between two calls of an action that is called often at a time: 5 pages of tasks, 30 looks at tasks, and 100 series a
/// second are allowed.
fn apart(action: &str) -> Duration {
    match action {
        "DescribeRefreshTasks" => Duration::from_millis(220),
        "DescribeRefreshTaskById" => Duration::from_millis(40),
        "DescribeDomainTrafficData"
        | "DescribeDomainHttpCodeData"
        | "DescribeDomainReqHitRateData"
        | "DescribeDomainHitRateData" => Duration::from_millis(12),
        _ => Duration::ZERO,
    }
}

impl Api {
    /// Calls an action that only reads, with its parameters in the query.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        action: &'static str,
        query: &Parameters<'_>,
    ) -> Result<T, ProviderError> {
        self.pace.wait(action, apart(action)).await;
        self.call(action, &canonical_query(query), "").await.map_err(of_reading)
    }

    /// Calls an action that does something, with its parameters in a form, which may be long.
    pub(super) async fn act<T: DeserializeOwned>(
        &self,
        action: &str,
        form: &Parameters<'_>,
    ) -> Result<T, ProviderError> {
        self.call(action, "", &canonical_query(form)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        action: &str,
        query: &str,
        form: &str,
    ) -> Result<T, ProviderError> {
        // Every send has a nonce of its own: the vendor refuses one that it has seen.
        let nonce = self.ids.uuid().simple().to_string();
        let request = self.request(action, query, form, &nonce, self.clock.now());
        parse(&self.client.send(request).await?, self.clock.now())
    }

    fn request(&self, action: &str, query: &str, form: &str, nonce: &str, at: DateTime<Utc>) -> Request {
        let (date, hash) = (stamp(at), sha256_hex(form.as_bytes()));
        let mut signed = vec![
            ("host", self.endpoint.host()),
            ("x-acs-action", action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", nonce),
            ("x-acs-version", VERSION),
        ];
        if !form.is_empty() {
            signed.push(("content-type", FORM));
        }
        let call = acs3::Call { method: "POST", query, headers: &signed, body: form.as_bytes() };
        let authorization = call.authorization(&self.key);
        // The client derives the host from the URL, as the endpoint does.
        let sent = signed.iter().filter(|(name, _)| *name != "host");
        let mut headers: Vec<_> = sent.map(|(name, value)| (*name, (*value).to_owned())).collect();
        headers.push(("accept", "application/json".to_owned()));
        headers.push(("authorization", authorization));
        let (url, body) = (self.endpoint.url("/", query), form.as_bytes().to_vec());
        Request { method: Method::POST, url, headers, body }
    }
}

/// Moment as the API writes it.
pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[derive(Debug, Deserialize)]
struct ErrorDocument {
    #[serde(rename = "Code")]
    code: String,
}

/// Reads an answer as the document that is expected, or as the vendor's error.
pub(super) fn parse<T: DeserializeOwned>(answer: &Answer, now: DateTime<Utc>) -> Result<T, ProviderError> {
    if answer.is_success() {
        return serde_json::from_slice(&answer.body).map_err(|_| unreadable(answer.status));
    }
    match serde_json::from_slice::<ErrorDocument>(&answer.body) {
        Ok(error) => Err(meaning(&error.code, answer, now)),
        Err(_) => Err(unreadable(answer.status)),
    }
}

/// Meaning of an error code.
fn meaning(code: &str, answer: &Answer, now: DateTime<Utc>) -> ProviderError {
    let reason = answered(code);
    match code {
        "Throttling" | "Throttling.User" | "Throttling.Api" | "QuotaPerMinuteExceeded.Refresh" => {
            let after = answer.pause("x-acs-retry-after", Duration::from_millis(1));
            ProviderError::Throttled { reason, after }
        }
        // A domain that is being configured, a queue that is full, a gateway without a service behind it: nothing was done.
        "ServiceBusy" | "PreloadQueueFull" | "ServiceUnavailable" => ProviderError::Unavailable(reason),
        "QuotaExceeded.Refresh" => {
            ProviderError::QuotaUsed { pool: "purges".to_owned(), until: next_midnight(now) }
        }
        "QuotaExceeded.Preload" => {
            ProviderError::QuotaUsed { pool: "preloads".to_owned(), until: next_midnight(now) }
        }
        "InvalidDomain.NotFound" | "InvalidDomain.Offline" | "IllegalOperation" => {
            ProviderError::NotYours(reason)
        }
        "SignatureDoesNotMatch" | "IncompleteSignature" | "InvalidTimeStamp.Expired" | "OperationDenied" => {
            answer.credentials(reason, now)
        }
        _ if code.starts_with("InvalidAccessKeyId.") || code.starts_with("Forbidden") => {
            answer.credentials(reason, now)
        }
        // It came to the gateway before. Whether it was done then is not said.
        "SignatureNonceUsed" => ProviderError::Ambiguous(reason),
        _ if answer.status >= 500 => ProviderError::Ambiguous(reason),
        _ => ProviderError::Refused(reason),
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_core::ports::{RandomIds, SystemClock};
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_request_has_every_signed_header_and_its_signature() {
        let api = Api {
            client: VendorClient::new("a").unwrap(),
            endpoint: Endpoint::new("cdn.endpoint", "https://cdn.aliyuncs.com").unwrap(),
            key: AccessKey::new("LTAIEXAMPLEEXAMPLE", "ExampleAccessKeySecretExample1"),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            pace: Pace::default(),
        };
        let query = canonical_query(&[
            ("DomainName", "a.example.com"),
            ("EndTime", "2026-07-26T00:00:00Z"),
            ("Interval", "300"),
            ("StartTime", "2026-07-25T00:00:00Z"),
        ]);
        let nonce = "0123456789abcdef0123456789abcdef";
        let request = api.request("DescribeDomainTrafficData", &query, "", nonce, at("2026-07-25T17:20:00Z"));
        let (name, authorization) = request.headers.last().unwrap();
        assert_eq!(*name, "authorization");
        assert!(
            authorization.ends_with("1578439c348cb62f446ca7aca08f8ace43c92dcb629148e3cba5e991ad7e9bc9"),
            "{authorization}"
        );
        assert!(request.headers.contains(&("x-acs-signature-nonce", nonce.to_owned())));
        assert!(request.url.starts_with("https://cdn.aliyuncs.com/?DomainName=a.example.com&EndTime="));
        assert!(!format!("{api:?}").contains("ExampleAccessKeySecret"));
    }

    fn refused(status: u16, code: &str) -> ProviderError {
        let pause = (HeaderName::from_static("x-acs-retry-after"), HeaderValue::from_static("200"));
        let body = format!("{{\"Code\": \"{code}\", \"Message\": \"of LTAIEXAMPLE\"}}").into_bytes();
        let answer = Answer { status, headers: HeaderMap::from_iter([pause]), body };
        parse::<serde_json::Value>(&answer, at("2026-07-25T17:20:00Z")).unwrap_err()
    }

    #[test]
    fn error_codes_have_their_meaning() {
        let reason = |code: &str| format!("the vendor answered {code}");
        let after = Some(Duration::from_millis(200));
        let slow = ProviderError::Throttled { reason: reason("Throttling.User"), after };
        assert_eq!(refused(400, "Throttling.User"), slow);
        let until = at("2026-07-26T16:00:00Z");
        let used = ProviderError::QuotaUsed { pool: "purges".to_owned(), until };
        assert_eq!(refused(400, "QuotaExceeded.Refresh"), used);
        for (status, code, expected) in [
            (403, "ServiceBusy", ProviderError::Unavailable as fn(String) -> ProviderError),
            (404, "InvalidDomain.NotFound", ProviderError::NotYours),
            (404, "InvalidAccessKeyId.NotFound", ProviderError::Credentials),
            (400, "SignatureDoesNotMatch", ProviderError::Credentials),
            (403, "Forbidden.RAM", ProviderError::Credentials),
            (400, "InvalidObjectPath.Malformed", ProviderError::Refused),
            (400, "SignatureNonceUsed", ProviderError::Ambiguous),
            (500, "InternalError", ProviderError::Ambiguous),
        ] {
            assert_eq!(refused(status, code), expected(reason(code)));
        }
    }

    #[test]
    fn an_answer_that_is_no_document_is_ambiguous() {
        for (status, body) in [(502, "<html>"), (200, "{}"), (404, "")] {
            let answer = Answer { status, headers: HeaderMap::new(), body: body.into() };
            let error = parse::<ErrorDocument>(&answer, at("2026-07-25T17:20:00Z")).unwrap_err();
            assert!(matches!(error, ProviderError::Ambiguous(_)), "{error:?}");
        }
    }
}
