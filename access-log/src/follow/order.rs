//! Order of rotated files by their lines, where the times at which the files were written do not tell it.
//!
//! Whoever packs a rotated file may leave it with the time of packing. So a packed file is no newer than its place among the
//! times of writing, but may be older, and its first lines say where it belongs. Files that are not packed keep their order.

use std::io;

use super::age;
use super::rotated::{Packing, RotatedFile};
use crate::Rules;
use crate::input::Input;

/// Begin of a rotated file by its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Unix seconds.
    At(i64),
    /// It has no line.
    Empty,
    /// None of its first lines can be read.
    Unknown,
}

/// Rotated file with its begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlacedFile<'l> {
    pub(super) file: &'l RotatedFile,
    pub(super) begin: Begin,
}

impl PlacedFile<'_> {
    /// Whether it can be told which of two files is the newer one.
    pub(super) fn is_comparable(&self, other: &Self) -> bool {
        let is_known = |placed: &Self| matches!(placed.begin, Begin::At(_));
        self.begin == Begin::Empty || other.begin == Begin::Empty || is_known(self) && is_known(other)
    }

    /// Whether it began after another; nothing where that cannot be told. Of files that began in one second the name decides.
    fn is_newer(&self, other: &Self) -> Option<bool> {
        match (self.begin, other.begin) {
            (Begin::At(one), Begin::At(another)) => Some((one, -self.file.age) > (another, -other.file.age)),
            _ => None,
        }
    }
}

/// Places packed files that are listed before newer ones behind these. `listed` is in the order of writing, the newest first;
/// nothing if files were rotated meanwhile.
pub(super) fn newest_first<'l>(listed: &'l [RotatedFile], rules: &Rules<'_>) -> Option<Vec<PlacedFile<'l>>> {
    // Files are opened only where a packed one is written after others.
    let is_sure = listed.iter().rev().skip(1).all(|file| file.packing != Packing::Gzip);
    let mut oldest_first: Vec<PlacedFile<'l>> = Vec::with_capacity(listed.len());
    for file in listed.iter().rev() {
        let begin = if is_sure { Begin::Unknown } else { begin(file, rules)? };
        let placed = PlacedFile { file, begin };
        let mut place = oldest_first.len();
        if file.packing == Packing::Gzip {
            for (index, other) in oldest_first.iter().enumerate().rev() {
                match other.is_newer(&placed) {
                    Some(true) => place = index,
                    Some(false) => break,
                    None => {}
                }
            }
        }
        oldest_first.insert(place, placed);
    }
    oldest_first.reverse();
    Some(oldest_first)
}

/// Begin of a file; nothing if its name is another's by now. Why one cannot be read is told where it is to be read whole.
fn begin(file: &RotatedFile, rules: &Rules<'_>) -> Option<Begin> {
    let read = |opened| -> io::Result<Begin> { age::begin(&mut Input::file(String::new(), opened)?, rules) };
    match file.open() {
        Ok(None) => None,
        Ok(Some(opened)) => Some(read(opened).unwrap_or(Begin::Unknown)),
        Err(_) => Some(Begin::Unknown),
    }
}
