//! The header `Idempotency-Key`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pilothouse_core::Error;
use utoipa::IntoParams;

use crate::envelope::Failure;
use crate::state::ApiState;

/// The key of a request, where it has one.
pub(crate) struct Idempotency(pub(crate) Option<String>);

/// The header of a request that may be sent again.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the shape of the header, for the document")]
pub(crate) struct IdempotencyHeader {
    /// Of `add`: the same request with the same key within a day adds nothing, and is answered as the first was. Another
    /// request with that key is refused.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 128, example = "4f0c9a54-8d7e")]
    idempotency_key: Option<String>,
}

impl FromRequestParts<ApiState> for Idempotency {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Failure> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let text = value.to_str().map_err(|_| Error::invalid("Idempotency-Key", "must be visible ASCII"))?;
        Ok(Self(Some(text.to_owned())))
    }
}
