//! Helpers of the tests of archives.

use std::io::{self, Write};

use chrono::NaiveDate;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt;
use pilothouse_access_log::archive::Pack;
use pilothouse_core::cdn::{DomainId, LogChunk, LogChunkId, LogFile};
use pilothouse_core::ports::LogArchive;

/// Chunk of one line on a day in 2016.
pub(crate) fn chunk(file: LogFile, offset: i64, length: i64) -> LogChunk {
    let day = NaiveDate::from_ymd_opt(2016, 9, 29).unwrap();
    LogChunk {
        id: LogChunkId(1),
        domain_id: DomainId(1),
        day,
        kept_from: day,
        file,
        offset,
        length,
        lines: 1,
        raw_length: length,
        place: 0,
        is_open: false,
        sha256: None,
    }
}

/// Pack of this name and content.
pub(crate) fn pack(name: &str, data: Vec<u8>) -> Pack {
    Pack { name: name.to_owned(), members: Vec::new(), data }
}

pub(crate) fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Text of chunks.
pub(crate) async fn read(archive: &dyn LogArchive, chunks: &[LogChunk]) -> io::Result<String> {
    let parts: Vec<Vec<u8>> = archive.read(chunks.to_vec()).await?.try_collect().await?;
    Ok(io::read_to_string(MultiGzDecoder::new(&*parts.concat())).unwrap())
}
