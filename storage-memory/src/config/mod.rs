//! Apps, grants, items with their versions, releases, keys, nodes, and what became of releases there.

mod authoring;
mod delivery;

use imbl::{OrdMap, OrdSet};
use pilothouse_core::config::{
    Ack, App, AppId, AppKey, AppKeyId, ChangeSetId, DeliveryRecord, Grant, GrantId, ItemId, Node, NodeNumber,
    Release, ReleaseId, SharedNamespace,
};

use crate::state::Table;
use authoring::change_set::ChangeSetRow;
use authoring::item::ItemRow;

#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigState {
    pub(crate) apps: Table<AppId, App>,
    pub(crate) grants: Table<GrantId, Grant>,
    pub(crate) items: Table<ItemId, ItemRow>,
    change_sets: Table<ChangeSetId, ChangeSetRow>,
    releases: Table<ReleaseId, Release>,
    keys: Table<AppKeyId, AppKey>,
    nodes: Table<NodeNumber, Node>,
    /// By app, profile and node id.
    node_numbers: OrdMap<(AppId, String, String), NodeNumber>,
    deliveries: OrdMap<(ReleaseId, NodeNumber), DeliveryRecord>,
    /// By release, node and part.
    part_acks: OrdMap<(ReleaseId, NodeNumber, ReleaseId), Ack>,
    drift: OrdSet<(NodeNumber, String)>,
    /// By name.
    shared_namespaces: OrdMap<String, SharedNamespace>,
}

impl ConfigState {
    pub(crate) fn node_rows(&self) -> usize {
        self.nodes.iter().count()
    }

    pub(crate) fn delivery_rows(&self) -> usize {
        self.deliveries.len()
    }
}
