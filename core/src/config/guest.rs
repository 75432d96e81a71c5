//! Guests: clients of Apollo, which do not register. An address, or an address and a label, is a node by itself.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::delivery::{Ack, AckResult};
use super::feed::Feed;
use super::namespace::Part;
use super::node::NewNode;
use super::watch::NodeFeed;
use crate::pilothouse::lock;
use crate::{Error, Result};

/// The most nodes of an app that clients become without being told to: what comes beyond is served and not noted, so that
/// nobody can fill a disk by changing addresses.
const MAX_GUESTS: usize = 20_000;

/// How many namespaces of a guest are remembered as told.
const TOLD: usize = 64;

/// Keeps guests online while they wait for news.
#[derive(Debug)]
pub struct Presence(Vec<NodeFeed>);

impl Feed {
    /// The node that a client at an address, with a label perhaps, is: see [`guest_id`]. It has the label `label`, and is
    /// registered when it is first seen; `peer` is whom its requests come from. `None` when there are too many.
    pub async fn guest(
        &self,
        profile: &str,
        address: &str,
        label: &str,
        peer: Option<IpAddr>,
    ) -> Result<Option<NodeFeed>> {
        let node_id = guest_id(address, label);
        let guest = match self.node(profile, &node_id).await {
            Err(Error::NotFound(_)) if self.shared.nodes_heard() >= MAX_GUESTS => return Ok(None),
            Err(Error::NotFound(_)) => {
                let labels = (!label.is_empty()).then(|| ("label".to_owned(), label.to_owned()));
                let new = NewNode {
                    profile: profile.to_owned(),
                    node_id: Some(node_id.clone()),
                    pid: String::new(),
                    ip: address.parse::<IpAddr>().ok(),
                    labels: labels.into_iter().collect(),
                };
                self.register(new).await?;
                self.node(profile, &node_id).await?
            }
            found => found?,
        };
        if let Some(peer) = peer
            && lock(&guest.node.peer).replace(peer) != Some(peer)
        {
            self.shared.came_from(profile, &peer.to_string(), &node_id);
        }
        Ok(Some(guest))
    }

    /// Notes that the guests at an address are there, whatever their labels, until the answer is dropped. A client that
    /// names no address is one of those that came from its `peer`.
    pub fn present(&self, profile: &str, address: Option<&str>, peer: Option<IpAddr>) -> Presence {
        let nodes = match (address, peer) {
            (Some(address), _) => self.shared.guests_at(profile, address),
            (None, Some(peer)) => self.shared.guests_from(profile, &peer.to_string()),
            (None, None) => Vec::new(),
        };
        let nodes = nodes.into_iter().map(|(node_id, node)| {
            node.watches.fetch_add(1, Ordering::Relaxed);
            NodeFeed::new(self.clone(), profile, &node_id, node)
        });
        Presence(nodes.collect())
    }
}

impl Presence {
    /// Who is there.
    pub fn guests(&self) -> &[NodeFeed] {
        &self.0
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        for guest in &self.0 {
            guest.node.watches.fetch_sub(1, Ordering::Relaxed);
            let now = guest.pilothouse().clock().now().timestamp_micros();
            guest.node.heard.store(now, Ordering::Relaxed);
        }
    }
}

/// What identifies a guest: its address, and its label if it has one.
pub fn guest_id(address: &str, label: &str) -> String {
    if label.is_empty() { address.to_owned() } else { format!("{address}/{label}") }
}

impl NodeFeed {
    /// What identifies the node.
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// Whether the guest was told this part.
    pub fn was_told(&self, part: &Part) -> bool {
        lock(&self.node.parts).iter().any(|(tag, _)| *tag == part.tag)
    }

    /// Notes that the guest was told this part; or that it showed to hold it already, which is all that such a client can
    /// prove of having applied it.
    pub fn told_part(&self, part: &Part, holds: bool) {
        let mut told = lock(&self.node.parts);
        if told.contains(&(part.tag, holds)) {
            return;
        }
        if told.len() >= TOLD {
            told.clear();
        }
        told.push((part.tag, holds));
        drop(told);
        let time = self.pilothouse().clock().now();
        let reports = self.pilothouse().reports();
        reports.sent(part.items.iter().map(|(_, held)| held.release), self.node.number, time);
        if holds {
            for (_, held) in &part.items {
                let ack = Ack { result: AckResult::Applied, message: String::new(), time };
                reports.acked(held.release, self.node.number, ack);
            }
        }
    }
}
