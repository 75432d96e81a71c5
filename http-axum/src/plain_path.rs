//! Paths spelt plainly: without doubled slashes and without one at the end, which mean nothing here. Apollo's stay as they
//! are, for its clients sign them.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use crate::family::Family;

/// Target of a request as the routers got it, before its path was spelt plainly.
#[derive(Clone)]
pub(crate) struct SpeltUri(pub(crate) Uri);

/// The request with its path spelt plainly.
pub(crate) fn plain_path(mut request: Request) -> Request {
    if let Some(uri) = plain(request.uri()) {
        let spelt = std::mem::replace(request.uri_mut(), uri);
        request.extensions_mut().insert(SpeltUri(spelt));
    }
    request
}

/// The same URI with another path; `None` where it stays.
fn plain(uri: &Uri) -> Option<Uri> {
    let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let path = format!("/{}", segments.join("/"));
    if path == uri.path() || Family::of(&path) == Family::Apollo {
        return None;
    }
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_beyond_one_mean_nothing() {
        for (spelt, path) in [
            ("/api/task/", Some("/api/task")),
            ("//api///task?a=//b/", Some("/api/task?a=//b/")),
            ("http://host//api/task", Some("http://host/api/task")),
            ("//", Some("/")),
            ("/api/task", None),
            ("/configfiles/json/app1/dev/", None),
            ("/", None),
            ("/api/%2f/x", None),
        ] {
            let uri = plain(&spelt.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(uri.as_deref(), path, "{spelt}");
        }
    }
}
