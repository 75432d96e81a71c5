//! The configuration centre: apps, the grants on them, their configuration items with every version; releases, the nodes
//! they are for, and how they get there.
//!
//! | to learn | read |
//! |---|---|
//! | what a node should hold | [`View`], made of timelines per key |
//! | how it is told | [`Feed`], [`NodeFeed`] and [`Watch`] |
//! | how clients of Apollo are told | [`Part`] |
//! | what became of it | [`Delivery`] and [`Rollouts`] |

mod app;
mod background;
mod delivery;
mod feed;
mod grant;
mod guest;
mod heard;
mod history;
mod item;
mod key;
mod namespace;
mod node;
mod release;
mod rollout;
#[cfg(feature = "jsonschema")]
mod schema;
mod selector;
mod timeline;
mod validator;
mod view;
mod watch;

pub use app::{App, AppId, AppRepository, Apps, NewApp, UpdateApp};
pub(crate) use background::deliver;
pub(crate) use delivery::Reports;
pub use delivery::{Ack, AckResult, Delivery, DeliveryRepository};
pub(crate) use feed::FeedTable;
pub use feed::{Feed, Feeds};
pub use grant::{ALL, Grant, GrantId, GrantRepository, Grants, NewGrant, Permission};
pub use guest::{Presence, guest_id};
pub use item::{Content, Item, ItemId, ItemName, ItemRepository, ItemVersion, Items};
pub use key::{AppKey, AppKeyId, AppKeyRepository, AppKeys, AppSecret};
pub use namespace::{Part, PartForm};
pub use node::{LEASE, Labels, NewNode, Node, NodeNumber, NodeRepository, Nodes};
pub use release::{
    Deliverable, Release, ReleaseId, ReleaseKind, ReleaseRepository, ReleaseState, Released, Releases,
};
pub use rollout::{Latency, NodeRollout, NodeState, Rollout, RolloutStatus, Rollouts};
pub use selector::Selector;
pub use view::{Change, Form, Held, Holding, View};
pub use watch::{NodeFeed, Registered, Report, Watch};
