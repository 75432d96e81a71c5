//! Calls of Tencent Cloud's API: signed, paced, and with its error codes understood.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pilothouse_core::ports::{Clock, ProviderError};
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::signing::AccessKey;
use crate::signing::tc3::Call;
use crate::vendor::{
    Answer, Endpoint, Pace, Request, VendorClient, answered, next_midnight, of_reading, unreadable,
};

const SERVICE: &str = "cdn";
const VERSION: &str = "2018-06-06";
const CONTENT_TYPE: &str = "application/json";
/// Time between two calls of one action, of which 20 a second are allowed.
const APART: Duration = Duration::from_millis(60);

/// Caller of the API.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) client: VendorClient,
    endpoint: Endpoint,
    key: AccessKey,
    clock: Arc<dyn Clock>,
    pace: Pace,
}

/// Failure as the vendor says it.
#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(rename = "Code")]
    code: String,
}

impl Api {
    pub(super) fn new(
        client: VendorClient,
        endpoint: Endpoint,
        key: AccessKey,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client, endpoint, key, clock, pace: Pace::default() }
    }

    /// Calls an action that changes something; a lost answer is ambiguous.
    pub(super) async fn act<T: DeserializeOwned>(
        &self,
        action: &'static str,
        body: &Value,
    ) -> Result<T, ProviderError> {
        self.pace.wait(action, APART).await;
        let body = body.to_string().into_bytes();
        let at = self.clock.now();
        let host = self.endpoint.host();
        let call = Call {
            service: SERVICE,
            host,
            action: Some(action),
            content_type: CONTENT_TYPE,
            at,
            body: &body,
        };
        let headers = vec![
            ("authorization", call.authorization(&self.key)),
            ("content-type", CONTENT_TYPE.to_owned()),
            ("x-tc-action", action.to_owned()),
            ("x-tc-timestamp", at.timestamp().to_string()),
            ("x-tc-version", VERSION.to_owned()),
        ];
        let request = Request { method: Method::POST, url: self.endpoint.url("/", ""), headers, body };
        understood(&self.client.send(request).await?, at)
    }

    /// Calls an action that only reads.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        action: &'static str,
        body: &Value,
    ) -> Result<T, ProviderError> {
        self.act(action, body).await.map_err(of_reading)
    }
}

/// Reads an answer, which has status 200 also where it is a failure.
fn understood<T: DeserializeOwned>(answer: &Answer, now: DateTime<Utc>) -> Result<T, ProviderError> {
    let unreadable = || unreadable(answer.status);
    if !answer.is_success() {
        return Err(unreadable());
    }
    let mut document: Value = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
    let response = document.get_mut("Response").map(Value::take).ok_or_else(unreadable)?;
    if let Some(failure) = response.get("Error") {
        let failure = Failure::deserialize(failure).map_err(|_| unreadable())?;
        return Err(failure_of(&failure.code, answer, now));
    }
    serde_json::from_value(response).map_err(|_| unreadable())
}

