//! Content of a file order: the hash of the new file, its metadata, and the conditions of the task.

use std::fmt::{self, Display};
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::ops::TaskId;
use crate::{Error, Result, check_text};

/// Default of `deadline_seconds`: a day.
const DEADLINE_SECONDS: i64 = 86_400;
/// The longest `deadline_seconds`: 30 days.
const MOST_DEADLINE_SECONDS: i64 = 2_592_000;

/// SHA-256 of a file; on the wire 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest(pub [u8; 32]);

impl Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Sha256Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse("sha256", text)
    }
}

impl Sha256Digest {
    /// Reads 64 hexadecimal digits in any case; a refusal names `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(Error::invalid(field, "must be 64 hexadecimal digits")),
        }
    }
}

/// The file of a task to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewFile {
    /// Hash of a complete blob; without one the release of the path is taken into the blobs.
    pub sha256: Option<Sha256Digest>,
    /// Mode, three or four octal digits up to 0777; the old file's where it is not given.
    pub mode: Option<String>,
    /// User by name or number: 1 to 64 bytes.
    pub owner: Option<String>,
    /// Group by name or number: 1 to 64 bytes.
    pub group: Option<String>,
    /// Hash that the file must have now.
    pub expect_sha256: Option<Sha256Digest>,
    /// Name of a command of the agent's that checks the staged file: 1 to 64 bytes.
    pub check: Option<String>,
    /// Name of a command of the agent's that runs after the file was replaced: 1 to 64 bytes.
    pub reload: Option<String>,
    /// Confirm window in seconds: 0, or 30 to 3600.
    pub confirm_seconds: i64,
    /// Unix time in seconds before which nobody begins.
    pub not_before: Option<i64>,
    /// Seconds from the order, or from `not_before`, within which an agent must begin: 1 to 2592000, by default 86400.
    pub deadline_seconds: Option<i64>,
}

impl NewFile {
    /// Checks the limits of every member, and the path, which only tasks with a file keep to.
    pub(in crate::ops) fn check(&self, path: &str) -> Result<()> {
        check_path(path)?;
        if let Some(mode) = &self.mode {
            check_mode(mode)?;
        }
        for (field, text) in
            [("owner", &self.owner), ("group", &self.group), ("check", &self.check), ("reload", &self.reload)]
        {
            if let Some(text) = text {
                check_text(field, text, 1, 64, false)?;
            }
        }
        if self.confirm_seconds != 0 && !(30..=3600).contains(&self.confirm_seconds) {
            return Err(Error::invalid("confirm_seconds", "must be 0, or from 30 to 3600"));
        }
        if self.not_before.is_some_and(|time| !(0..=253_402_300_799).contains(&time)) {
            return Err(Error::invalid("not_before", "must be unix seconds from 0 to 253402300799"));
        }
        let deadline = self.deadline_seconds.unwrap_or(DEADLINE_SECONDS);
        if !(1..=MOST_DEADLINE_SECONDS).contains(&deadline) {
            return Err(Error::invalid("deadline_seconds", "must be from 1 to 2592000"));
        }
        Ok(())
    }

    /// The first member that is given beside the hash, by its name on the wire.
    pub(in crate::ops) fn given_member(&self) -> Option<&'static str> {
        let given = [
            ("mode", self.mode.is_some()),
            ("owner", self.owner.is_some()),
            ("group", self.group.is_some()),
            ("expect_sha256", self.expect_sha256.is_some()),
            ("check", self.check.is_some()),
            ("reload", self.reload.is_some()),
            ("confirm_seconds", self.confirm_seconds != 0),
            ("not_before", self.not_before.is_some()),
            ("deadline_seconds", self.deadline_seconds.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(member, _)| member)
    }

    /// The content of a task, of a blob of `size` bytes.
    pub(in crate::ops) fn into_content(
        self,
        task_id: TaskId,
        sha256: Sha256Digest,
        size: i64,
    ) -> FileContent {
        let deadline_seconds = self.deadline_seconds.unwrap_or(DEADLINE_SECONDS);
        FileContent {
            task_id,
            sha256,
            size,
            mode: self.mode,
            owner: self.owner,
            group: self.group,
            expect_sha256: self.expect_sha256,
            check: self.check,
            reload: self.reload,
            confirm_seconds: self.confirm_seconds,
            not_before: self.not_before.and_then(|time| DateTime::from_timestamp(time, 0)),
            deadline_seconds,
        }
    }
}

