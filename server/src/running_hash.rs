//! Running hashes of blobs that are being appended to, so that a long one is not read again at its end.

use std::collections::BTreeMap;

use pilothouse_core::ops::Sha256Digest;
use sha2::{Digest, Sha256};

/// The most blobs whose hashes are kept. Of another one all bytes are read again at its end.
const MOST: usize = 100;

/// Hashes of the first bytes of begun blobs that this process has appended from their beginning.
#[derive(Debug, Default)]
pub(crate) struct RunningHashes(BTreeMap<Sha256Digest, RunningHash>);

#[derive(Debug)]
struct RunningHash {
    offset: i64,
    hash: Sha256,
}

impl RunningHashes {
    /// Takes out the hash of what is before `offset`; `None` where this process does not know it.
    pub(crate) fn take(&mut self, sha256: Sha256Digest, offset: i64) -> Option<Sha256> {
        let begun = self.0.remove(&sha256).filter(|begun| begun.offset == offset);
        begun.map(|begun| begun.hash).or_else(|| (offset == 0).then(Sha256::new))
    }

    /// Keeps the hash of what is before `offset`.
    pub(crate) fn keep(&mut self, sha256: Sha256Digest, offset: i64, hash: Sha256) {
        if self.0.len() < MOST {
            self.0.insert(sha256, RunningHash { offset, hash });
        }
    }
}
