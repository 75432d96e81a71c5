//! Orders: what a server, or somebody with a file, asks the agent to do with one path.

use std::fmt::{self, Display};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Hex;
use crate::error::Refusal;
use crate::path::TargetPath;

/// Longest id of a task in bytes. It is part of the names of temporary files.
const MOST_TASK_BYTES: usize = 64;
/// Shortest and longest confirm window in seconds; 0 is none.
const CONFIRM_SECONDS: std::ops::RangeInclusive<u32> = 30..=3600;

/// Id of a task: 1 to 64 letters, digits and hyphens.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TaskId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_id = (1..=MOST_TASK_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_id { Ok(Self(text)) } else { Err("a task id must be 1 to 64 letters, digits and hyphens") }
    }
}

impl Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Action of an order on its file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Replaces the file, or creates it.
    Update,
    /// Puts back what the task's update replaced.
    Revert,
    /// Tells what an update would do.
    Plan,
}

/// Permission bits of an order: three or four octal digits, without setuid, setgid and sticky bit.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct FileMode(u32);

impl FileMode {
    /// The bits, at most 0o777.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for FileMode {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        match u32::from_str_radix(&text, 8) {
            Ok(bits) if is_octal && bits <= 0o777 => Ok(Self(bits)),
            _ => Err("`mode` must be octal digits from \"0000\" to \"0777\""),
        }
    }
}

/// Order as the agent receives it. An unknown member is refused by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Task the order belongs to.
    pub task_id: TaskId,
    /// Attempt of the task, from 1; a lower one than was seen is stale.
    pub attempt: u32,
    /// Action to carry out.
    pub action: Action,
    /// File to replace.
    pub path: TargetPath,
    /// Hash of the new content; an update and a plan need it.
    pub sha256: Option<Sha256Hex>,
    /// Size of the new content in bytes; an update and a plan need it.
    pub size: Option<u64>,
    /// Mode of the new file; by default that of the old one, or 0644.
    pub mode: Option<FileMode>,
    /// User, by name or number; by default the owner of the old file, or the agent's user.
    pub owner: Option<String>,
    /// Group, by name or number; by default that of the old file, or the agent's group.
    pub group: Option<String>,
    /// Hash that the file must have now.
    pub expect_sha256: Option<Sha256Hex>,
    /// Name of the command that checks the staged file.
    pub check: Option<String>,
    /// Name of the command that runs after the file was replaced.
    pub reload: Option<String>,
    /// Confirm window in seconds: 0, or 30 to 3600.
    #[serde(default)]
    pub confirm_seconds: u32,
    /// Whether a revert overwrites a file that was changed since.
    #[serde(default)]
    pub force: bool,
    /// Unix time at which a server's lease ends. Without a server there is no lease, and nothing reads it.
    pub lease_until: Option<u64>,
    /// Unix time after which the order may no longer begin.
    pub deadline: Option<u64>,
    /// File with the new content, for `apply --order`.
    pub blob: Option<PathBuf>,
}

/// New content that an update or a plan names.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) sha256: Sha256Hex,
    pub(crate) size: u64,
}

impl Order {
    /// Reads an order and checks that its members fit together.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let order: Self = serde_json::from_str(text).map_err(|error| Refusal::Order(error.to_string()))?;
        if order.attempt == 0 {
            return Err(Refusal::Order("`attempt` must be 1 or more".to_owned()));
        }
        if order.confirm_seconds != 0 && !CONFIRM_SECONDS.contains(&order.confirm_seconds) {
            return Err(Refusal::Order("`confirm_seconds` must be 0, or from 30 to 3600".to_owned()));
        }
        if order.action != Action::Revert {
            order.content()?;
        }
        Ok(order)
    }

    pub(crate) fn content(&self) -> Result<Content, Refusal> {
        match (&self.sha256, self.size) {
            (Some(sha256), Some(size)) => Ok(Content { sha256: sha256.clone(), size }),
            _ => Err(Refusal::Order("an update needs `sha256` and `size`".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(member: &str) -> Result<Order, Refusal> {
        let digest = "0".repeat(64);
        Order::parse(&format!(
            r#"{{"task_id":"0358","attempt":1,"action":"update","path":"/etc/a","sha256":"{digest}","size":3{member}}}"#
        ))
    }

    #[test]
    fn the_order_of_the_contract_is_understood() {
        let order = with(
            r#","mode":"0644","owner":null,"group":null,"expect_sha256":null,"check":"nginx-test","reload":null,
            "confirm_seconds":0,"lease_until":1795876076,"deadline":1795962476"#,
        )
        .unwrap();
        assert_eq!(order.mode.map(FileMode::bits), Some(0o644));
        assert_eq!((order.check.as_deref(), order.owner), (Some("nginx-test"), None));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let Err(Refusal::Order(told)) = with(r#","recursive":true"#) else { panic!("accepted") };
        assert!(told.contains("recursive"), "{told}");
        for member in [
            r#","mode":"4755""#,
            r#","mode":"888""#,
            r#","mode":420"#,
            r#","confirm_seconds":29"#,
            r#","confirm_seconds":3601"#,
            r#","confirm_seconds":-1"#,
            r#","expect_sha256":"ab""#,
            r#","size":4"#,
        ] {
            assert!(matches!(with(member), Err(Refusal::Order(_))), "{member}");
        }
        let text = |task: &str, rest: &str| format!(r#"{{"task_id":"{task}","path":"/a"{rest}}}"#);
        for text in [
            text("../a", r#","attempt":1,"action":"revert""#),
            text("", r#","attempt":1,"action":"revert""#),
            text("a", r#","attempt":0,"action":"revert""#),
            text("a", r#","attempt":99999999999,"action":"revert""#),
            text("a", r#","attempt":1,"action":"chmod""#),
            text("a", r#","attempt":1,"action":"update""#),
            "[".repeat(10_000),
            String::new(),
        ] {
            assert!(Order::parse(&text).is_err(), "{text}");
        }
        assert!(Order::parse(&text("a", r#","attempt":1,"action":"revert""#)).is_ok());
    }
}
