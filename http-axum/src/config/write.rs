//! Writes of the config family: permitted methods, and the answer without content.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use pilothouse_core::account::Caller;
use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::caller::Auth;
use crate::envelope::{Data, Failure, Reply, data};
use crate::middleware::Writes;
use crate::state::ApiState;

/// The authenticated caller of a write. By GET, as the document shows it, only where the operator admits that, and never
/// by HEAD.
pub(super) struct Writer(pub(super) Caller);

impl FromRequestParts<ApiState> for Writer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Failure> {
        let admitted = match parts.method {
            Method::POST => true,
            Method::GET => api.settings.config_get_writes,
            _ => false,
        };
        if !admitted {
            return Err(Failure::Transport(StatusCode::METHOD_NOT_ALLOWED, "this write must be a POST"));
        }
        Writes::from_request_parts(parts, api).await?;
        Auth::from_request_parts(parts, api).await.map(|Auth(caller)| Self(caller))
    }
}

/// Nothing to say: `null`.
#[derive(Serialize)]
pub(super) struct Null;

impl PartialSchema for Null {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Null).into()
    }
}

impl ToSchema for Null {}

/// A success with nothing to say.
pub(super) fn done() -> Reply<Data<Null>> {
    data(Null)
}
