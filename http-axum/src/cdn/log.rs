//! `/level3/log/{file}`: a day's access log, by a signed link.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pilothouse_core::Error;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::args::Args;
use crate::envelope::Failure;
use crate::state::ApiState;

/// What makes a link good.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Signature {
    /// Until when, unix seconds.
    #[serde(default)]
    #[param(pattern = "^[0-9]{1,19}$", example = "1475136000")]
    expires: String,
    /// The signature over file, time and account.
    #[serde(default)]
    #[param(max_length = 128, example = "0358c3c78f5211e685855cf9389306a2")]
    sig: String,
}

/// Downloads a log. The link comes from `logdownload`; one that was changed, has expired or is not signed is refused with
/// HTTP 403.
///
/// Of a day that is over, and was put into one file, `Repr-Digest` (RFC 9530) tells the SHA-256 of it.
#[utoipa::path(
    get,
    path = "/level3/log/{file}",
    tag = "cdn",
    params(("file" = String, Path, max_length = 271, description = "`<YYYY-MM-DD>-<domain>.log.gz`.", example = "2016-09-29-cdn.exrqs.com.log.gz"), Signature),
    extensions(("x-permission" = json!("none"))),
    responses(
        (status = 200, description = "The log, gzip.", content_type = "application/gzip", body = Vec<u8>),
        (status = 403, description = "The link is not good."),
    ),
)]
pub(super) async fn get_log(
    State(api): State<ApiState>,
    Path(file): Path<String>,
    Args(Signature { expires, sig }): Args<Signature>,
) -> Result<Response, Failure> {
    let log =
        api.pilothouse.traffic().open_log(&file, &expires, &sig).await.map_err(|error| match error {
            // There is no caller whom another right would help: the link itself is refused.
            Error::Forbidden => {
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
