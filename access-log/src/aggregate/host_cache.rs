//! Host look-up cache: the registered domain of recently seen hosts, as they are written in the log.

use crate::DomainIndex;

/// Number of entries, a power of two.
const ENTRIES: usize = 256;

/// Direct-mapped cache in front of a [`DomainIndex`]: a host has one entry, and the newest host there replaces the others.
#[derive(Debug)]
pub(super) struct HostCache(Box<[Entry]>);

#[derive(Debug, Clone, Default)]
struct Entry {
    host: Vec<u8>,
    slot: Option<usize>,
}

impl HostCache {
    pub(super) fn new() -> Self {
        Self(vec![Entry::default(); ENTRIES].into())
    }

    /// Slot of the domain that `host` belongs to, as [`DomainIndex::slot`] tells it.
    #[inline]
    pub(super) fn slot(&mut self, domains: &DomainIndex, host: &[u8]) -> Option<usize> {
        let entry = &mut self.0[entry_of(host)];
        if entry.host != host {
            entry.slot = domains.slot(host);
            entry.host.clear();
            entry.host.extend_from_slice(host);
        }
        entry.slot
    }
}

/// Hosts of one customer differ at the beginning, those of different customers at the end, so both choose the entry.
#[inline]
fn entry_of(host: &[u8]) -> usize {
    let mixed = match (host.first_chunk::<8>(), host.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(32),
        _ => host.iter().fold(host.len() as u64, |mixed, &byte| mixed << 8 ^ u64::from(byte)),
    };
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % ENTRIES
}
