//! Items of a namespace, as JSON.

use serde::{Deserialize, Serialize};

/// Item of a namespace: a key, a comment or a blank line. Other members are of no use here.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    /// Always 0.
    #[serde(default)]
    pub(super) id: i64,
    /// Always 0.
    #[serde(default)]
    pub(super) namespace_id: i64,
    /// Empty of comments and blank lines.
    #[serde(default)]
    pub(super) key: String,
    /// 0: text.
    #[serde(default, rename = "type")]
    pub(super) kind: i64,
    #[serde(default)]
    pub(super) value: String,
    /// Remark of a key; a comment line with its mark.
    #[serde(default)]
    pub(super) comment: String,
    /// Line from 1; 0 of a key that was deleted and is still live.
    #[serde(default = "first_line")]
    pub(super) line_num: i64,
}

fn first_line() -> i64 {
    1
}
