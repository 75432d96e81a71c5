//! Which nodes a grey release is for.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::node::{check_label, check_node_id};
use super::{ItemId, Node};
use crate::{Error, Result, check_text};

/// Which nodes to publish to; with nothing given, all. What is given narrows: of these nodes, those with these labels,
/// of them this share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Node ids, separated by commas: at most 65,536 bytes.
    pub nodes: Option<String>,
    /// That share of the nodes, 1 to 100, rounded up.
    pub percent: Option<i64>,
    /// The nodes with all of these labels: `name:value`, separated by commas, at most 4096 bytes.
    pub labels: Option<String>,
}

impl Selector {
    /// Whether it selects every node, also those that appear later.
    pub fn is_full(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some(nodes) = &self.nodes {
            check_text("nodes", nodes, 0, 1 << 16, false)?;
            if nodes.split(',').any(str::is_empty) {
                return Err(Error::invalid("nodes", "must be node ids separated by commas"));
            }
            nodes.split(',').try_for_each(|node| check_node_id("nodes", node))?;
        }
        if self.percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
            return Err(Error::invalid("percent", "must be from 1 to 100"));
        }
        if let Some(labels) = &self.labels {
            check_text("labels", labels, 0, 4096, false)?;
            for label in labels.split(',') {
                match label.split_once(':') {
                    Some((name, value)) if !name.is_empty() => check_label(name, value)?,
                    _ => {
                        return Err(Error::invalid("labels", "must be name:value pairs separated by commas"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The ids of the nodes it selects of those registered, sorted. `held` are those of the grey release that this one
    /// takes the place of: they stay as long as there is room, so that a share that grows only adds nodes.
    ///
    /// Nodes that are named may be offline. A share, or labels without names, select of those that are online or held.
    /// Refused are a name that nobody registered, and a selection of nobody.
    pub(super) fn choose(
        &self,
        item: ItemId,
        nodes: &[Node],
        held: &HashSet<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<String>> {
        let mut chosen: Vec<&Node> = match &self.nodes {
            Some(names) => {
                let names: HashSet<&str> = names.split(',').collect();
                let known: HashSet<&str> = nodes.iter().map(|node| &*node.node_id).collect();
                // The first in the order given would do, but the smallest is the same every time.
                if let Some(unknown) = names.iter().filter(|name| !known.contains(*name)).min() {
                    return Err(Error::not_found(format!("the node {unknown}")));
                }
                nodes.iter().filter(|node| names.contains(&*node.node_id)).collect()
            }
            None => {
                // One that left for a restart comes back to what it was in.
                let candidate = |node: &&Node| node.is_online(now) || held.contains(&*node.node_id);
                nodes.iter().filter(candidate).collect()
            }
        };
        if let Some(labels) = &self.labels {
            let labels: Vec<(&str, &str)> =
                labels.split(',').filter_map(|label| label.split_once(':')).collect();
            chosen.retain(|node| {
                labels.iter().all(|(name, value)| node.labels.get(*name).is_some_and(|held| held == value))
            });
        }
        if let Some(percent) = self.percent {
            chosen.sort_by_cached_key(|node| (!held.contains(&*node.node_id), rank(item, &node.node_id)));
            let share = chosen.len() * usize::try_from(percent).unwrap_or(100);
            chosen.truncate(share.div_ceil(100));
        }
        if chosen.is_empty() {
            let field = if self.labels.is_some() { "labels" } else { "percent" };
            return Err(Error::invalid(field, "selects no node that is online"));
        }
        let mut ids: Vec<String> = chosen.into_iter().map(|node| node.node_id.clone()).collect();
        ids.sort();
        Ok(ids)
    }
}

/// A node's place among those that a share of an item is taken from: always the same, and another for another item, so
/// that it is not always the same nodes that go first.
fn rank(item: ItemId, node_id: &str) -> [u8; 32] {
    Sha256::new().chain_update(item.to_le_bytes()).chain_update(node_id).finalize().into()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn node(n: i64) -> Node {
        Node {
            number: n,
            app: 1,
            profile: "dev".into(),
            node_id: format!("node-{n}"),
            pid: String::new(),
            ip: None,
            labels: [("parity".to_owned(), (n % 2).to_string())].into(),
            register_time: DateTime::default(),
            lease_until: DateTime::default() + TimeDelta::seconds(1),
            left: false,
        }
    }

    fn choose(selector: &Selector, nodes: &[Node], held: &[String]) -> Result<Vec<String>> {
        let held = held.iter().map(String::as_str).collect();
        selector.choose(7, nodes, &held, DateTime::default())
    }

    fn percent(percent: i64) -> Selector {
        Selector { percent: Some(percent), ..Selector::default() }
    }

    #[test]
    fn a_selector_names_what_is_wrong() {
        let refused = |selector: Selector| selector.check().unwrap_err().to_string();
        for nodes in ["", ",", "11,", "11,,22"] {
            let selector = Selector { nodes: Some(nodes.into()), ..Selector::default() };
            assert_eq!(refused(selector), "nodes: must be node ids separated by commas");
        }
        let long = Selector { nodes: Some("x,".repeat(40_000)), ..Selector::default() };
        assert_eq!(refused(long), "nodes: must be at most 65536 bytes, not 80000");
        for wrong in [0, 101, -1] {
            assert_eq!(refused(percent(wrong)), "percent: must be from 1 to 100");
        }
        for labels in ["", "zone", ":b", "zone:a,"] {
            let selector = Selector { labels: Some(labels.into()), ..Selector::default() };
            assert_eq!(refused(selector), "labels: must be name:value pairs separated by commas");
        }
    }

    #[test]
    fn a_growing_share_only_adds_nodes_also_where_others_come_and_go() {
        let mut nodes: Vec<_> = (0..95).map(node).collect();
        let mut held = Vec::new();
        for (share, expected) in [(10, 10), (50, 50), (51, 53), (100, 107)] {
            let chosen = choose(&percent(share), &nodes, &held).unwrap();
            assert_eq!(chosen.len(), expected);
            assert!(held.iter().all(|node| chosen.contains(node)), "{share}");
            held = chosen;
            let more = i64::try_from(nodes.len()).unwrap();
            nodes.extend((more..more + 4).map(node));
            // One that was chosen goes offline, and is not left behind.
            nodes.iter_mut().find(|node| node.node_id == held[0]).unwrap().lease_until = DateTime::default();
        }
        let fewer = choose(&percent(10), &nodes, &held).unwrap();
        assert!(fewer.iter().all(|node| held.contains(node)));
        assert_eq!(choose(&percent(1), &[node(0)], &[]).unwrap(), ["node-0"], "rounded up");
    }

    #[test]
    fn names_labels_and_shares_narrow_each_other() {
        let mut nodes: Vec<_> = (0..10).map(node).collect();
        let selector = Selector {
            nodes: Some("node-1,node-2,node-3,node-1".into()),
            labels: Some("parity:1".into()),
            percent: None,
        };
        nodes[3].lease_until = DateTime::default();
        assert_eq!(
            choose(&selector, &nodes, &[]).unwrap(),
            ["node-1", "node-3"],
            "named nodes may be offline"
        );
        let labels = Selector { labels: Some("parity:1".into()), ..Selector::default() };
        assert_eq!(choose(&labels, &nodes, &[]).unwrap(), ["node-1", "node-5", "node-7", "node-9"]);
        let half = Selector { percent: Some(50), ..labels.clone() };
        assert_eq!(choose(&half, &nodes, &[]).unwrap().len(), 2);
        let nobody = Selector { labels: Some("parity:2".into()), ..Selector::default() };
        let refused = choose(&nobody, &nodes, &[]).unwrap_err().to_string();
        assert_eq!(refused, "labels: selects no node that is online");
        let unknown = Selector { nodes: Some("node-1,zz,nobody".into()), ..Selector::default() };
        assert_eq!(choose(&unknown, &nodes, &[]).unwrap_err().to_string(), "the node nobody does not exist");
        nodes[1].left = true;
        assert_eq!(choose(&labels, &nodes, &[]).unwrap(), ["node-5", "node-7", "node-9"]);
    }
}
