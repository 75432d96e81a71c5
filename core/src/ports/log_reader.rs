//! Log reader port: parses the logs that edges ship, and keeps those that vendors have.

use std::fmt::Debug;

use async_trait::async_trait;

use super::LogContent;
use crate::Result;
use crate::cdn::{Batch, LogHosts};

/// Reads the logs that edges ship and that vendors have.
#[async_trait]
pub trait LogReader: Debug + Send + Sync + 'static {
    /// Fills a batch without figures, which names the edge, with what whole lines of its log say. `cdn` is the name of its
    /// cdn, `hosts` are those of that. Lines to be kept are in the archive, durable, on return. Where a line is older than the
    /// former owners that `hosts` has, the batch only gets the time of its first line, and is asked for again.
    async fn read(&self, cdn: &str, batch: Batch, hosts: &LogHosts, lines: Vec<u8>) -> Result<Batch>;

    /// Keeps the lines of a gzip file as they are, and answers with their pieces in order, which are in the archive, durable, on
    /// return. Unavailable where the content breaks off or is no gzip file, and then what was written is of no piece.
    async fn keep(&self, content: LogContent) -> Result<Vec<KeptPiece>>;
}

/// Lines that are a pack of the archive by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPiece {
    /// Name of the pack.
    pub pack: String,
    /// Compressed size in bytes.
    pub length: i64,
    /// Number of lines.
    pub lines: i64,
    /// Bytes before compression.
    pub raw_length: i64,
}
