//! Delivery: releases, the nodes they are for, what each node should hold, how it is told, and what it made of that.
//!
//! A publish makes a release. Every server keeps an immutable snapshot per app in memory, swapped when the app's revision
//! rises; open watches derive each node's delta from it, and acknowledgements come back in batches.

mod acknowledgement;
mod app_cache;
mod app_session;
mod deletion;
mod delta;
mod inheritance;
mod key_history;
mod new_release;
mod node;
mod node_detail;
mod node_registry;
mod node_session;
mod part_acks;
mod pending;
mod preview;
mod release;
mod release_event;
mod release_set;
mod releases;
mod report_buffer;
mod rollback_preview;
mod rollout;
mod rollout_follow;
mod rollout_nodes;
mod rollout_query;
mod selector;
mod shared_namespaces;
mod snapshot;
mod watch;
mod worker;

pub use acknowledgement::{
    Ack, AckResult, AppliedTimes, DeliveryCount, DeliveryKey, DeliveryRecord, DeliveryRepository,
    HeldVersion, NodeAck, PartAck, ReachCount,
};
pub(crate) use app_cache::AppCache;
pub use app_cache::Delivery;
pub use app_session::AppSession;
pub(super) use delta::Tag;
pub use delta::{ConfigDelta, DeltaEncoding, EffectiveItem, NodeConfig};
pub(super) use node::canonical_node_id;
pub use node::{LEASE, Labels, NewNode, Node, NodeCensus, NodeNumber, NodeRepository, Nodes};
pub use node_detail::{NodeDetail, NodeItem, NodeRelease};
pub use node_registry::NodePresence;
pub use node_session::{NodeSession, Registered, Report};
pub use pending::{
    ActiveGrey, Pending, PendingChange, PendingGrey, PendingItem, PendingList, PendingRepository,
    PendingSubject,
};
pub use preview::Preview;
pub use release::{
    Deliverable, GreysBeside, PartId, Release, ReleaseId, ReleaseKind, ReleasePart, ReleaseRepository,
    ReleaseSize, ReleaseState, ReleaseSummary, Released, ReleasedItem,
};
pub use release_set::{AppliedRelease, NewReleaseSet, ReleaseContent};
pub use releases::Releases;
pub(super) use report_buffer::BufferedAck;
pub(crate) use report_buffer::ReportBuffer;
pub use rollback_preview::RolledBackItem;
pub use rollout::{Latency, NodePage, NodeRollout, NodeState, Rollout, RolloutStatus, Rollouts};
pub(crate) use rollout_follow::RolloutFollows;
pub use rollout_follow::{RolloutChange, RolloutFollow};
pub use rollout_nodes::{ConcernedNodes, ProfileAt, RolloutNode};
pub use selector::{LabelSelector, NodeIds, Percent, Selector};
pub use snapshot::ConfigSnapshot;
pub(super) use snapshot::{MAX_MEMOISED, Profile};
pub use watch::Watch;
pub(crate) use worker::deliver;
