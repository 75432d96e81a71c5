//! Families of paths: the dialect that each speaks, and its codes of errors.

use axum::http::StatusCode;
use pilothouse_core::ErrorKind;

/// One of the dialects: three envelopes, and Apollo's, which has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `/api/*`, `/admin/*`, and paths of no family: `{"code":200,"ok":true,"info":…}`.
    Ops,
    /// `/app/*`, `/userauth/*`, `/config/*`, `/changeset/*`, `/node/*`, `/publish*`, `/audit/*`: `{"code":0,"msg":"success","data":…}`.
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
            Some("app" | "userauth" | "config" | "changeset" | "node" | "publish" | "audit") => Self::Config,
            Some("level3" | "useful") => Self::Cdn,
            Some("services" | "configs" | "configfiles" | "notifications") => Self::Apollo,
            _ => Self::Ops,
        }
    }

    /// The code of an error kind inside the envelope, and the HTTP status around it.
    pub(crate) fn code(self, kind: ErrorKind) -> (u16, StatusCode) {
        if self == Self::Apollo {
            let status = match kind {
                ErrorKind::Busy | ErrorKind::OutcomeUnknown | ErrorKind::Unavailable => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                ErrorKind::Invalid => StatusCode::BAD_REQUEST,
                ErrorKind::Unauthenticated | ErrorKind::Forbidden => StatusCode::UNAUTHORIZED,
                ErrorKind::NotFound => StatusCode::NOT_FOUND,
                ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
                ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
                // Internal, or a kind that core adds later and this family has no code for.
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            return (status.as_u16(), status);
        }
        if kind == ErrorKind::TooMany {
            return (if self == Self::Ops { 429 } else { 2 }, StatusCode::TOO_MANY_REQUESTS);
        }
        if self == Self::Ops {
            return match kind {
                ErrorKind::Busy | ErrorKind::OutcomeUnknown => (503, StatusCode::SERVICE_UNAVAILABLE),
                ErrorKind::Unavailable => (500, StatusCode::SERVICE_UNAVAILABLE),
                ErrorKind::Unauthenticated | ErrorKind::Forbidden => (403, StatusCode::FORBIDDEN),
                ErrorKind::NotFound => (404, StatusCode::OK),
                ErrorKind::AlreadyExists | ErrorKind::Conflict => (409, StatusCode::OK),
                ErrorKind::Invalid | ErrorKind::TooMany => (400, StatusCode::OK),
                _ => (500, StatusCode::INTERNAL_SERVER_ERROR),
            };
        }
        match kind {
            ErrorKind::Busy | ErrorKind::OutcomeUnknown => (1, StatusCode::SERVICE_UNAVAILABLE),
            ErrorKind::Unavailable => (1, StatusCode::OK),
            ErrorKind::Invalid | ErrorKind::TooMany => (2, StatusCode::OK),
            ErrorKind::Unauthenticated => (3, StatusCode::OK),
            ErrorKind::Forbidden => (4, StatusCode::OK),
            ErrorKind::AlreadyExists => (5, StatusCode::OK),
            ErrorKind::NotFound => (6, StatusCode::OK),
            ErrorKind::Conflict => (7, StatusCode::OK),
            _ => (1, StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}
