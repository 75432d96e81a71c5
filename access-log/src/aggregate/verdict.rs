//! Verdict on a line: billed, kept without being billed, or only counted.

use crate::DomainNumber;

/// Outcome of judging a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineVerdict {
    /// Only counted: host or time could not be read.
    Unreadable,
    /// Only counted: the host is not a registered domain.
    Unregistered,
    /// Kept, not billed: a purge request, which is an order to the cache rather than a visit.
    Purge(DomainNumber),
    /// Kept, not billed: request, status or bytes could not be read.
    Incomplete(DomainNumber),
    /// Kept and billed.
    Billed(DomainNumber),
}

impl LineVerdict {
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Self::Purge(_) | Self::Incomplete(_) | Self::Billed(_))
    }

    pub(crate) fn encode(self) -> [u8; 9] {
        let (kind, domain) = match self {
            Self::Unreadable => (0, DomainNumber(0)),
            Self::Unregistered => (1, DomainNumber(0)),
            Self::Purge(domain) => (2, domain),
            Self::Incomplete(domain) => (3, domain),
            Self::Billed(domain) => (4, domain),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&domain.0.to_le_bytes());
        bytes
    }

    pub(crate) fn decode([kind, domain @ ..]: [u8; 9]) -> Option<Self> {
        let domain = DomainNumber(i64::from_le_bytes(domain));
        Some(match kind {
            0 => Self::Unreadable,
            1 => Self::Unregistered,
            2 => Self::Purge(domain),
            3 => Self::Incomplete(domain),
            4 => Self::Billed(domain),
            _ => return None,
        })
    }
}
