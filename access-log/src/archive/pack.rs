//! Packs: the compressed kept lines of one batch.

use chrono::NaiveDate;

use crate::DomainNumber;

/// Compressed kept lines of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// Name of 1 to 64 letters, digits, `-` and `_`; never used twice in a folder.
    pub name: String,
    /// Members by offset. A domain and day may occur twice: then the last is that of an open line.
    pub members: Vec<Member>,
    /// Gzip members, one after the other.
    pub data: Vec<u8>,
}

/// Kept lines of one domain and day in one pack: a gzip member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Domain that the lines are of.
    pub domain: DomainNumber,
    /// Day of the lines, in the zone of [`crate::Rules::timezone`].
    pub day: NaiveDate,
    /// Offset of the gzip member in the pack, in bytes.
    pub offset: u64,
    /// Length of the gzip member in bytes.
    pub length: u64,
    /// Number of log lines in the member.
    pub lines: u64,
    /// Bytes of the lines before compression.
    pub raw_length: u64,
    /// Whether it is one unterminated line, which is withdrawn if it grows.
    pub is_open: bool,
}

/// Reference to a member: no two have the same pack and offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberRef {
    /// Name of the pack, as in [`Pack::name`].
    pub pack: String,
    /// Offset in the pack, in bytes.
    pub offset: u64,
}
