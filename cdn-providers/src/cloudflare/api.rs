//! API of Cloudflare, version 4: requests with a bearer token and the meaning of its error codes.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pilothouse_core::ports::ProviderError;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{Envelope, Errors, GraphQlAnswer, GraphQlData};
use super::budget::CallBudget;
use crate::vendor::{Answer, Endpoint, Request, VendorClient, answered, of_reading, unreadable};

/// Path that all calls begin with.
const BASE: &str = "/client/v4";

/// Calls with one token. Its debug output has no token.
pub(super) struct Api {
    client: VendorClient,
    endpoint: Endpoint,
    token: String,
    budget: CallBudget,
}

impl fmt::Debug for Api {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Api").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Api {
    pub(super) fn new(client: VendorClient, endpoint: Endpoint, token: String) -> Self {
        Self { client, endpoint, token, budget: CallBudget::default() }
    }

    /// Reads what is at a path, with a query that needs no escapes.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &str,
        now: DateTime<Utc>,
    ) -> Result<Envelope<T>, ProviderError> {
        self.budget.wait().await;
        let request = self.request(Method::GET, path, query, Vec::new());
        let answer = self.client.send(request).await.map_err(of_reading)?;
        parse(&answer, now).map_err(of_reading)
    }

    /// Posts a document. With the budget of calls used up nothing is sent, so that the engine can wait.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        now: DateTime<Utc>,
    ) -> Result<Envelope<T>, ProviderError> {
        if let Err(missing) = self.budget.take() {
            let reason = "the vendor's limit of calls is reached".to_owned();
            return Err(ProviderError::Throttled { reason, after: Some(missing) });
        }
        let request = self.request(Method::POST, path, "", json(body)?);
        parse(&self.client.send(request).await?, now)
    }

    /// Asks for figures.
    pub(super) async fn graphql(
        &self,
        body: &impl Serialize,
        now: DateTime<Utc>,
    ) -> Result<GraphQlData, ProviderError> {
        let request = self.request(Method::POST, "/graphql", "", json(body)?);
        let answer = self.client.send(request).await.map_err(of_reading)?;
        parse_figures(&answer, now).map_err(of_reading)
    }

    fn request(&self, method: Method, path: &str, query: &str, body: Vec<u8>) -> Request {
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            ("authorization", format!("Bearer {}", self.token)),
        ];
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        Request { method, url: self.endpoint.url(&format!("{BASE}{path}"), query), headers, body }
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, ProviderError> {
    serde_json::to_vec(body).map_err(|error| ProviderError::Refused(error.to_string()))
}

/// Reads an answer as the document that is expected, or as the vendor's error.
fn parse<T: DeserializeOwned>(answer: &Answer, now: DateTime<Utc>) -> Result<T, ProviderError> {
    if answer.is_success() {
        return serde_json::from_slice(&answer.body).map_err(|_| unreadable(answer.status));
    }
    let errors = serde_json::from_slice::<Errors>(&answer.body).ok().and_then(|errors| errors.errors);
    let code = errors.and_then(|errors| errors.first()?.code);
    Err(meaning(code, answer, now))
}

/// Meaning of an error. A status without a code of the vendor is one of a proxy in between.
fn meaning(code: Option<i64>, answer: &Answer, now: DateTime<Utc>) -> ProviderError {
    let reason = match code {
        Some(code) => answered(&code.to_string()),
        None => answered(&format!("status-{}", answer.status)),
    };
    match (answer.status, code) {
        (429, _) | (_, Some(971)) => {
            ProviderError::Throttled { reason, after: answer.pause("retry-after", Duration::from_secs(1)) }
        }
        // A purge that is sent again costs nothing.
        (500.., _) => ProviderError::Unavailable(reason),
        // Zones that are called were listed with this token, so it lacks a right, or was given another account's.
        (403, Some(10000)) => answer.credentials("the token lacks a right, or the zone".to_owned(), now),
        // The header is malformed, or the token is unknown or revoked.
        (401 | 403, _) | (_, Some(1000 | 6003 | 9109)) => answer.credentials(reason, now),
        (_, Some(1094)) => ProviderError::TooBig(reason),
        // One item that is refused refuses all: which one is found as with a host that is another zone's.
        (404, Some(7003)) | (400, Some(1012)) => ProviderError::NotYours(reason),
        _ => ProviderError::Refused(reason),
    }
}

