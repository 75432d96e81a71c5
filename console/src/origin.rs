//! Refusal of forms that other sites send: a browser would add the session's cookie to them.

use axum::http::request::Parts;
use axum::http::{Method, Uri, header};

/// Whether a request may change something: it is safe, or its browser says that a page of this host sent it.
///
/// Browsers say so in `Sec-Fetch-Site`, or by plain http and where they are old in `Origin`, which a page cannot set. What sends
/// neither is no browser, and has the API.
pub(crate) fn is_own(parts: &Parts, public_url: Option<&str>) -> bool {
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    let text = |name| parts.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let Some(origin) = text(header::ORIGIN) else { return false };
    let is_public =
        public_url.is_some_and(|url| authority(url).is_some() && authority(url) == authority(origin));
    let host = text(header::HOST).map(str::to_ascii_lowercase);
    let host = parts.uri.authority().map(|host| host.as_str().to_ascii_lowercase()).or(host);
    is_public || (host.is_some() && authority(origin) == host)
}

/// Host and port of a URL, in lower case.
fn authority(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    url.scheme()?;
    url.authority().map(|authority| authority.as_str().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn is_accepted(method: Method, headers: &[(&str, &str)], public_url: Option<&str>) -> bool {
        let mut request = Request::builder().method(method).uri("/console/logout");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_own(&request.body(()).unwrap().into_parts().0, public_url)
    }

    #[test]
    fn only_pages_of_this_host_change_something() {
        let post = |headers: &[(&str, &str)]| is_accepted(Method::POST, headers, Some("https://a.example/x"));
        assert!(is_accepted(Method::GET, &[("sec-fetch-site", "cross-site")], None));
        assert!(post(&[("sec-fetch-site", "same-origin")]));
        for site in ["cross-site", "same-site", "none", "\u{fc}"] {
            let headers = [("sec-fetch-site", site), ("origin", "http://b.example"), ("host", "b.example")];
            assert!(!post(&headers), "{site}");
        }
        assert!(post(&[("origin", "http://b.example:81"), ("host", "B.example:81")]));
        assert!(post(&[("origin", "https://a.example"), ("host", "inside:8080")]));
        assert!(!post(&[("origin", "http://b.example"), ("host", "b.example:81")]));
        for origin in ["null", "", "https://a.example.evil", "b.example"] {
            assert!(!post(&[("origin", origin), ("host", "b.example")]), "{origin}");
        }
        assert!(!post(&[("host", "b.example")]), "no browser");
    }
}
