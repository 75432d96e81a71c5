//! `/api/agent/blob/{sha256}`: contents of live orders, for the agents that have them.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use pilothouse_core::Pilothouse;
use pilothouse_core::ops::Sha256Digest;

use super::agent::AgentAuth;
use crate::args::{Args, NoArgs, Segment};
use crate::envelope::Failure;
use crate::state::ApiState;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;

/// Answers the content of a live order of the agent's machine, or the range of it that `Range` names: `bytes=FROM-` or
/// `bytes=FROM-TO`. Others are 404. The code is the HTTP status, too.
#[utoipa::path(
    get,
    path = "/api/agent/blob/{sha256}",
    tag = "ops",
    params(("sha256" = String, Path, description = "SHA-256 of the content: 64 hexadecimal digits.", pattern = "^[0-9a-fA-F]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the machine's agent, by its token"))),
    responses(
        (status = 200, description = "The content.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "No live order of the machine names it."),
        (status = 416, description = "The content has no such range."),
    ),
)]
pub(super) async fn get_agent_blob(
    State(api): State<ApiState>,
    AgentAuth(agent): AgentAuth,
    Segment(sha256): Segment,
    headers: HeaderMap,
    Args(NoArgs {}): Args<NoArgs>,
) -> Result<Response, Failure> {
    let sha256: Sha256Digest = sha256.parse()?;
    let size = api.pilothouse.agents().content(&agent, sha256).await?.size;
    let mut answer = match range(&headers, size) {
        Range::Whole => (StatusCode::OK, content(&api.pilothouse, sha256, 0, size)).into_response(),
        Range::Part { from, end } => {
            let told = format!("bytes {from}-{}/{size}", end - 1);
            let part = content(&api.pilothouse, sha256, from, end);
            (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, told)], part).into_response()
        }
        Range::Unsatisfiable => {
            let why = "the content has no such range";
            return Err(Failure::Transport(StatusCode::RANGE_NOT_SATISFIABLE, why));
        }
    };
    let octets = header::HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, octets);
    answer.headers_mut().insert(header::ACCEPT_RANGES, header::HeaderValue::from_static("bytes"));
    Ok(answer)
}

/// What of a content is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// From a byte to before another.
    Part {
        from: i64,
        end: i64,
    },
    Unsatisfiable,
}

/// The range of a request. One of another form is passed over, as the standard (RFC 9110, section 14.2) allows.
fn range(headers: &HeaderMap, size: i64) -> Range {
    let given = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let parsed = given.and_then(|text| {
        let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
        let to: Option<i64> = if to.is_empty() { None } else { Some(to.parse().ok()?) };
        Some((from.parse::<i64>().ok().filter(|from| *from >= 0)?, to))
    });
    match parsed {
        None => Range::Whole,
        Some((from, Some(to))) if to < from => Range::Whole,
        Some((from, _)) if from >= size => Range::Unsatisfiable,
        Some((from, to)) => Range::Part { from, end: to.map_or(size, |to| to.saturating_add(1).min(size)) },
    }
}

fn content(pilothouse: &Pilothouse, sha256: Sha256Digest, from: i64, end: i64) -> Body {
    let pilothouse = pilothouse.clone();
    let pieces = stream::try_unfold(from, move |at| {
        let pilothouse = pilothouse.clone();
        async move {
            let most = usize::try_from(end - at).unwrap_or(0).min(PIECE);
            if most == 0 {
                return Ok(None);
            }
            let store = pilothouse.blob_store().map_err(io::Error::other)?;
            let piece = store.read(sha256, at, most).await.map_err(io::Error::other)?;
            // A file that was cut short ends the answer before its length, so that nobody takes it for whole.
            if piece.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let next = at + i64::try_from(piece.len()).unwrap_or(i64::MAX);
            Ok(Some((piece, next)))
        }
    });
    Body::from_stream(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bytes() {
        let asked =
            |text: &str, size| range(&HeaderMap::from_iter([(header::RANGE, text.parse().unwrap())]), size);
        assert_eq!(asked("bytes=0-", 10), Range::Part { from: 0, end: 10 });
        assert_eq!(asked("bytes=4-6", 10), Range::Part { from: 4, end: 7 });
        assert_eq!(asked("bytes=4-9223372036854775807", 10), Range::Part { from: 4, end: 10 });
        assert_eq!(asked("bytes=10-", 10), Range::Unsatisfiable);
        assert_eq!(asked("bytes=0-", 0), Range::Unsatisfiable);
        for other in ["bytes=-5", "bytes=6-4", "bytes=1-2,4-5", "lines=1-", "bytes=x-", "bytes=1"] {
            assert_eq!(asked(other, 10), Range::Whole, "{other}");
        }
        assert_eq!(range(&HeaderMap::new(), 10), Range::Whole);
    }
}
