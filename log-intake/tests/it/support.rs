//! Gzip, the stream that a server has taken, and numbers that the environment sets.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

pub(crate) fn unpacked(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !gzip.is_empty() {
        MultiGzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
    }
    bytes
}

/// Number that the environment sets.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Takes a piece as a server does, but compares every byte that was taken before.
pub(crate) fn take(stream: &mut Vec<u8>, offset: u64, piece: &[u8]) -> Result<u64, String> {
    let offset = usize::try_from(offset).unwrap();
    if piece.is_empty() {
        return Ok(stream.len() as u64);
    }
    let Some(known) = stream.get(offset..) else {
        return Err(format!("offset: {} is wanted next, not {offset}", stream.len()));
    };
    let again = known.len().min(piece.len());
    if known[..again] != piece[..again] {
        return Err(format!("offset: the bytes before {} are not those that were taken", stream.len()));
    }
    let end = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    stream.extend(piece.get(again..end).unwrap_or_default());
    Ok(stream.len() as u64)
}
