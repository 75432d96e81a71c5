//! Rotated files: finds the files that a log was renamed or copied to.

mod name;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::tailed_file::FileStamp;
pub(super) use name::Packing;
use name::RotatedName;

/// File that is named like a rotated log.
#[derive(Debug, Clone)]
pub(super) struct RotatedFile {
    pub(super) path: PathBuf,
    pub(super) stamp: FileStamp,
    pub(super) packing: Packing,
    /// Order among files of one time, by their names: less is newer.
    pub(super) age: i64,
}

impl RotatedFile {
    /// Opens the file; nothing if its name is another's by now, or nobody's.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let is_same = FileStamp::of(&file.metadata()?).is_same_file(self.stamp);
        Ok(is_same.then_some(file))
    }
}

/// Places and names of the rotated files of a log.
#[derive(Debug, Clone)]
pub(super) struct RotatedFiles {
    path: PathBuf,
    /// Folder that rotation moves files to, beside that of the log.
    folder: Option<PathBuf>,
    /// Logs of other edges.
    neighbours: Vec<PathBuf>,
}

impl RotatedFiles {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, folder: None, neighbours: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn set_folder(&mut self, folder: PathBuf) {
        self.folder = Some(folder);
    }

    pub(super) fn set_neighbours(&mut self, logs: impl IntoIterator<Item = PathBuf>) {
        self.neighbours = logs.into_iter().filter(|log| *log != self.path).collect();
    }

    /// Rotated files, the one written last first. Of a file and its compressed copy only the file is listed.
    ///
    /// They have the log's name and a number or time more, such as `log.1`, `log.2.gz`, `log-20261121.gz` or
    /// `access-20261121.log`, and lie beside the log, beside the file that it is a symbolic link to, or in the folder set for
    /// them. The log itself and the logs of other edges are none.
    pub(super) fn newest_first(&self) -> io::Result<Vec<RotatedFile>> {
        let target = fs::canonicalize(&self.path).ok();
        let places: Vec<&Path> = [Some(&*self.path), target.as_deref()].into_iter().flatten().collect();
        let names: Vec<&str> = places.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        let mut folders: Vec<PathBuf> = places.iter().map(|path| folder_of(path).to_owned()).collect();
        folders.extend(self.folder.clone());
        let others: HashSet<_> =
            self.neighbours.iter().chain([&self.path]).filter_map(|path| file_id(path)).collect();
        let mut seen = HashSet::new();
        let mut found: Vec<RotatedFile> = Vec::new();
        for folder in folders {
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let Ok(file_name) = entry?.file_name().into_string() else { continue };
                let Some(name) = names.iter().find_map(|log| RotatedName::parse(log, &file_name)) else {
                    continue;
                };
                let path = folder.join(&file_name);
                // A file that was deleted since the folder was listed is left out.
                let Ok(Some(stamp)) = FileStamp::of_path(&path) else { continue };
                let is_ours =
                    !others.contains(&stamp.file) && !self.is_of_neighbour(&folder, &names, &file_name);
                if is_ours && fs::metadata(&path).is_ok_and(|file| file.is_file()) && seen.insert(stamp.file)
                {
                    let RotatedName { packing, age } = name;
                    found.push(RotatedFile { path, stamp, packing, age });
                }
            }
        }
        let plain: HashSet<PathBuf> =
            found.iter().filter(|file| file.packing == Packing::None).map(|file| file.path.clone()).collect();
        found.retain(|file| file.packing == Packing::None || !plain.contains(&file.path.with_extension("")));
        found.sort_by(|a, b| b.stamp.modified.cmp(&a.stamp.modified).then_with(|| a.age.cmp(&b.age)));
        Ok(found)
    }

    /// Whether the name is rather that of a neighbour's rotated file: the longer name of a log fits better.
    fn is_of_neighbour(&self, folder: &Path, names: &[&str], file_name: &str) -> bool {
        self.neighbours.iter().filter(|log| folder_of(log) == folder).any(|log| {
            let Some(log) = log.file_name().and_then(|name| name.to_str()) else { return false };
            file_name == log
                || RotatedName::parse(log, file_name).is_some()
                    && names.iter().all(|name| log.len() > name.len())
        })
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn file_id(path: &Path) -> Option<(u64, u64)> {
    FileStamp::of_path(path).ok()?.map(|stamp| stamp.file)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn write(path: &Path, seconds: u64) {
        let file = fs::File::create(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[track_caller]
    fn assert_found(files: &RotatedFiles, expected: &[&str]) {
        let found = files.newest_first().unwrap();
        let names: Vec<_> =
            found.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn the_newest_comes_first_and_a_file_before_its_gzip() {
        let folder = tempfile::tempdir().unwrap();
        for (name, seconds) in [
            ("l.3.gz", 10),
            ("l.1", 30),
            ("l.1.gz", 40),
            ("l.2.gz", 20),
            ("l.4.xz", 5),
            ("l", 50),
            ("m.1", 60),
        ] {
            write(&folder.path().join(name), seconds);
        }
        fs::create_dir(folder.path().join("l.9")).unwrap();
        assert_found(&RotatedFiles::new(folder.path().join("l")), &["l.1", "l.2.gz", "l.3.gz", "l.4.xz"]);
        assert_found(&RotatedFiles::new(folder.path().join("none/l")), &[]);
    }

    #[test]
    fn of_files_written_at_once_the_lower_number_and_the_later_date_come_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["l.2", "l.10", "l.1", "l.gz"] {
            write(&folder.path().join(name), 10);
        }
        assert_found(&RotatedFiles::new(folder.path().join("l")), &["l.gz", "l.1", "l.2", "l.10"]);
        for name in ["a-20261121.log", "a-20261122.log"] {
            write(&folder.path().join(name), 10);
        }
        assert_found(&RotatedFiles::new(folder.path().join("a.log")), &["a-20261122.log", "a-20261121.log"]);
    }

    #[test]
    fn links_lead_to_another_folder_and_a_setting_to_a_third() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["link", "data", "old"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let path = folder.path().join("link/edge.log");
        for (name, seconds) in [
            ("data/today-20261122.log", 50),
            ("data/edge.log.3", 10),
            ("link/edge.log.2", 20),
            ("old/edge.log.1", 30),
        ] {
            write(&folder.path().join(name), seconds);
        }
        std::os::unix::fs::symlink(folder.path().join("data/today-20261122.log"), &path).unwrap();
        let mut files = RotatedFiles::new(path.clone());
        assert_found(&files, &["edge.log.2", "edge.log.3"]);
        files.set_folder(folder.path().join("old"));
        assert_found(&files, &["edge.log.1", "edge.log.2", "edge.log.3"]);
        fs::remove_file(&path).unwrap();
        write(&folder.path().join("data/edge.log"), 60);
        std::os::unix::fs::symlink(folder.path().join("data/edge.log"), &path).unwrap();
        assert_found(&files, &["edge.log.1", "edge.log.2", "edge.log.3"]);
    }

    #[test]
    fn logs_of_other_edges_are_no_rotated_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["e.log", "e.log-2", "e.log-2.1", "e-20261121.log", "e-20261120.log", "e.log.1"] {
            write(&folder.path().join(name), 10);
        }
        let mut files = RotatedFiles::new(folder.path().join("e.log"));
        let neighbours = ["e.log", "e.log-2", "e-20261121.log"].map(|name| folder.path().join(name));
        files.set_neighbours(neighbours);
        assert_found(&files, &["e-20261120.log", "e.log.1"]);
    }
}
