//! Nodes: the running programs that receive configuration.

use chrono::{DateTime, Utc};

use super::Permission;
use super::app::{check_identifier, open_app};
use crate::account::Caller;
use crate::{Pilothouse, Result};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What identifies it within app and profile.
    pub node_id: String,
    /// Its process.
    pub pid: String,
    /// When it registered.
    pub register_time: DateTime<Utc>,
}

/// The use cases of nodes.
#[derive(Clone, Copy, Debug)]
pub struct Nodes<'a>(pub(crate) &'a Pilothouse);

impl Nodes<'_> {
    /// The nodes of an app and profile that are online; needs permission 1. There are none as long as nodes have no
    /// way to register.
    pub async fn list(&self, caller: &Caller, app: &str, profile: &str) -> Result<Vec<Node>> {
        let mut snapshot = self.0.storage().read().await?;
        open_app(self.0, &mut *snapshot, caller, app, Permission::Develop).await?;
        check_identifier("profile", profile)?;
        Ok(Vec::new())
    }
}
