//! `…/nodes`: the nodes of a profile that are online.

use askama::Template;
use pilothouse_core::config::Node;

use crate::config::Place;
use crate::failure::Answer;
use crate::form::Segments;
use crate::page::{Page, Visitor, html};

/// The most nodes of one page.
const ROWS: usize = 1000;

#[derive(Template)]
#[template(path = "nodes.html")]
struct NodesPage {
    page: Page,
    place: Place,
    nodes: Vec<Node>,
    total: usize,
}

/// Labels of a node as grey releases select by them.
pub(super) fn labels(node: &Node) -> String {
    let labels: Vec<_> = node.labels.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    labels.join(", ")
}

/// The list.
pub(crate) async fn get_nodes(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let nodes = visitor.pilothouse().nodes();
    let mut nodes = nodes.list(&visitor.caller, &place.app, &place.profile).await?;
    nodes.sort_by(|one, other| one.node_id.cmp(&other.node_id));
    let total = nodes.len();
    nodes.truncate(ROWS);
    let page = visitor.page(format!("{} / {} · {}", place.app, place.profile, visitor.t.nodes)).await?;
    html(&NodesPage { page, place, nodes, total })
}