/// Refuses a path that no agent would take: it is absolute, and names a file without `.`, `..` and empty components.
fn check_path(path: &str) -> Result<()> {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
    match path.strip_prefix('/') {
        Some(rest) if rest.split('/').all(is_plain) && !path.contains('\0') => Ok(()),
        _ => Err(Error::invalid(
            "content",
            "must be an absolute path without empty, . and .. components, each of at most 255 bytes",
        )),
    }
}

fn check_mode(mode: &str) -> Result<()> {
    let is_octal = (3..=4).contains(&mode.len()) && mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(mode, 8) {
        Ok(bits) if is_octal && bits <= 0o777 => Ok(()),
        _ => Err(Error::invalid("mode", "must be octal digits from 0000 to 0777")),
    }
}

/// The file of a task, as it was added. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// Task.
    pub task_id: TaskId,
    /// Hash of the blob.
    pub sha256: Sha256Digest,
    /// Size of the blob in bytes.
    pub size: i64,
    /// Mode in octal digits.
    pub mode: Option<String>,
    /// User by name or number.
    pub owner: Option<String>,
    /// Group by name or number.
    pub group: Option<String>,
    /// Hash that the file must have now.
    pub expect_sha256: Option<Sha256Digest>,
    /// Name of the command that checks the staged file.
    pub check: Option<String>,
    /// Name of the command that runs after the file was replaced.
    pub reload: Option<String>,
    /// Confirm window in seconds, 0 for none.
    pub confirm_seconds: i64,
    /// Time before which nobody begins.
    pub not_before: Option<DateTime<Utc>>,
    /// Seconds within which an agent must begin.
    pub deadline_seconds: i64,
}

#[cfg(test)]
impl FileContent {
    /// A content of three bytes that asks for nothing else, to begin within an hour.
    pub(super) fn plain() -> Self {
        Self {
            task_id: TaskId(uuid::Uuid::nil()),
            sha256: Sha256Digest([7; 32]),
            size: 3,
            mode: None,
            owner: None,
            group: None,
            expect_sha256: None,
            check: None,
            reload: None,
            confirm_seconds: 0,
            not_before: None,
            deadline_seconds: 3600,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> NewFile {
        NewFile {
            sha256: Some(Sha256Digest([7; 32])),
            mode: Some("0644".into()),
            owner: None,
            group: None,
            expect_sha256: None,
            check: None,
            reload: None,
            confirm_seconds: 0,
            not_before: None,
            deadline_seconds: None,
        }
    }

    #[test]
    fn limits_are_named() {
        assert!(file().check("/etc/a b'\"").is_ok());
        for path in ["", ".", "/", "//", "a", "/a/../b", "/a/./b", "/a/", "~", "/a\0"] {
            assert!(file().check(path).is_err(), "{path:?}");
        }
        assert!(file().check(&format!("/{}", "n".repeat(256))).is_err());
        let refused = |field: &str, file: NewFile| {
            let told = file.check("/etc/a").unwrap_err().to_string();
            assert!(told.starts_with(field), "{told}");
        };
        for mode in ["4755", "888", "07", "00644", "+644"] {
            refused("mode", NewFile { mode: Some(mode.into()), ..file() });
        }
        for confirm_seconds in [-1, 1, 29, 3601] {
            refused("confirm_seconds", NewFile { confirm_seconds, ..file() });
        }
        refused("not_before", NewFile { not_before: Some(-1), ..file() });
        refused("deadline_seconds", NewFile { deadline_seconds: Some(0), ..file() });
        refused("reload", NewFile { reload: Some(String::new()), ..file() });
    }

    #[test]
    fn digests_are_read_in_any_case() {
        let digest: Sha256Digest = "AB".repeat(32).parse().unwrap();
        assert_eq!(digest.to_string(), "ab".repeat(32));
        assert!("ab".parse::<Sha256Digest>().is_err() && "x".repeat(64).parse::<Sha256Digest>().is_err());
    }
}
