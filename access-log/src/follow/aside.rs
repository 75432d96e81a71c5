//! The files that a log was put aside as.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

/// The files beside `path` that have its name and a number or date more, as `log.1`, `log.2.gz`, `log-20261121.gz` or
/// `access-20261121.log`; the one written last comes first. Of a file and its gzip only the file.
pub(super) fn newest_first(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found: Vec<(SystemTime, String)> = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(other) = entry.file_name().into_string() else { continue };
        // A file that is gone meanwhile is no longer there to be read.
        if is_aside(name, &other)
            && let Ok(file) = entry.metadata()
            && file.is_file()
        {
            found.push((file.modified()?, other));
        }
    }
    let packed: Vec<_> = found.iter().map(|(_, name)| format!("{name}.gz")).collect();
    found.retain(|(_, name)| !packed.contains(name));
    found.sort_by(|(a_time, a), (b_time, b)| b_time.cmp(a_time).then_with(|| a.cmp(b)));
    Ok(found.into_iter().map(|(_, name)| folder.join(name)).collect())
}

/// Whether `other` is what `name` is called when it is put aside.
fn is_aside(name: &str, other: &str) -> bool {
    let other = other.strip_suffix(".gz").unwrap_or(other);
    let is_mark = |mark: &str| {
        mark.starts_with(['.', '-', '_'])
            && mark.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_'))
            && mark.bytes().any(|byte| byte.is_ascii_digit())
    };
    let at_end = other.strip_prefix(name).is_some_and(is_mark);
    let before_ending = name.rsplit_once('.').is_some_and(|(stem, ending)| {
        let rest = other.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending)?.strip_suffix('.'));
        rest.is_some_and(is_mark)
    });
    at_end || before_ending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_put_aside() {
        for other in
            ["a.log.1", "a.log.2.gz", "a.log-20261121", "a.log-20261121.gz", "a-20261121.log", "a.1.log.gz"]
        {
            assert!(is_aside("a.log", other), "{other}");
        }
        for other in [
            "a.log",
            "a.log.gz",
            "b.log.1",
            "a.log.bak",
            "a.log1",
            "a.log.",
            "a-b.log",
            "a.tsv.1",
            "a.log.1x",
        ] {
            assert!(!is_aside("a.log", other), "{other}");
        }
    }

    #[test]
    fn the_newest_comes_first_and_a_file_before_its_gzip() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, seconds: u64| {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        for (name, seconds) in
            [("l.3.gz", 10), ("l.1", 30), ("l.1.gz", 40), ("l.2.gz", 20), ("l", 50), ("m.1", 60)]
        {
            at(name, seconds);
        }
        fs::create_dir(folder.path().join("l.9")).unwrap();
        let found = newest_first(&folder.path().join("l")).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["l.1", "l.2.gz", "l.3.gz"]);
        assert_eq!(newest_first(&folder.path().join("none/l")).unwrap(), Vec::<PathBuf>::new());
    }
}
