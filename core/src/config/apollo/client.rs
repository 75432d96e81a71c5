//! Apollo clients as nodes: an address, or an address and a label, is a node that never registers itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::namespace::NamespaceContent;
use crate::account::digest;
use crate::config::delivery::{
    AckResult, AppSession, BufferedAck, NewNode, NodeSession, ReleaseId, canonical_node_id,
};
use crate::sync::lock;
use crate::{Error, Result};

/// The most nodes of an app that Apollo clients become: clients beyond it are served and not recorded, so that nobody can
/// fill a disk by changing addresses.
const MAX_CLIENTS: usize = 20_000;

/// Sent namespaces that are remembered of a client: twice those of two polls, which is as many as a client has.
const MAX_SENT_NAMESPACES: usize = 4000;

/// Keeps Apollo clients online while their long poll waits.
#[derive(Debug)]
pub struct Presence(Vec<NodeSession>);

impl AppSession {
    /// The node of an Apollo client by its address and its label as a part of the node id (see [`apollo_node_id`]). It
    /// carries the label itself as `label`, where it can be one, and is registered when it is first seen; `peer` is where
    /// its requests come from. `None` when an app has too many.
    pub async fn apollo_client(
        &self,
        profile: &str,
        (address, id_label): (&str, &str),
        label: &str,
        peer: Option<IpAddr>,
    ) -> Result<Option<NodeSession>> {
        let node_id = apollo_node_id(address, id_label);
        // Asked in memory first: a store that refuses each of many clients would be asked for nothing else.
        let most = MAX_CLIENTS.min(self.pilothouse.settings().nodes_per_app);
        let client = match self.node(profile, &node_id).await {
            Err(Error::NotFound(_)) if self.state.node_count() >= most => return Ok(None),
            Err(Error::NotFound(_)) => {
                // A comma would end the label where a release names it.
                let label = if label.contains(',') { id_label } else { label };
                let labels = (!label.is_empty()).then(|| ("label".to_owned(), label.to_owned()));
                let new = NewNode {
                    profile: profile.to_owned(),
                    node_id: Some(node_id.clone()),
                    pid: String::new(),
                    ip: address.parse::<IpAddr>().ok(),
                    labels: labels.into_iter().collect(),
                };
                match self.register(new).await {
                    Err(Error::Conflict(_)) => return Ok(None),
                    registered => registered?,
                };
                self.node(profile, &node_id).await?
            }
            found => found?,
        };
        if let Some(peer) = peer
            && lock(&client.node.peer).replace(peer) != Some(peer)
        {
            self.state.record_peer(profile, &peer.to_string(), &node_id);
        }
        Ok(Some(client))
    }

    /// Keeps the Apollo clients at an address online, whatever their labels, until the answer is dropped. A client that
    /// names no address is one of those whose requests came from its `peer`.
    pub fn present(&self, profile: &str, address: Option<&str>, peer: Option<IpAddr>) -> Presence {
        let nodes = match (address, peer) {
            (Some(address), _) => self.state.clients_at(profile, &canonical_node_id(address)),
            (None, Some(peer)) => self.state.clients_from(profile, &peer.to_string()),
            (None, None) => Vec::new(),
        };
        let nodes = nodes.into_iter().map(|(node_id, node)| {
            node.watches.fetch_add(1, Ordering::Relaxed);
            NodeSession::new(self.clone(), profile, &node_id, node)
        });
        Presence(nodes.collect())
    }
}

impl Presence {
    /// The clients kept online.
    pub fn clients(&self) -> &[NodeSession] {
        &self.0
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        for client in &self.0 {
            client.node.watches.fetch_sub(1, Ordering::Relaxed);
            client.node.seen(client.pilothouse().clock().now());
        }
    }
}

/// The most bytes of a label in a node id.
const LONGEST_LABEL: usize = 63;

/// The node id of an Apollo client: its address, or address and label; of a label of more than 63 bytes a digest.
pub fn apollo_node_id(address: &str, label: &str) -> String {
    let address = canonical_node_id(address);
    if label.is_empty() {
        return address.into_owned();
    }
    if label.len() <= LONGEST_LABEL {
        return format!("{address}/{label}");
    }
    let digest = digest(&[label]);
    format!("{address}/~{}", &digest[..32])
}

impl NodeSession {
    /// Whether this content of a namespace was sent to the client.
    pub fn was_sent(&self, content: &NamespaceContent) -> bool {
        lock(&self.node.sent_namespaces).iter().any(|(tag, _)| *tag == content.tag)
    }

    /// Records that this content was sent to the client; or that the client showed to hold it already, which is all that
    /// Apollo's protocol can prove of having applied it.
    pub fn record_namespace(&self, content: &NamespaceContent, holds: bool) {
        let mut sent = lock(&self.node.sent_namespaces);
        if sent.contains(&(content.tag, holds)) {
            return;
        }
        if sent.len() >= MAX_SENT_NAMESPACES {
            sent.remove(0);
        }
        sent.push((content.tag, holds));
        drop(sent);
        let at = self.pilothouse().clock().monotonic();
        let reports = self.pilothouse().reports();
        let releases: BTreeSet<ReleaseId> = content.items.iter().map(|(_, item)| item.set).collect();
        reports.sent(releases.into_iter(), self.node.number, at);
        if holds {
            let (result, message) = (AckResult::Applied, String::new());
            let ack = BufferedAck { part: ReleaseId::UNSAVED, is_removal: false, result, message, at };
            let acks = content.items.iter().map(|(_, item)| {
                let ack = BufferedAck { part: item.release, ..ack.clone() };
                (item.set, ack)
            });
            self.record_acks(&self.app().snapshot(), acks);
        }
    }
}
