//! Nodes: the running programs that receive configuration, and who of them is online.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::account::{Caller, Reach};
use crate::config::identifier::{AppId, check_identifier};
use crate::id::id;
use crate::ports::StorageResult;
use crate::{Error, Lease, Pilothouse, Result, check_text, check_token};

id! {
    /// The number of a node in a store.
    NodeNumber
}

/// Lease of a node: online for 15 seconds after its last request.
pub const LEASE: Lease = Lease::of(TimeDelta::seconds(15));
/// Retention of a node's registration after it was last online: 7 days.
pub(crate) const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// A node's labels, by name.
pub type Labels = BTreeMap<String, String>;

/// A node. Its registration is kept when it goes, so that it comes back as what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Number in the store.
    pub number: NodeNumber,
    /// App that the node runs.
    pub app: AppId,
    /// Profile that it receives.
    pub profile: String,
    /// Node id, unique within app and profile: 1 to 128 printable ASCII characters without blank and comma.
    pub node_id: String,
    /// Process: at most 64 bytes.
    pub pid: String,
    /// Address, where it told one or it could be seen.
    pub ip: Option<IpAddr>,
    /// Labels that grey releases select by.
    pub labels: Labels,
    /// Time of the last registration.
    pub register_time: DateTime<Utc>,
    /// Until when it is online, by the store's clock.
    pub lease_until: DateTime<Utc>,
    /// Whether it said that it goes, and has not registered since.
    pub left: bool,
}

impl Node {
    /// Whether it is online at this moment of the store's clock.
    pub fn is_online(&self, now: DateTime<Utc>) -> bool {
        !self.left && LEASE.is_held(self.lease_until, now)
    }
}

/// A node that registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewNode {
    /// Profile that it receives.
    pub profile: String,
    /// Node id; without, it is given a random one. The same again is a restart of that node.
    pub node_id: Option<String>,
    /// Process: at most 64 bytes.
    pub pid: String,
    /// Address the node names, or its request came from.
    pub ip: Option<IpAddr>,
    /// At most 32; names of 1 to 64 of `[A-Za-z0-9._/-]`, values of at most 128 bytes without comma.
    pub labels: Labels,
}

impl NewNode {
    /// The most labels of a node.
    const MAX_LABELS: usize = 32;

    pub(super) fn check(&self) -> Result<()> {
        check_identifier("profile", &self.profile)?;
        if let Some(node_id) = &self.node_id {
            check_node_id("nodeId", node_id)?;
        }
        check_text("pid", &self.pid, 0, 64, false)?;
        if self.labels.len() > Self::MAX_LABELS {
            return Err(Error::invalid("labels", format!("must be at most {}", Self::MAX_LABELS)));
        }
        self.labels.iter().try_for_each(|(name, value)| check_label(name, value))
    }
}

/// A node id as it is kept: an address in its one shortest form, however it was written; any other as it is.
pub(in crate::config) fn canonical_node_id(node_id: &str) -> Cow<'_, str> {
    let bare = node_id.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node_id);
    match bare.parse::<Ipv6Addr>() {
        Ok(address) => IpAddr::V6(address).to_canonical().to_string().into(),
        Err(_) => node_id.into(),
    }
}

/// Refuses what cannot identify a node.
pub(super) fn check_node_id(field: &'static str, node_id: &str) -> Result<()> {
    check_token(field, node_id, 1, 128, "printable ASCII without blank and comma", |c| {
        c.is_ascii_graphic() && c != ','
    })
}

/// Refuses what is no label.
pub(super) fn check_label(name: &str, value: &str) -> Result<()> {
    check_token("labels", name, 1, 64, "names of A-Z, a-z, 0-9, ., _, / and -", |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-')
    })?;
    check_text("labels", value, 0, 128, false)?;
    if value.contains(',') { Err(Error::invalid("labels", "a value must not hold a comma")) } else { Ok(()) }
}

/// Numbers of the nodes of a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCensus {
    /// Nodes that are online.
    pub online: i64,
    /// Nodes that are offline and have not left.
    pub offline: i64,
    /// Nodes that left.
    pub left: i64,
}

