//! Gzip of answers, for clients that ask for it.

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Bytes of the smallest answer that is packed; a smaller one is one packet either way.
const SMALLEST: u16 = 1024;

/// Packs answers of 1 KiB and more. Left as they are: streams of events, which wait for nothing, what is packed already, and
/// blobs.
pub(crate) fn layer() -> CompressionLayer<impl Predicate> {
    let predicate = SizeAbove::new(SMALLEST)
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::const_new("application/gzip"))
        .and(NotForContentType::const_new("application/zip"))
        .and(NotForContentType::const_new("application/octet-stream"));
    // The fastest level packs text to a few per cent more than the default one, in a third of the time.
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(predicate)
}
