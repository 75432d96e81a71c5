//! Extractors of forms and queries. What does not read is refused by name, as [`Failure::Unreadable`].

use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// A form that was sent; at most 2 MiB.
pub(crate) struct Form<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match axum::Form::from_request(request, state).await {
            Ok(axum::Form(form)) => Ok(Self(form)),
            Err(rejection) => Err(Failure::Unreadable(rejection.body_text())),
        }
    }
}

/// A form that may hold files: its fields, a file as its bytes. Sent as `multipart/form-data`, or like any other form.
pub(crate) struct Upload(pub(crate) Vec<(String, Vec<u8>)>);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let kind = request.headers().get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        if !kind.starts_with(b"multipart/form-data") {
            let Form(fields) = Form::<Vec<(String, String)>>::from_request(request, state).await?;
            return Ok(Self(fields.into_iter().map(|(name, value)| (name, value.into_bytes())).collect()));
        }
        let unreadable = |error: MultipartError| Failure::Unreadable(error.body_text());
        let mut multipart = Multipart::from_request(request, state)
            .await
            .map_err(|rejection| Failure::Unreadable(rejection.body_text()))?;
        let mut fields = Vec::new();
        while let Some(field) = multipart.next_field().await.map_err(unreadable)? {
            let name = field.name().unwrap_or_default().to_owned();
            let bytes = field.bytes().await.map_err(unreadable)?;
            fields.push((name, bytes.to_vec()));
        }
        Ok(Self(fields))
    }
}

/// The query of a URL.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Failure::Unreadable(rejection.body_text())),
        }
    }
}

/// Parts of a path between its slashes.
pub(crate) struct Segments<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(path)| Self(path)).map_err(|_| Failure::NoPage)
    }
}

/// A field that was filled in.
pub(crate) fn filled(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Characters that are escaped in a part of a URL.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Text as one part of a URL: a value of its query, or what is between two slashes.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}
