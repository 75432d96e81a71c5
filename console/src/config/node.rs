//! `…/nodes/node?id=`: a node, what it holds beside what it should hold, and the releases that it was given.

use askama::Template;
use pilothouse_core::config::{AckResult, NodeDetail, NodeItem, NodeState};
use serde::Deserialize;

use crate::config::Place;
use crate::config::nodes::labels;
use crate::failure::Answer;
use crate::form::{Query, Segments};
use crate::page::{Page, Visitor, html};

/// Node by its id, and the part of its keys that is shown.
#[derive(Deserialize)]
pub(crate) struct NodeQuery {
    id: String,
    /// `problems` for keys that are not as they should be; else all.
    #[serde(default)]
    show: String,
}

#[derive(Template)]
#[template(path = "node.html")]
struct NodePage {
    page: Page,
    place: Place,
    node: NodeDetail,
    only_problems: bool,
    /// Number of keys that the node should hold, or holds beside them.
    keys: usize,
    /// Number of those whose version is another than it should be.
    drifted: usize,
    /// Keys that are not shown.
    more: usize,
}

/// The most keys of the page, of which those with problems come first.
const ROWS: usize = 1000;

/// Whether a node has not acknowledged that it holds what it should.
fn is_problem(item: &NodeItem) -> bool {
    let is_refused = item.ack.as_ref().is_some_and(|ack| ack.result != AckResult::Applied);
    item.has_drifted || item.version != item.expected || is_refused
}

/// Page of a registered node, online or not.
pub(crate) async fn get_node(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Query(NodeQuery { id, show }): Query<NodeQuery>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let nodes = visitor.pilothouse().nodes();
    let mut node = nodes.detail(&visitor.caller, (&place.app, &place.profile), &id).await?;
    let keys = node.items.len();
    let drifted = node.items.iter().filter(|item| item.has_drifted).count();
    let only_problems = show == "problems";
    node.items.retain(|item| !only_problems || is_problem(item));
    node.items.sort_by_key(|item| !is_problem(item));
    let more = node.items.len().saturating_sub(ROWS);
    node.items.truncate(ROWS);
    let page = visitor.page(format!("{} {}", visitor.t.node, node.node.node_id)).await?;
    html(&NodePage { page, place, node, only_problems, keys, drifted, more })
}
