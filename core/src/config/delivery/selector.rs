//! Grey selection: the nodes that a grey release is for.

use std::collections::{BTreeSet, HashSet};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::node::{Node, canonical_node_id, check_label, check_node_id};
use crate::config::identifier::ItemId;
use crate::{Error, Result, check_text};

/// Selection of the nodes to publish to; all of them if no field is set. Fields narrow: of these nodes, those with
/// these labels, of them this share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// These nodes, which may be offline.
    pub nodes: Option<NodeIds>,
    /// That share of the nodes, rounded up.
    pub percent: Option<Percent>,
    /// The nodes with all of these labels.
    pub labels: Option<LabelSelector>,
    /// Whether a selection stays one, also where it names all the nodes that are online; selects nothing by itself.
    pub stays_grey: bool,
}

/// Ids of nodes, at least one: on the wire separated by commas, at most 65,536 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIds(BTreeSet<String>);

impl FromStr for NodeIds {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check_text("nodes", text, 0, 1 << 16, false)?;
        let ids = listed(text);
        if ids.clone().any(str::is_empty) {
            return Err(Error::invalid("nodes", "must be node ids separated by commas"));
        }
        ids.clone().try_for_each(|node| check_node_id("nodes", node))?;
        Ok(Self(ids.map(|node| canonical_node_id(node).into_owned()).collect()))
    }
}

/// The parts of a list, without blanks around them and without the comma that some programs put at its end.
fn listed(text: &str) -> impl Iterator<Item = &str> + Clone {
    let text = text.trim();
    text.strip_suffix(',').unwrap_or(text).split(',').map(str::trim)
}

impl NodeIds {
    /// The ids, each once, in their order.
    pub fn as_set(&self) -> &BTreeSet<String> {
        &self.0
    }
}

/// Share of the nodes, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u8);

impl TryFrom<i64> for Percent {
    type Error = Error;

    fn try_from(percent: i64) -> Result<Self> {
        let percent = u8::try_from(percent).ok().filter(|percent| (1..=100).contains(percent));
        percent.map(Self).ok_or_else(|| Error::invalid("percent", "must be from 1 to 100"))
    }
}

/// Labels that a node must all have, at least one: on the wire `name:value`, separated by commas, at most 4096 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector(Vec<Label>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Label {
    name: String,
    value: String,
}

