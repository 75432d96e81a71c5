//! Scripts and styles, served under their SHA-256 and for good: a new version has a new URL.

use std::io::Write;
use std::sync::LazyLock;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::failure::{Answer, Failure};
use crate::form::Segments;

/// A file that pages refer to.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// SHA-256 in hexadecimal digits.
    digest: String,
    gzip: Vec<u8>,
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

static ASSETS: LazyLock<[Asset; 7]> = LazyLock::new(|| {
    [
        Asset::new("app.css", CSS, include_bytes!("../assets/app.css")),
        Asset::new("app.js", JAVASCRIPT, include_bytes!("../assets/app.js")),
        Asset::new("htmx.min.js", JAVASCRIPT, include_bytes!("../vendor/htmx.min.js")),
        Asset::new("hx-sse.min.js", JAVASCRIPT, include_bytes!("../vendor/hx-sse.min.js")),
        Asset::new("editor.min.js", JAVASCRIPT, include_bytes!("../vendor/editor.min.js")),
        Asset::new("uPlot.iife.min.js", JAVASCRIPT, include_bytes!("../vendor/uPlot.iife.min.js")),
        Asset::new("uPlot.min.css", CSS, include_bytes!("../vendor/uPlot.min.css")),
    ]
});

impl Asset {
    fn new(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let digest = hex::encode(Sha256::digest(bytes));
        Self { name, content_type, bytes, digest, gzip: gzip(bytes, SMALL) }
    }
}

/// Level of compression of what is compressed once.
const SMALL: u32 = 6;
/// Level of compression of a page, which somebody waits for.
pub(crate) const FAST: u32 = 1;

/// Bytes compressed, or nothing where that fails, which writing into memory does not.
pub(crate) fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    let written = encoder.write_all(bytes);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Whether a browser takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| coding.trim() == "gzip")
}

/// Path of an asset below the console's prefix; empty of one that there is not.
pub(crate) fn path(name: &str) -> String {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    found.map_or_else(String::new, |asset| format!("/assets/{}/{}", asset.digest, asset.name))
}

/// Serves an asset. Under another digest it does not exist, so that nothing else is kept for good.
pub(crate) async fn get(Segments((digest, name)): Segments<(String, String)>, headers: HeaderMap) -> Answer {
    let found = ASSETS.iter().find(|asset| asset.name == name && asset.digest == digest);
    let asset = found.ok_or(Failure::NoPage)?;
    let kept = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    let response: Response = if takes_gzip(&headers) {
        (kept, [(header::CONTENT_ENCODING, "gzip")], &*asset.gzip).into_response()
    } else {
        (kept, asset.bytes).into_response()
    };
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_load_is_small() {
        let loaded = ["app.css", "app.js", "htmx.min.js", "hx-sse.min.js"];
        let sizes = ASSETS.iter().filter(|asset| loaded.contains(&asset.name)).map(|asset| asset.gzip.len());
        let sizes: Vec<_> = sizes.collect();
        assert_eq!(sizes.len(), loaded.len());
        assert!(sizes.iter().all(|size| *size > 0) && sizes.iter().sum::<usize>() < 40_000, "{sizes:?}");
    }

    #[test]
    fn the_editor_is_bounded() {
        let editor = ASSETS.iter().find(|asset| asset.name == "editor.min.js").unwrap();
        assert!((1..220_000).contains(&editor.gzip.len()), "{}", editor.gzip.len());
    }

    #[test]
    fn an_asset_has_its_own_url() {
        assert!(path("app.js").ends_with("/app.js"));
        assert_eq!(path("app.js").len(), "/assets//app.js".len() + 64);
        assert_eq!(path("nothing.js"), "");
    }
}
