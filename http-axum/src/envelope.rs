//! The envelopes of the families, and the one error type that all of them carry.
//!
//! A handler or extractor that fails answers with a [`Failure`], which knows nothing of envelopes; the guard around all
//! handlers puts it into the envelope of the family that was asked.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pilothouse_core::{Error, ErrorKind, error_chain};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::family::Family;

impl Family {
    /// A failure in this family's envelope. `status` overrides the one that belongs to the kind.
    pub(crate) fn failure(self, kind: ErrorKind, status: Option<StatusCode>, why: &str) -> Response {
        let (code, kind_status) = self.code(kind);
        let status = status.unwrap_or(kind_status);
        // Below the handlers the ops family repeats the HTTP status as its code.
        let code = if self == Self::Ops && status.is_client_error() { status.as_u16() } else { code };
        let mut body = match self {
            Self::Ops => json!({ "code": code, "ok": false, "info": why }),
            Self::Config => json!({ "code": code, "msg": why }),
            Self::Cdn => json!({ "err": code, "msg": why }),
            Self::Apollo => json!({ "status": status.as_u16(), "message": why }),
        };
        let done = match kind {
            ErrorKind::Busy => "no",
            ErrorKind::OutcomeUnknown => "unknown",
            _ => return (status, Json(body)).into_response(),
        };
        body["done"] = done.into();
        (status, [(header::RETRY_AFTER, seconds(RETRY_AFTER))], Json(body)).into_response()
    }
}

impl Family {
    /// Refusal of a piece that does not begin at the offset wanted, which the answer names.
    fn wrong_offset(self, wanted: i64) -> Response {
        let (code, _) = self.code(ErrorKind::Conflict);
        let why = format!("the next piece begins at {wanted}");
        let body = json!({ "code": code, "ok": false, "info": why, "offset": wanted });
        (StatusCode::CONFLICT, Json(body)).into_response()
    }
}

/// Failure of a request, before it is put into a family's envelope.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The domain said no.
    Domain(Arc<Error>),
    /// The request never reached a use case: its own HTTP status, and what to say.
    Transport(StatusCode, &'static str),
    /// A piece of a blob that begins elsewhere than at the offset wanted.
    WrongOffset {
        /// Offset at which the next piece begins.
        wanted: i64,
    },
    /// The request was not answered in time. What only reads has done nothing; what else it began goes on.
    TimedOut {
        /// Whether it only reads.
        reads: bool,
    },
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Domain(Arc::new(error.into()))
    }
}

impl Failure {
    /// The HTTP status that is the family's code, for paths that say it twice; `None` where the status is no success.
    pub(crate) fn code_as_status(&self, family: Family) -> Option<StatusCode> {
        let Self::Domain(error) = self else { return None };
        let (code, status) = family.code(error.kind());
        let code = StatusCode::from_u16(code).ok();
        code.filter(|_| status == StatusCode::OK)
    }
}

impl IntoResponse for Failure {
    /// An empty answer that carries the failure to the guard.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Failure {
    /// The answer in a family's envelope. What is our own fault goes to the log; the client gets the request's id.
    pub(crate) fn render(&self, family: Family, request_id: &str) -> Response {
        let error = match self {
            Self::Transport(status, why) => {
                let kind = match *status {
                    StatusCode::NOT_FOUND => ErrorKind::NotFound,
                    StatusCode::UNAUTHORIZED => ErrorKind::Unauthenticated,
                    StatusCode::FORBIDDEN => ErrorKind::Forbidden,
                    status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                        ErrorKind::Internal
                    }
                    _ => ErrorKind::Invalid,
                };
                return family.failure(kind, Some(*status), why);
            }
            Self::WrongOffset { wanted } => return family.wrong_offset(*wanted),
            Self::TimedOut { reads: true } => {
                return family.failure(ErrorKind::Busy, None, "the request took too long");
            }
            Self::TimedOut { reads: false } => {
                let why = "the request took too long; what it began goes on";
                return family.failure(ErrorKind::OutcomeUnknown, None, why);
            }
            Self::Domain(error) => error,
        };
        match &**error {
            Error::Storage(_) | Error::Internal(_) => {
                tracing::error!(request_id, error = error_chain(error), "a request failed");
                let why = match error.kind() {
                    ErrorKind::Busy => "the store is not available and nothing was done",
                    ErrorKind::OutcomeUnknown => "it is unknown whether it was done",
                    _ => "internal error",
                };
                family.failure(error.kind(), None, &format!("{why}, request {request_id}"))
            }
            Error::TooMany { retry_after } => {
                let why = error.to_string();
                let mut response = family.failure(ErrorKind::TooMany, None, &why);
                response.headers_mut().insert(header::RETRY_AFTER, seconds(*retry_after));
                response
            }
            _ => family.failure(error.kind(), None, &error.to_string()),
        }
    }
}

/// Time after which a request that found the store out of reach is worth repeating.
const RETRY_AFTER: Duration = Duration::from_secs(2);

fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// Answer of a handler.
pub(crate) type Reply<T> = Result<Json<T>, Failure>;

/// The one code of a success, so that a client can tell it from a failure.
fn only<const CODE: u16>() -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([CODE])).examples([CODE]).build()
}

/// The one value of a boolean, so that a client can tell a success from a failure.
pub(crate) fn constant<const VALUE: bool>() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([VALUE])).examples([VALUE]).build()
}

