//! `/openapi.json`, and `/docs` with the feature `docs-ui`: the document for machines and for people.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use utoipa::openapi::OpenApi;

use crate::envelope::Failure;
use crate::middleware::no_such_path;
use crate::state::HttpSettings;

/// Serves the document. All references among its pages are relative, so they hold wherever a host nests them.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(
    document: &OpenApi,
    settings: &HttpSettings,
) -> Router<S> {
    let text: Arc<str> = json!(document).to_string().into();
    let json = move || async move { ([(header::CONTENT_TYPE, "application/json")], text.to_string()) };
    let router = Router::new().route("/openapi.json", get(json));
    #[cfg(feature = "docs-ui")]
    let router = router.merge(pages::routes());
    let docs = cfg!(feature = "docs-ui").then_some("/docs/");
    let Some(front) = settings.front.as_deref().or(docs) else { return router };
    let location = format!("{}{front}", settings.prefix);
    router.route("/", get(async move |headers: HeaderMap| lead(&headers, location).await))
}

/// Leads a person to the front page; of a program it is no path.
async fn lead(headers: &HeaderMap, location: String) -> Result<Response, Failure> {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accepts.contains("text/html") {
        return Err(no_such_path().await);
    }
    Ok((StatusCode::FOUND, [(header::LOCATION, location), (header::VARY, "accept".to_owned())])
        .into_response())
}

#[cfg(feature = "docs-ui")]
mod pages {
    use std::sync::Arc;

    use axum::Router;
    use axum::http::{StatusCode, header};
    use axum::response::{IntoResponse, Response};
    use axum::routing::get;
    use pilothouse_core::Error;
    use utoipa_swagger_ui::{Config, serve};

    use crate::args::Segment;
    use crate::envelope::Failure;
    use crate::middleware::no_such_path;

    /// The browser itself sees to it that the pages load nothing from other hosts.
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                          img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";

    pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
        // Swagger UI would otherwise ask a public validator about the document.
        let config = Arc::new(Config::from("../openapi.json").validator_url("none"));
        let index = config.clone();
        Router::new()
            .route("/docs", get(async || (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")])))
            .route("/docs/", get(async move || page("", index).await))
            .route("/docs/{*page}", get(async move |Segment(name): Segment| page(&name, config).await))
    }

    async fn page(name: &str, config: Arc<Config<'static>>) -> Result<Response, Failure> {
        let file =
            serve(name, config).map_err(|error| Error::Internal(format!("a page of /docs: {error}")))?;
        let Some(file) = file else { return Err(no_such_path().await) };
        let headers = [
            (header::CONTENT_TYPE, file.content_type.as_str()),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        // Compressed once, when this was built; every browser takes it so.
        let encoding = file.gzpipped.then_some([(header::CONTENT_ENCODING, "gzip")]);
        Ok((headers, encoding, file.bytes.into_owned()).into_response())
    }
}