/// Nodes in a store.
#[async_trait]
pub trait NodeRepository: Send {
    /// Adds a node, or replaces what is known of the one with its app, profile and node id; `number` is ignored. Answers
    /// its number, or `None` without such an app.
    async fn register(&mut self, node: &Node) -> StorageResult<Option<NodeNumber>>;
    /// Finds a node by app, profile and node id, also one that left.
    async fn find(&mut self, app: AppId, profile: &str, node_id: &str) -> StorageResult<Option<Node>>;
    /// The nodes of a profile by number, also those that left.
    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Node>>;
    /// Counts the nodes of an app, also those that left.
    async fn count(&mut self, app: AppId) -> StorageResult<i64>;
    /// Counts the nodes of a profile that are online at a moment.
    async fn count_online(&mut self, app: AppId, profile: &str, now: DateTime<Utc>) -> StorageResult<i64>;
    /// Counts the nodes of a profile at a moment.
    async fn census(&mut self, app: AppId, profile: &str, now: DateTime<Utc>) -> StorageResult<NodeCensus>;
    /// The nodes of an app that have not left: number, profile and node id.
    async fn present(&mut self, app: AppId) -> StorageResult<Vec<(NodeNumber, String, String)>>;
    /// Moves the leases of nodes to `until`, except of those that left and those that end later and are not void beside it.
    async fn renew(&mut self, nodes: &[NodeNumber], until: DateTime<Utc>) -> StorageResult<()>;
    /// Records that a node left; whether there was one that had not.
    async fn leave(&mut self, node: NodeNumber) -> StorageResult<bool>;
    /// Records drifted keys, which are to be sent again; a node that is gone is skipped.
    async fn add_drift(&mut self, drift: &[(NodeNumber, String)]) -> StorageResult<()>;
    /// Drifted keys of the nodes of some apps, by node and key byte for byte.
    async fn drift(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, NodeNumber, String)>>;
    /// Removes a drifted key of a node; whether it was recorded.
    async fn remove_drift(&mut self, node: NodeNumber, key: &str) -> StorageResult<bool>;
    /// Ends the leases that are void at `now`, so that their nodes are removed like others.
    async fn end_void_leases(&mut self, now: DateTime<Utc>) -> StorageResult<u64>;
    /// Removes the first `count` nodes whose lease ended before `before`, those that ended first.
    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64>;
}

/// The use cases of nodes for those who manage them. What nodes do themselves is in [`super::AppSession`].
#[derive(Clone, Copy, Debug)]
pub struct Nodes<'a>(pub(crate) &'a Pilothouse);

impl Nodes<'_> {
    /// The nodes of an app and profile that are online, by number; needs permission 0.
    pub async fn list(&self, caller: &Caller, app: &str, profile: &str) -> Result<Vec<Node>> {
        let mut snapshot = self.0.storage().read().await?;
        let app =
            self.0.apps().open_for_reader(&mut *snapshot, caller, (app, Reach::Profile(profile))).await?;
        check_identifier("profile", profile)?;
        drop(snapshot);
        self.0.flush_reports().await?;
        let now = self.0.store_time().await?;
        let mut nodes = self.0.storage().peek().await?.nodes().list(app.id, profile).await?;
        nodes.retain(|node| node.is_online(now));
        Ok(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_node_however_it_is_written() {
        for id in ["2001:db8::1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1", "[2001:db8::1]"] {
            assert_eq!(canonical_node_id(id), "2001:db8::1");
        }
        assert_eq!(canonical_node_id("::ffff:10.0.0.1"), "10.0.0.1");
        for id in ["10.0.0.1", "node-1", "[a]", "2001:db8::1/label", "Web01"] {
            assert_eq!(canonical_node_id(id), id);
        }
    }

    #[test]
    fn what_a_node_may_be() {
        let node = NewNode { profile: "dev".into(), ..NewNode::default() };
        assert!(node.check().is_ok());
        let with = |node_id: &str| NewNode { node_id: Some(node_id.into()), ..node.clone() };
        for good in ["11", "host:8080", "fe80::1%eth0", &"x".repeat(128)] {
            assert!(with(good).check().is_ok(), "{good}");
        }
        for bad in ["", "a,b", "a b", "é", &"x".repeat(129)] {
            assert!(with(bad).check().unwrap_err().to_string().starts_with("nodeId: "), "{bad}");
        }
        let labelled = |name: &str, value: &str| NewNode {
            labels: [(name.to_owned(), value.to_owned())].into(),
            ..node.clone()
        };
        assert!(labelled("zone", "a:b").check().is_ok());
        for (name, value) in [("", "a"), ("a:b", "c"), ("a", "b,c"), ("a", "\n")] {
            assert!(labelled(name, value).check().unwrap_err().to_string().starts_with("labels: "));
        }
        let many = (0..33).map(|n| (n.to_string(), String::new())).collect();
        let refused = NewNode { labels: many, ..node }.check().unwrap_err();
        assert_eq!(refused.to_string(), "labels: must be at most 32");
    }
}