impl FromStr for LabelSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check_text("labels", text, 0, 4096, false)?;
        let label = |text: &str| match text.split_once(':') {
            Some((name, value)) if !name.is_empty() => {
                check_label(name, value)?;
                Ok(Label { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(Error::invalid("labels", "must be name:value pairs separated by commas")),
        };
        listed(text).map(label).collect::<Result<_>>().map(Self)
    }
}

impl LabelSelector {
    fn matches(&self, node: &Node) -> bool {
        self.0.iter().all(|label| node.labels.get(&label.name) == Some(&label.value))
    }
}

impl Selector {
    /// Whether it selects every node, also those that appear later.
    pub(super) fn is_full(&self) -> bool {
        self.nodes.is_none() && self.percent.is_none() && self.labels.is_none()
    }

    /// Whether it does no more than name every node that is online, of which there is at least one.
    pub(super) fn names_all_online(&self, nodes: &[Node], now: DateTime<Utc>) -> bool {
        let Some(NodeIds(names)) = &self.nodes else { return false };
        let online = nodes.iter().filter(|node| node.is_online(now)).map(|node| &node.node_id);
        self.percent.is_none() && self.labels.is_none() && names.iter().eq(online.collect::<BTreeSet<_>>())
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
            Some(NodeIds(names)) => {
                let known: HashSet<&str> = nodes.iter().map(|node| &*node.node_id).collect();
                if let Some(unknown) = names.iter().find(|name| !known.contains(&***name)) {
                    return Err(Error::not_found(format!("the node {unknown}")));
                }
                nodes.iter().filter(|node| names.contains(&node.node_id)).collect()
            }
            None => {
                // One that left for a restart comes back to what it was in.
                let candidate = |node: &&Node| node.is_online(now) || held.contains(&*node.node_id);
                nodes.iter().filter(candidate).collect()
            }
        };
        if let Some(labels) = &self.labels {
            chosen.retain(|node| labels.matches(node));
        }
        if let Some(Percent(percent)) = self.percent {
            chosen.sort_by_cached_key(|node| (!held.contains(&*node.node_id), rank(item, &node.node_id)));
            let share = chosen.len() * usize::from(percent);
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
    Sha256::new().chain_update(item.0.to_le_bytes()).chain_update(node_id).finalize().into()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::config::{AppId, NodeNumber};

    fn node(n: i64) -> Node {
        Node {
            number: NodeNumber(n),
            app: AppId(1),
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
        selector.choose(ItemId(7), nodes, &held, DateTime::default())
    }

    fn percent(percent: i64) -> Selector {
        Selector { percent: Some(percent.try_into().unwrap()), ..Selector::default() }
    }

    #[test]
    fn node_ids_are_separated_by_commas() {
        for nodes in ["11,a/b,11", " 11 , a/b", "11,a/b,", "a/b,11 , "] {
            let parsed: NodeIds = nodes.parse().unwrap();
            assert_eq!(parsed.0.into_iter().collect::<Vec<_>>(), ["11", "a/b"], "{nodes:?}");
        }
        let refused = |nodes: &str| nodes.parse::<NodeIds>().unwrap_err().to_string();
        for nodes in ["", ",", ",11", "11,,", "11,,22"] {
            assert_eq!(refused(nodes), "nodes: must be node ids separated by commas");
        }
        assert_eq!(refused(&"x,".repeat(40_000)), "nodes: must be at most 65536 bytes, not 80000");
        assert_eq!(refused(&format!("11,{}", "x".repeat(129))), "nodes: must be at most 128 bytes, not 129");
        assert_eq!(refused("11,a b"), "nodes: may hold only printable ASCII without blank and comma");
        assert_eq!(refused("11\n"), "nodes: must not hold the control character U+000A");
    }

    #[test]
    fn a_share_is_from_1_to_100_percent() {
        for right in [1, 100] {
            assert_eq!(i64::from(Percent::try_from(right).unwrap().0), right);
        }
        for wrong in [0, 101, -1, 257, i64::MIN] {
            assert_eq!(Percent::try_from(wrong).unwrap_err().to_string(), "percent: must be from 1 to 100");
        }
    }

    #[test]
    fn labels_are_pairs_separated_by_commas() {
        let parsed: LabelSelector = "zone:a,label:b:c,empty:".parse().unwrap();
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        assert_eq!(parsed.0, [label("zone", "a"), label("label", "b:c"), label("empty", "")]);
        let refused = |labels: &str| labels.parse::<LabelSelector>().unwrap_err().to_string();
        for labels in ["", "zone", ":b", "zone:a,,", "zone:a,,b:c"] {
            assert_eq!(refused(labels), "labels: must be name:value pairs separated by commas");
        }
        assert_eq!(refused("a b:c"), "labels: may hold only names of A-Z, a-z, 0-9, ., _, / and -");
        assert_eq!(refused(&format!("a:{}", "x".repeat(129))), "labels: must be at most 128 bytes, not 129");
        assert_eq!(refused(&"a:b,".repeat(1025)), "labels: must be at most 4096 bytes, not 4100");
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
            nodes: Some("node-1,node-2,node-3,node-1".parse().unwrap()),
            labels: Some("parity:1".parse().unwrap()),
            ..Selector::default()
        };
        nodes[3].lease_until = DateTime::default();
        assert_eq!(
            choose(&selector, &nodes, &[]).unwrap(),
            ["node-1", "node-3"],
            "named nodes may be offline"
        );
        let labels = Selector { labels: Some("parity:1".parse().unwrap()), ..Selector::default() };
        assert_eq!(choose(&labels, &nodes, &[]).unwrap(), ["node-1", "node-5", "node-7", "node-9"]);
        let half = Selector { percent: percent(50).percent, ..labels.clone() };
        assert_eq!(choose(&half, &nodes, &[]).unwrap().len(), 2);
        let nobody = Selector { labels: Some("parity:2".parse().unwrap()), ..Selector::default() };
        let refused = choose(&nobody, &nodes, &[]).unwrap_err().to_string();
        assert_eq!(refused, "labels: selects no node that is online");
        let unknown = Selector { nodes: Some("node-1,zz,nobody".parse().unwrap()), ..Selector::default() };
        assert_eq!(choose(&unknown, &nodes, &[]).unwrap_err().to_string(), "the node nobody does not exist");
        nodes[1].left = true;
        assert_eq!(choose(&labels, &nodes, &[]).unwrap(), ["node-5", "node-7", "node-9"]);
    }
}
