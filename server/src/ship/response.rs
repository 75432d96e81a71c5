//! Answers to shipped pieces: what each means for the piece.

use std::time::Duration;

use pilothouse_log_intake::{SendError, Unavailable};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;

/// Envelope of the cdn family, as docs/contract.md has it.
#[derive(Deserialize)]
struct Envelope {
    err: u16,
    msg: Option<String>,
    offset: Option<u64>,
}

/// Offset that a server wants next, by its answer to a piece.
pub(super) fn wanted(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<u64, SendError> {
    let envelope: Option<Envelope> = serde_json::from_slice(body).ok();
    let said = envelope.as_ref().and_then(|envelope| envelope.msg.clone());
    let why = said.unwrap_or_else(|| format!("HTTP {}", status.as_u16()));
    let is_passing = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    match envelope {
        _ if is_passing => {
            Err(SendError::Unavailable(Unavailable { why, retry_after: retry_after(headers) }))
        }
        Some(Envelope { err: 0, offset: Some(offset), .. }) if status.is_success() => Ok(offset),
        Some(Envelope { err: 1, .. }) => Err(SendError::Unavailable(Unavailable { why, retry_after: None })),
        Some(Envelope { err: 3, .. }) => {
            Err(SendError::Refused(format!("{why}: the key is none of its edges'")))
        }
        Some(Envelope { err: 4, .. }) => {
            Err(SendError::Refused(format!("{why}: the key is not that of this edge of this cdn")))
        }
        Some(Envelope { err: 7, .. }) => Err(SendError::Conflict(why)),
        Some(Envelope { err: 1.., .. }) => Err(SendError::Refused(why)),
        Some(Envelope { err: 0, .. }) | None => Err(SendError::Refused(not_understood(status, headers))),
    }
}

/// Seconds that a server asks to wait; a date is not understood, and counts as nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn not_understood(status: StatusCode, headers: &HeaderMap) -> String {
    let code = status.as_u16();
    if status.is_redirection() {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("elsewhere");
        return format!(
            "HTTP {code}, which leads to {location:?}: --url must be where the server itself answers"
        );
    }
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return format!(
            "HTTP {code}: a proxy before the server takes no bodies of this size; let it take 8 MiB"
        );
    }
    format!("HTTP {code}, which is no answer of Pilothouse: is --url right?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Result<u64, SendError> {
        let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        wanted(StatusCode::from_u16(status).unwrap(), &pairs.collect(), body.as_bytes())
    }

    #[test]
    fn what_passes_is_tried_again_when_the_server_wants_it() {
        for (status, headers, body, expected, after) in [
            (503, &[("retry-after", "2")][..], r#"{"err":1,"msg":"busy","done":"no"}"#, "busy", Some(2)),
            (429, &[("retry-after", "30")], r#"{"err":2,"msg":"too many"}"#, "too many", Some(30)),
            (502, &[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")], "<html>", "HTTP 502", None),
            (408, &[], "", "HTTP 408", None),
            (200, &[], r#"{"err":1,"msg":"no archive"}"#, "no archive", None),
        ] {
            match answered(status, headers, body) {
                Err(SendError::Unavailable(Unavailable { why, retry_after })) => {
                    assert_eq!((&*why, retry_after), (expected, after.map(Duration::from_secs)));
                }
                other => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn offsets_conflicts_and_refusals_are_told_apart() {
        assert_eq!(answered(200, &[], r#"{"err":0,"offset":42}"#).unwrap(), 42);
        let conflict = answered(200, &[], r#"{"err":7,"msg":"offset: 3 is wanted next, not 9"}"#);
        assert!(
            matches!(conflict, Err(SendError::Conflict(why)) if why == "offset: 3 is wanted next, not 9")
        );
        for (status, headers, body, expected) in [
            (200, &[][..], r#"{"err":3,"msg":"not authenticated"}"#, "none of its edges'"),
            (200, &[], r#"{"err":4,"msg":"not permitted"}"#, "not that of this edge"),
            (200, &[], r#"{"err":6,"msg":"the cdn does not exist"}"#, "the cdn does not exist"),
            (200, &[], r#"{"err":0}"#, "no answer of Pilothouse"),
            (200, &[], "<html>", "is --url right?"),
            (404, &[], "<html>", "HTTP 404"),
            (413, &[], "<html>", "8 MiB"),
            (301, &[("location", "https://a/")], "", "https://a/"),
        ] {
            match answered(status, headers, body) {
                Err(SendError::Refused(why)) => assert!(why.contains(expected), "{why}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
