//! Apps, grants, items with their versions, releases, keys, nodes, and what became of releases there.

mod app;
mod delivery;
mod grant;
mod item;
mod key;
mod node;
mod release;

use imbl::OrdMap;
use pilothouse_core::config::{App, AppId, AppKey, Delivery, Grant, Node, NodeNumber, Release, ReleaseId};

use crate::state::Table;
use item::Held;

#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigState {
    apps: Table<App>,
    pub(crate) grants: Table<Grant>,
    items: Table<Held>,
    releases: Table<Release>,
    keys: Table<AppKey>,
    nodes: Table<Node>,
    /// By app, profile and node id.
    node_numbers: OrdMap<(AppId, String, String), NodeNumber>,
    deliveries: OrdMap<(ReleaseId, NodeNumber), Delivery>,
}