/// The ops family's success.
#[derive(Serialize, ToSchema)]
pub(crate) struct Info<T> {
    /// Always 200.
    #[schema(schema_with = only::<200>)]
    code: u16,
    /// Always true; false in a failure.
    #[schema(schema_with = constant::<true>)]
    ok: bool,
    /// Answer of the operation.
    info: T,
}

/// A success of the ops family.
#[expect(clippy::unnecessary_wraps, reason = "handlers end in it")]
pub(crate) fn info<T>(info: T) -> Reply<Info<T>> {
    Ok(Json(Info { code: 200, ok: true, info }))
}

/// The config family's success.
#[derive(Serialize, ToSchema)]
pub(crate) struct Data<T> {
    /// Always 0.
    #[schema(schema_with = only::<0>)]
    code: u16,
    /// Always `success`.
    #[schema(example = "success")]
    msg: &'static str,
    /// Answer of the operation.
    data: T,
}

/// A success of the config family.
#[expect(clippy::unnecessary_wraps, reason = "handlers end in it")]
pub(crate) fn data<T>(data: T) -> Reply<Data<T>> {
    Ok(Json(Data { code: 0, msg: "success", data }))
}

/// The cdn family's success.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done<T> {
    /// Always 0.
    #[schema(schema_with = only::<0>)]
    err: u16,
    /// The members of the answer stand beside it.
    #[serde(flatten)]
    answer: T,
}

/// A success of the cdn family.
#[expect(clippy::unnecessary_wraps, reason = "handlers end in it")]
pub(crate) fn done<T>(answer: T) -> Reply<Done<T>> {
    Ok(Json(Done { err: 0, answer }))
}

/// A success of the config family as bytes, to be kept and sent more than once.
pub(crate) fn enclosed<T: Serialize>(data: &T) -> Bytes {
    let envelope = Data { code: 0, msg: "success", data };
    serde_json::to_vec(&envelope).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use pilothouse_core::ports::StorageError;
    use serde_json::Value;

    use super::*;

    /// Status, seconds of `Retry-After`, code and `done` of a failure in a family.
    async fn rendered(failure: &Failure, family: Family) -> (u16, Option<String>, i64, Option<String>) {
        let response = failure.render(family, "request-7");
        let wait = response.headers().get(header::RETRY_AFTER).map(|wait| wait.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body: Value =
            serde_json::from_slice(&to_bytes(response.into_body(), 1 << 16).await.unwrap()).unwrap();
        assert!(!body.to_string().contains("secret"), "{body}");
        let code = ["code", "err", "status"].into_iter().find_map(|name| body[name].as_i64()).unwrap();
        (status, wait, code, body["done"].as_str().map(str::to_owned))
    }

    #[tokio::test]
    async fn failures_that_pass_say_when_and_whether_to_repeat() {
        let storage = |error: fn(Box<dyn std::error::Error + Send + Sync>) -> StorageError| {
            Failure::from(error("secret".into()))
        };
        let again = Some("2".to_owned());
        for (failure, done) in [
            (storage(StorageError::Unavailable), "no"),
            (storage(StorageError::CommitUnknown), "unknown"),
            (storage(StorageError::Stopped), "unknown"),
            (Failure::TimedOut { reads: true }, "no"),
            (Failure::TimedOut { reads: false }, "unknown"),
        ] {
            for (family, code) in
                [(Family::Ops, 503), (Family::Config, 1), (Family::Cdn, 1), (Family::Apollo, 503)]
            {
                let expected = (503, again.clone(), code, Some(done.to_owned()));
                assert_eq!(rendered(&failure, family).await, expected, "{failure:?} in {family:?}");
            }
        }
        let fault = storage(StorageError::Backend);
        for (family, code) in
            [(Family::Ops, 500), (Family::Config, 1), (Family::Cdn, 1), (Family::Apollo, 500)]
        {
            assert_eq!(rendered(&fault, family).await, (500, None, code, None), "{family:?}");
        }
    }

    /// Codes of the families that number kinds from 1 to 7.
    const NUMBERED: [(u16, u16); ErrorKind::ALL.len()] = [
        (1, 500),
        (1, 503),
        (1, 503),
        (1, 200),
        (2, 200),
        (3, 200),
        (4, 200),
        (5, 200),
        (6, 200),
        (7, 200),
        (2, 429),
    ];

    /// Codes of every kind, in the order of [`ErrorKind::ALL`]. A kind that core adds changes the length of that list, and
    /// this does not compile until the kind has a code of its own.
    const CODES: [(Family, [(u16, u16); ErrorKind::ALL.len()]); 4] = [
        (
            Family::Ops,
            [
                (500, 500),
                (503, 503),
                (503, 503),
                (500, 503),
                (400, 200),
                (403, 403),
                (403, 403),
                (409, 200),
                (404, 200),
                (409, 200),
                (429, 429),
            ],
        ),
        (Family::Config, NUMBERED),
        (Family::Cdn, NUMBERED),
        (
            Family::Apollo,
            [
                (500, 500),
                (503, 503),
                (503, 503),
                (503, 503),
                (400, 400),
                (401, 401),
                (401, 401),
                (409, 409),
                (404, 404),
                (409, 409),
                (429, 429),
            ],
        ),
    ];

    #[test]
    fn every_kind_has_a_code_in_every_family() {
        for (family, codes) in CODES {
            let answered = ErrorKind::ALL.map(|kind| {
                let (code, status) = family.code(kind);
                (code, status.as_u16())
            });
            assert_eq!(answered, codes, "{family:?}");
        }
    }
}
