//! `/level3/log/{file}`: a day's access log, by a signed link.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pilothouse_core::Error;
use pilothouse_core::cdn::LogLink;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::args::{Args, Segment};
use crate::caller::{Bearer, PeerAddress};
use crate::envelope::Failure;
use crate::state::ApiState;

/// Expiry and signature of a log link.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Signature {
    /// Until when, unix seconds.
    #[param(pattern = "^[0-9]{1,19}$", example = "1475136000")]
    expires: Option<String>,
    /// The signature over file, time and account.
    #[param(max_length = 128, example = "0358c3c78f5211e685855cf9389306a2")]
    sig: Option<String>,
}

/// Downloads a log. The link comes from `logdownload`; one that was changed, has expired or is not signed is refused with
/// HTTP 403, unless a bearer token of the customer that holds the domain comes with it.
///
/// Of a day that is over, and was put into one file, `Repr-Digest` (RFC 9530) tells the SHA-256 of it.
#[utoipa::path(
    get,
    path = "/level3/log/{file}",
    tag = "cdn",
    params(("file" = String, Path, max_length = 271, description = "`<YYYY-MM-DD>-<domain>.log.gz`.", example = "2016-09-29-cdn.exrqs.com.log.gz"), Signature),
    security((), ("bearer" = [])),
    extensions(("x-permission" = json!("none"))),
    responses(
        (status = 200, description = "The log, gzip.", content_type = "application/gzip", body = Vec<u8>),
        (status = 403, description = "The link is not good."),
    ),
)]
pub(super) async fn get_log(
    State(api): State<ApiState>,
    PeerAddress(address): PeerAddress,
    Bearer(bearer): Bearer,
    Segment(file): Segment,
    Args(Signature { expires, sig }): Args<Signature>,
) -> Result<Response, Failure> {
    let link = LogLink { file, expires: expires.unwrap_or_default(), sig: sig.unwrap_or_default() };
    let logs = api.pilothouse.log_downloads();
    let log = match (logs.open_log(&link).await, bearer) {
        (Err(Error::Forbidden), Some(token)) => match api.authenticator.authenticate(&token, address).await {
            Ok(caller) => logs.open_own_log(&caller, &link.file).await,
            Err(error) => Err(error),
        },
        (log, _) => log,
    };
    let log = log.map_err(|error| match error {
        // Whatever is wrong with the token, the link itself is refused.
        Error::Forbidden | Error::Unauthenticated => {
            Failure::Transport(StatusCode::FORBIDDEN, "the link is not good, or no longer")
        }
        error => error.into(),
    })?;
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (header::CONTENT_LENGTH, log.size.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", log.name)),
    ];
    let mut response = (headers, Body::from_stream(log.content)).into_response();
    if let Some(digest) = log.sha256
        && let Ok(digest) = HeaderValue::try_from(format!("sha-256=:{}:", STANDARD.encode(digest)))
    {
        response.headers_mut().insert("repr-digest", digest);
    }
    Ok(response)
}