/// Whether a code is this one, or one below it.
fn is(code: &str, family: &str) -> bool {
    code.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn failure_of(code: &str, answer: &Answer, now: DateTime<Utc>) -> ProviderError {
    let reason = answered(code);
    let pool = match code {
        "LimitExceeded.CdnPurgeUrlExceedDayLimit" => Some("URL purges of the day"),
        "LimitExceeded.CdnPurgePathExceedDayLimit" => Some("directory purges of the day"),
        "LimitExceeded.CdnPurgeExceedDayLimit" => Some("purges of the day"),
        "LimitExceeded.CdnPushExceedDayLimit" => Some("preloads of the day"),
        _ => None,
    };
    if let Some(pool) = pool {
        return ProviderError::QuotaUsed { pool: pool.to_owned(), until: next_midnight(now) };
    }
    match code {
        "UnauthorizedOperation.OperationTooOften" | "LimitExceeded.CdnHostOpTooOften" => {
            ProviderError::Throttled { reason, after: None }
        }
        code if is(code, "RequestLimitExceeded") => ProviderError::Throttled { reason, after: None },
        // Nobody says whether it was done.
        code if is(code, "InternalError") => ProviderError::Ambiguous(reason),
        "LimitExceeded.CdnPurgeUrlExceedBatchLimit"
        | "LimitExceeded.CdnPurgePathExceedBatchLimit"
        | "LimitExceeded.CdnPurgeExceedBatchLimit"
        | "LimitExceeded.CdnPushExceedBatchLimit"
        | "InvalidParameter.CdnStatTooManyDomains" => ProviderError::TooBig(reason),
        "UnauthorizedOperation.CdnHostUnauthorized"
        | "UnauthorizedOperation.CdnHostIsOwnedByOther"
        | "UnauthorizedOperation.CdnHostIsUsedByOther"
        | "ResourceNotFound.CdnHostNotExists"
        | "InvalidParameter.CDNStatusInvalidDomain" => ProviderError::NotYours(reason),
        "UnauthorizedOperation.CdnCamUnauthorized" | "UnauthorizedOperation.CdnAccountUnauthorized" => {
            answer.credentials(reason, now)
        }
        // An account that may not call this action, and is otherwise well.
        "UnauthorizedOperation.CdnUserNoWhitelist" => ProviderError::Refused(reason),
        code if is(code, "AuthFailure") || code.starts_with("UnauthorizedOperation.CdnUser") => {
            answer.credentials(reason, now)
        }
        _ => ProviderError::Refused(reason),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() }
    }

    fn error(code: &str) -> ProviderError {
        let body =
            format!(r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"AKID1"}},"RequestId":"r"}}}}"#);
        understood::<Value>(&answer(200, &body), "2026-07-25T17:20:00Z".parse().unwrap()).unwrap_err()
    }

    #[test]
    fn codes_say_what_may_be_done() {
        let throttled = |code| matches!(error(code), ProviderError::Throttled { after: None, .. });
        assert!(throttled("RequestLimitExceeded") && throttled("RequestLimitExceeded.UinLimitExceeded"));
        assert!(throttled("LimitExceeded.CdnHostOpTooOften"));
        assert!(matches!(error("RequestLimitExceededOfOthers"), ProviderError::Refused(_)));
        assert!(matches!(error("InternalError.CdnDbError"), ProviderError::Ambiguous(_)));
        assert!(matches!(error("LimitExceeded.CdnPushExceedBatchLimit"), ProviderError::TooBig(_)));
        assert!(matches!(error("ResourceNotFound.CdnHostNotExists"), ProviderError::NotYours(_)));
        for code in ["AuthFailure.SignatureExpire", "UnauthorizedOperation.CdnUserIsSuspended"] {
            assert!(matches!(error(code), ProviderError::Credentials(_)), "{code}");
        }
        assert!(matches!(error("UnauthorizedOperation.CdnUserNoWhitelist"), ProviderError::Refused(_)));
        let until = "2026-07-26T16:00:00Z".parse().unwrap();
        let pool = "URL purges of the day".to_owned();
        assert_eq!(
            error("LimitExceeded.CdnPurgeUrlExceedDayLimit"),
            ProviderError::QuotaUsed { pool, until }
        );
    }

    #[test]
    fn a_message_of_the_vendor_is_not_passed_on() {
        let refused = error("InvalidParameter.CdnPurgeWildcardNotAllowed");
        assert_eq!(
            refused,
            ProviderError::Refused(
                "the vendor answered InvalidParameter.CdnPurgeWildcardNotAllowed".to_owned()
            )
        );
    }

    #[test]
    fn an_answer_that_says_nothing_is_ambiguous() {
        for (status, body) in [(500, "{}"), (200, "<html>"), (200, "{}"), (200, r#"{"Response":{}}"#)] {
            #[derive(Debug, Deserialize)]
            struct Task {
                #[serde(rename = "TaskId")]
                _task_id: String,
            }
            let error = understood::<Task>(&answer(status, body), DateTime::UNIX_EPOCH).unwrap_err();
            assert!(matches!(error, ProviderError::Ambiguous(_)), "{status} {body}");
        }
    }
}
