//! Nodes of a rollout as a store answers them.

use chrono::{DateTime, Utc};

use super::acknowledgement::{Ack, AckResult};
use super::node::NodeNumber;
use super::release::ReleaseId;
use super::rollout::NodeState;
use crate::config::identifier::AppId;

/// The nodes of a profile at a moment, which says who is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileAt<'a> {
    /// The app.
    pub app: AppId,
    /// The profile within the app.
    pub profile: &'a str,
    /// The moment, by the store's clock.
    pub now: DateTime<Utc>,
}

/// The nodes that a full release concerns: those with a delivery record of it, and perhaps others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcernedNodes<'a> {
    /// The release, by its first part.
    pub release: ReleaseId,
    /// Whether it concerns each node that has not left.
    pub everyone: bool,
    /// Node ids that it concerns only where they have a record of it, as a grey release is for them.
    pub except: &'a [&'a str],
}

/// A registered node in a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutNode {
    /// Number of the node.
    pub number: NodeNumber,
    /// Id that the node registered with.
    pub node_id: String,
    /// State in the rollout.
    pub state: NodeState,
    /// Time of the first sending.
    pub sent: Option<DateTime<Utc>>,
    /// Acknowledgement of the release.
    pub ack: Option<Ack>,
}

impl NodeState {
    /// The state of a node with a delivery record of this content, or with none.
    pub fn of(sent: Option<DateTime<Utc>>, ack: Option<&Ack>, is_online: bool) -> Self {
        match ack.map(|ack| ack.result) {
            Some(AckResult::Applied) => Self::Applied,
            Some(AckResult::Rejected) => Self::Rejected,
            Some(AckResult::Failed) => Self::Failed,
            None if !is_online => Self::Offline,
            None if sent.is_some() => Self::Sent,
            None => Self::Pending,
        }
    }
}
