//! Failures of pages, which the guard shows in the language and frame of whoever asked.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pilothouse_core::{Error, ErrorKind};

/// Answer of a handler.
pub(crate) type Answer = Result<Response, Failure>;

/// Failure of a handler.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// A use case refused or failed.
    Domain(Arc<Error>),
    /// A form or query that does not read, in words for who wrote it.
    Unreadable(String),
    /// No such page.
    NoPage,
    /// Not a form of this host's own pages.
    Foreign,
    /// Took longer than the time limit.
    TimedOut,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Domain(Arc::new(error))
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Error::Internal(format!("a template: {error}")).into()
    }
}

impl Failure {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::NoPage => StatusCode::NOT_FOUND,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Domain(error) => status_of(error.kind()),
        }
    }
}

/// HTTP status of a kind of error.
pub(crate) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Busy | ErrorKind::OutcomeUnknown | ErrorKind::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Whether whoever sent a form can correct it and send it again: such a form is shown again with what was typed.
pub(crate) fn is_correctable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::AlreadyExists | ErrorKind::Conflict)
}
