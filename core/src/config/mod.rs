//! The configuration centre, in three rooms; each uses only those above it in this list.
//!
//! | room | holds |
//! |---|---|
//! | `authoring` | apps, grants, app keys, configuration items with every version, validators |
//! | `delivery` | releases, nodes, snapshots, watches, acknowledgements, rollouts |
//! | `apollo` | namespaces and clients of Apollo's protocol |
//!
//! | to learn | read |
//! |---|---|
//! | effective configuration of a node | [`ConfigSnapshot`], made of the release history of each key |
//! | delivery to a node | [`AppSession`], [`NodeSession`] and [`Watch`] |
//! | delivery to Apollo clients | [`NamespaceContent`] |
//! | outcome of a release on its nodes | [`DeliveryRecord`] and [`Rollouts`] |

mod apollo;
mod authoring;
mod delivery;
mod identifier;

pub use apollo::{
    ClientNamespace, NamespaceContent, NamespaceEncoding, NamespaceShare, Presence, apollo_node_id,
};
pub(crate) use authoring::{ALL, check_app_name, check_reach, permission_on_all};
pub use authoring::{
    App, AppCounts, AppKey, AppKeyRepository, AppKeys, AppRepository, AppRevision, AppSecret, Applied,
    AppliedChange, Apps, Change, ChangeAction, ChangeSet, ChangeSetDiff, ChangeSetFilter, ChangeSetId,
    ChangeSetRepository, ChangeSetState, ChangeSets, ChangedItem, Content, ContentChange, Copy, DiffHunk,
    DiffLine, ExportedProfile, Found, FoundIn, Grant, GrantId, GrantRepository, Grants, HistoryPage,
    HistoryQuery, Imported, Item, ItemChange, ItemDiff, ItemDifference, ItemHead, ItemName, ItemRepository,
    ItemSearch, ItemVersion, Items, LineChange, NewApp, NewChangeSet, NewGrant, NewItem, OpeningKey, OwnApp,
    Permission, SearchFilter, SearchResult, SharedNamespace, SharedNamespaceRepository, SharedNamespaces,
    Side, UpdateApp, ValueDiff, VersionOf, VersionSize, VersionedItem, hunks,
};
pub use delivery::{
    Ack, AckResult, ActiveGrey, AppSession, AppliedRelease, AppliedTimes, ConcernedNodes, ConfigDelta,
    ConfigSnapshot, Deliverable, Delivery, DeliveryCount, DeliveryKey, DeliveryRecord, DeliveryRepository,
    DeltaEncoding, EffectiveItem, GreysBeside, HeldVersion, LEASE, LabelSelector, Labels, Latency, NewNode,
    NewReleaseSet, Node, NodeAck, NodeCensus, NodeConfig, NodeDetail, NodeIds, NodeItem, NodeNumber,
    NodePage, NodePresence, NodeRelease, NodeRepository, NodeRollout, NodeSession, NodeState, Nodes, PartAck,
    PartId, Pending, PendingChange, PendingGrey, PendingItem, PendingList, PendingRepository, PendingSubject,
    Percent, Preview, ProfileAt, ReachCount, Registered, Release, ReleaseContent, ReleaseId, ReleaseKind,
    ReleasePart, ReleaseRepository, ReleaseSize, ReleaseState, ReleaseSummary, Released, ReleasedItem,
    Releases, Report, RolledBackItem, Rollout, RolloutChange, RolloutFollow, RolloutNode, RolloutStatus,
    Rollouts, Selector, Watch,
};
pub(crate) use delivery::{AppCache, ReportBuffer, RolloutFollows, deliver};
pub(crate) use identifier::check_limits;
pub use identifier::{AppId, AppKeyId, ItemId};