/// Reads figures. GraphQL answers errors with the status 200, too, and without codes.
fn parse_figures(answer: &Answer, now: DateTime<Utc>) -> Result<GraphQlData, ProviderError> {
    let errors = serde_json::from_slice::<Errors>(&answer.body).ok().and_then(|errors| errors.errors);
    let error = errors.and_then(|errors| errors.into_iter().next());
    if answer.is_success() && error.is_none() {
        let figures: Result<GraphQlAnswer, _> = serde_json::from_slice(&answer.body);
        return figures.ok().and_then(|answer| answer.data).ok_or_else(|| unreadable(answer.status));
    }
    let message = error.map(|error| error.message.to_ascii_lowercase()).unwrap_or_default();
    let says = |words: &str| message.contains(words);
    if answer.status == 429 || says("budget depleted") || says("too many queries") {
        let reason = "the vendor answers no more questions about traffic at present".to_owned();
        let after = answer.pause("retry-after", Duration::from_secs(1));
        return Err(ProviderError::Throttled { reason, after });
    }
    if says("not authorized") {
        return Err(ProviderError::NotYours("the vendor does not tell the traffic of this zone".to_owned()));
    }
    if matches!(answer.status, 401 | 403) {
        let reason = answered(&format!("status-{}", answer.status));
        return Err(answer.credentials(reason, now));
    }
    if answer.status >= 500 {
        return Err(ProviderError::Unavailable(answered(&format!("status-{}", answer.status))));
    }
    let reason = if says("older than") {
        "the vendor knows no traffic of so long ago"
    } else {
        "the vendor refused a question about traffic"
    };
    Err(ProviderError::Refused(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let pause = (HeaderName::from_static("retry-after"), HeaderValue::from_static("12"));
        Answer { status, headers: HeaderMap::from_iter([pause]), body: body.into() }
    }

    fn refused(status: u16, code: &str) -> ProviderError {
        let body = format!(
            "{{\"success\": false, \"errors\": [{{\"code\": {code}, \"message\": \"x\"}}], \"result\": null}}"
        );
        parse::<Envelope<()>>(&answer(status, &body), DateTime::UNIX_EPOCH).unwrap_err()
    }

    #[test]
    fn error_codes_have_their_meaning() {
        let reason = |code: &str| format!("the vendor answered {code}");
        let after = Some(Duration::from_secs(12));
        assert_eq!(refused(429, "971"), ProviderError::Throttled { reason: reason("971"), after });
        for (status, code, expected) in [
            (403, "9109", ProviderError::Credentials as fn(String) -> ProviderError),
            (400, "6003", ProviderError::Credentials),
            (404, "7003", ProviderError::NotYours),
            (400, "1012", ProviderError::NotYours),
            (400, "1094", ProviderError::TooBig),
            (400, "1107", ProviderError::Refused),
            (500, "1", ProviderError::Unavailable),
        ] {
            assert_eq!(refused(status, code), expected(reason(code)));
        }
        let right = ProviderError::Credentials("the token lacks a right, or the zone".to_owned());
        assert_eq!(refused(403, "10000"), right);
        let proxy = parse::<Envelope<()>>(&answer(502, "<html>"), DateTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(proxy, ProviderError::Unavailable(reason("status-502")));
    }

    #[test]
    fn figures_are_refused_with_the_status_200_too() {
        for (status, message, expected) in [
            (200, "cannot request data older than 8d", "the vendor knows no traffic of so long ago"),
            (200, "zones (1) are not authorized", "the vendor does not tell the traffic of this zone"),
            (
                200,
                "rate limiter budget depleted",
                "the vendor answers no more questions about traffic at present",
            ),
            (
                503,
                "too many queries in progress",
                "the vendor answers no more questions about traffic at present",
            ),
            (400, "unknown field", "the vendor refused a question about traffic"),
            (403, "no", "the credentials are not accepted: the vendor answered status-403"),
        ] {
            let body = format!("{{\"data\": null, \"errors\": [{{\"message\": \"{message}\"}}]}}");
            let error = parse_figures(&answer(status, &body), DateTime::UNIX_EPOCH).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let answer = answer(200, r#"{"data": {"viewer": {"zones": []}}, "errors": null}"#);
        assert!(parse_figures(&answer, DateTime::UNIX_EPOCH).unwrap().viewer.zones.is_empty());
    }
}
