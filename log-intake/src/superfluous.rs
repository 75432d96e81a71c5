//! Choice of the archive files that are superfluous: no row points at them.

use std::collections::HashSet;
use std::time::SystemTime;

use pilothouse_access_log::archive::{ArchiveFile, WrittenFile};
use pilothouse_core::cdn::LogFile;

use crate::convert::log_file;

/// Chooses of `files` those that are not among `keep` and were written before `before`. Where the store was restored, those
/// written between the newest of `keep` and that moment are spared: the rows that point at them were lost.
pub(crate) fn superfluous(
    files: Vec<WrittenFile>,
    keep: &HashSet<LogFile>,
    before: SystemTime,
    restored: Option<SystemTime>,
) -> Vec<ArchiveFile> {
    let is_kept = |file: &WrittenFile| keep.contains(&log_file(&file.file));
    let known = files.iter().filter(|file| restored.is_some_and(|restored| file.written < restored));
    let newest = known.filter(|file| is_kept(file)).map(|file| file.written).max();
    let may_go = |file: &WrittenFile| {
        let is_spared = restored.is_some_and(|restored| {
            file.written <= restored && newest.is_none_or(|newest| file.written > newest)
        });
        file.written < before && !is_kept(file) && !is_spared
    };
    files.into_iter().filter(may_go).map(|file| file.file).collect()
}
