//! Authentication: the bearer token, checked afresh on every request.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use pilothouse_core::Error;
use pilothouse_core::account::Caller;

use crate::envelope::Failure;
use crate::family::Family;
use crate::middleware::ClientAddress;
use crate::state::ApiState;

/// The authenticated caller. A token that opens only some families is refused by the others.
pub(crate) struct Auth(pub(crate) Caller);

impl FromRequestParts<ApiState> for Auth {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Failure> {
        let token = bearer(parts).ok_or(Error::Unauthenticated)?;
        let caller = api.authenticator.authenticate(token, address(parts)).await?;
        if parts.extensions.get::<Family>() == Some(&Family::Cdn) {
            api.pilothouse.require_cdn_scope(&caller)?;
        } else {
            api.pilothouse.require_account_scope(&caller)?;
        }
        Ok(Self(caller))
    }
}

/// Client address, for operations without a caller.
pub(crate) struct PeerAddress(pub(crate) Option<std::net::IpAddr>);

impl FromRequestParts<ApiState> for PeerAddress {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _api: &ApiState) -> Result<Self, Failure> {
        Ok(Self(address(parts)))
    }
}

/// The bearer token of a request, if it has one, for operations whose argument it may be.
pub(crate) struct Bearer(pub(crate) Option<String>);

impl FromRequestParts<ApiState> for Bearer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _api: &ApiState) -> Result<Self, Failure> {
        Ok(Self(bearer(parts).map(str::to_owned)))
    }
}

/// The bearer token of a request, if it has one.
pub(crate) fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(crate) fn address(parts: &Parts) -> Option<std::net::IpAddr> {
    parts.extensions.get::<ClientAddress>().and_then(|address| address.0)
}
