//! `/openapi.json`, and `/docs`: the document for machines and for people.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pilothouse_core::Error;
use serde_json::json;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, serve};

use crate::envelope::Failure;
use crate::guard::no_such_path;

/// The browser itself sees to it that the pages load nothing from other hosts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the document. All references among its pages are relative, so they hold wherever a host nests them.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    let text: Arc<str> = json!(document).to_string().into();
    let json = move || async move { ([(header::CONTENT_TYPE, "application/json")], text.to_string()) };
    // Swagger UI would otherwise ask a public validator about the document.
    let config = Arc::new(Config::from("../openapi.json").validator_url("none"));
    let index = config.clone();
    Router::new()
        .route("/openapi.json", get(json))
        .route("/docs", get(async || (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")])))
        .route("/docs/", get(async move || page("", index).await))
        .route("/docs/{*page}", get(async move |Path(name): Path<String>| page(&name, config).await))
}

async fn page(name: &str, config: Arc<Config<'static>>) -> Result<Response, Failure> {
    let file = serve(name, config).map_err(|error| Error::Internal(format!("a page of /docs: {error}")))?;
    let Some(file) = file else { return Err(no_such_path().await) };
    let headers = [
        (header::CONTENT_TYPE, file.content_type.as_str()),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, file.bytes.into_owned()).into_response())
}
