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
use pilothouse_core::{Error, ErrorKind};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// One of the dialects: three envelopes, and Apollo's, which has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `/api/*`, `/admin/*`, and paths of no family: `{"code":200,"info":…}`.
    Ops,
    /// `/app/*`, `/userauth/*`, `/config/*`, `/node/*`, `/publish*`, `/audit/*`: `{"code":0,"msg":"success","data":…}`.
    Config,
    /// `/level3/*`, `/useful/*`: `{"err":0,…}`.
    Cdn,
    /// `/services/*`, `/configs/*`, `/configfiles/*`, `/notifications/*`: Apollo's, where the HTTP status decides.
    Apollo,
}

impl Family {
    /// The family a path belongs to.
    pub fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("app" | "userauth" | "config" | "node" | "publish" | "audit") => Self::Config,
            Some("level3" | "useful") => Self::Cdn,
            Some("services" | "configs" | "configfiles" | "notifications") => Self::Apollo,
            _ => Self::Ops,
        }
    }

    /// The code of an error kind inside the envelope, and the HTTP status around it.
    pub(crate) fn code(self, kind: ErrorKind) -> (u16, StatusCode) {
        if self == Self::Apollo {
            let status = match kind {
                ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
                ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                ErrorKind::Invalid => StatusCode::BAD_REQUEST,
                ErrorKind::Unauthenticated | ErrorKind::Forbidden => StatusCode::UNAUTHORIZED,
                ErrorKind::NotFound => StatusCode::NOT_FOUND,
                ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
                ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            };
            return (status.as_u16(), status);
        }
        if kind == ErrorKind::TooMany {
            return (if self == Self::Ops { 429 } else { 2 }, StatusCode::TOO_MANY_REQUESTS);
        }
        if self == Self::Ops {
            return match kind {
                ErrorKind::Internal => (500, StatusCode::INTERNAL_SERVER_ERROR),
                ErrorKind::Unavailable => (500, StatusCode::SERVICE_UNAVAILABLE),
                ErrorKind::Unauthenticated | ErrorKind::Forbidden => (403, StatusCode::FORBIDDEN),
                ErrorKind::NotFound => (404, StatusCode::OK),
                ErrorKind::AlreadyExists | ErrorKind::Conflict => (409, StatusCode::OK),
                ErrorKind::Invalid | ErrorKind::TooMany => (400, StatusCode::OK),
            };
        }
        match kind {
            ErrorKind::Internal => (1, StatusCode::INTERNAL_SERVER_ERROR),
            ErrorKind::Unavailable => (1, StatusCode::OK),
            ErrorKind::Invalid | ErrorKind::TooMany => (2, StatusCode::OK),
            ErrorKind::Unauthenticated => (3, StatusCode::OK),
            ErrorKind::Forbidden => (4, StatusCode::OK),
            ErrorKind::AlreadyExists => (5, StatusCode::OK),
            ErrorKind::NotFound => (6, StatusCode::OK),
            ErrorKind::Conflict => (7, StatusCode::OK),
        }
    }

    /// A failure in this family's envelope. `status` overrides the one that belongs to the kind.
    pub(crate) fn failure(self, kind: ErrorKind, status: Option<StatusCode>, why: &str) -> Response {
        let (code, kind_status) = self.code(kind);
        let status = status.unwrap_or(kind_status);
        // Below the handlers the ops family repeats the HTTP status as its code.
        let code = if self == Self::Ops && status.is_client_error() { status.as_u16() } else { code };
        let body = match self {
            Self::Ops => json!({ "code": code, "info": why }),
            Self::Config => json!({ "code": code, "msg": why }),
            Self::Cdn => json!({ "err": code, "msg": why }),
            Self::Apollo => json!({ "status": status.as_u16(), "message": why }),
        };
        (status, Json(body)).into_response()
    }
}

/// Why a request got no answer of its own kind.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The domain said no.
    Domain(Arc<Error>),
    /// The request never reached a use case: its own HTTP status, and what to say.
    Transport(StatusCode, &'static str),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Domain(Arc::new(error.into()))
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
            Self::Domain(error) => error,
        };
        match &**error {
            Error::Storage(_) | Error::Internal(_) => {
                tracing::error!(request_id, error = chain(error), "a request failed");
                family.failure(ErrorKind::Internal, None, &format!("internal error, request {request_id}"))
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

fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// An error with everything it wraps, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What a handler answers.
pub(crate) type Reply<T> = Result<Json<T>, Failure>;

/// The one code of a success, so that a client can tell it from a failure.
fn only<const CODE: u16>() -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([CODE])).examples([CODE]).build()
}

/// The ops family's success.
#[derive(Serialize, ToSchema)]
pub(crate) struct Info<T> {
    /// 200.
    #[schema(schema_with = only::<200>)]
    code: u16,
    /// The answer.
    info: T,
}

/// A success of the ops family.
#[expect(clippy::unnecessary_wraps, reason = "handlers end in it")]
pub(crate) fn info<T>(info: T) -> Reply<Info<T>> {
    Ok(Json(Info { code: 200, info }))
}

/// The config family's success.
#[derive(Serialize, ToSchema)]
pub(crate) struct Data<T> {
    /// 0.
    #[schema(schema_with = only::<0>)]
    code: u16,
    /// `success`.
    #[schema(example = "success")]
    msg: &'static str,
    /// The answer.
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
    /// 0.
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
