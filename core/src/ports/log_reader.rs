//! Log reader port: parses the logs that edges ship.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::Result;
use crate::cdn::{Batch, Domain};

/// Reads the logs that edges ship.
#[async_trait]
pub trait LogReader: Debug + Send + Sync + 'static {
    /// Fills a batch without figures, which names the edge, with what whole lines of its log say. `cdn` is the name of its
    /// cdn, `domains` are those that serves. Lines to be kept are in the archive, durable, on return.
    async fn read(&self, cdn: &str, batch: Batch, domains: &[Domain], lines: Vec<u8>) -> Result<Batch>;
}
