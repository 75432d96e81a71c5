//! `/cdn/edges`: state, debt and log of every edge.

use askama::Template;
use chrono::TimeDelta;
use pilothouse_core::Error;
use pilothouse_core::account::Group;
use pilothouse_core::cdn::{EdgeInfo, EdgeState};

use crate::failure::Answer;
use crate::page::{Page, Visitor, html};

#[derive(Template)]
#[template(path = "edges.html")]
struct EdgesPage {
    page: Page,
    edges: Vec<EdgeInfo>,
}

/// Age of what is said of an edge.
fn seconds(age: &TimeDelta) -> i64 {
    age.num_seconds()
}

/// The list.
pub(crate) async fn get_edges(visitor: Visitor) -> Answer {
    if !visitor.caller.holds(Group::Cdn) {
        return Err(Error::Forbidden.into());
    }
    let mut edges = Vec::new();
    for cdn in visitor.pilothouse().cdns().list(&visitor.caller).await? {
        edges.extend(visitor.pilothouse().edges().list(&visitor.caller, &cdn.name).await?);
    }
    let page = visitor.page(visitor.t.edges).await?;
    html(&EdgesPage { page, edges })
}
