//! Folder of configuration: `app/profile/*.properties`, `.yaml`, `.yml` and `.json`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use pilothouse_config_exchange::{Document, Entry, json, properties, yaml};

use crate::failure::Failure;

/// A profile as its files say it.
#[derive(Debug)]
pub(super) struct FolderProfile {
    pub(super) app: String,
    pub(super) profile: String,
    /// In the order of the files by name; each key once.
    pub(super) entries: Vec<Entry>,
}

/// The profiles of a folder by name, and what was left out of their files. A profile without a file, or with a key in two of
/// them, is refused: it would empty the profile, or say two things.
pub(super) fn profiles(folder: &Path) -> Result<(Vec<FolderProfile>, Vec<String>), Failure> {
    let (mut profiles, mut notes) = (Vec::new(), Vec::new());
    for app in members(folder)? {
        if !app.is_dir() {
            notes.push(format!("{}: not a folder of an app", app.display()));
            continue;
        }
        for profile in members(&app)? {
            if profile.is_dir() {
                profiles.push(read(&app, &profile, &mut notes)?);
            } else {
                notes.push(format!("{}: not a folder of a profile", profile.display()));
            }
        }
    }
    if profiles.is_empty() {
        return Err(Failure::usage(format!("{}: holds no profile, as APP/PROFILE/FILE", folder.display())));
    }
    Ok((profiles, notes))
}

/// Entries of a folder, by name, without hidden files.
fn members(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::failed(folder.display(), error);
    let mut members = Vec::new();
    for member in fs::read_dir(folder).map_err(failed)? {
        let member = member.map_err(failed)?;
        if !member.file_name().as_encoded_bytes().starts_with(b".") {
            members.push(member.path());
        }
    }
    members.sort();
    Ok(members)
}

fn read(app: &Path, profile: &Path, notes: &mut Vec<String>) -> Result<FolderProfile, Failure> {
    let name = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        name.ok_or_else(|| Failure::usage(format!("{}: must be UTF-8", path.display())))
    };
    let (mut entries, mut files) = (Vec::new(), HashMap::new());
    let mut has_file = false;
    for file in members(profile)? {
        let shown = file.display().to_string();
        let bytes = || fs::read(&file).map_err(|error| Failure::failed(&shown, error));
        let read = match file.extension().and_then(|extension| extension.to_str()) {
            Some("properties") => properties::read(&shown, &bytes()?),
            Some("yaml" | "yml") => yaml::read(&shown, &bytes()?),
            Some("json") => json::read(&shown, &bytes()?),
            _ => {
                notes.push(format!("{shown}: neither .properties, .yaml, .yml nor .json"));
                continue;
            }
        };
        has_file = true;
        let Document { entries: read, dropped } =
            read.map_err(|failure| Failure::usage(failure.to_string()))?;
        notes.extend(dropped.into_texts());
        for entry in read {
            if let Some(other) = files.insert(entry.key.clone(), shown.clone()) {
                return Err(Failure::usage(format!("{shown}: {} is in {other} too", entry.key)));
            }
            entries.push(entry);
        }
    }
    if !has_file {
        let why = "holds no file, and would empty the profile";
        return Err(Failure::usage(format!("{}: {why}", profile.display())));
    }
    Ok(FolderProfile { app: name(app)?, profile: name(profile)?, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn files_of_a_profile_are_read_together() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("shop/dev/b.yaml", "x: {y: 1}\n"),
            ("shop/dev/a.properties", "# of a\na=1\n# stray\n"),
            ("shop/dev/notes.txt", ""),
            ("shop/prod/c.json", "{\"c\": \"3\"}"),
            ("shop/.git/x", ""),
            ("README.md", ""),
        ];
        write(folder.path(), &files);
        let (profiles, notes) = profiles(folder.path()).unwrap();
        let shown: Vec<_> = profiles
            .iter()
            .map(|of| {
                (&*of.app, &*of.profile, of.entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(shown, [("shop", "dev", vec!["a", "x.y"]), ("shop", "prod", vec!["c"])]);
        assert_eq!(profiles[0].entries[0].description, "of a");
        let ends = [
            "README.md: not a folder of an app",
            "above no key: stray",
            "notes.txt: neither .properties, .yaml, .yml nor .json",
        ];
        assert_eq!(notes.len(), ends.len());
        for (note, end) in notes.iter().zip(ends) {
            assert!(note.ends_with(end), "{note}");
        }
    }

    #[test]
    fn what_would_say_two_things_or_nothing_is_refused() {
        for (files, refusal) in [
            (&[("a/b/x.json", "{\"k\": 1}"), ("a/b/y.properties", "k=2")][..], "k is in"),
            (&[("a/b/.hidden", "")], "would empty the profile"),
            (&[("a/b/notes.txt", "")], "would empty the profile"),
            (&[("a/b/x.json", "{")], "x.json line 1: is not JSON"),
            (&[("x.json", "{}")], "holds no profile"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), files);
            let refused = profiles(folder.path()).unwrap_err().to_string();
            assert!(refused.contains(refusal), "{refused}");
        }
    }
}
