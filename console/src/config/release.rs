//! `…/releases/{id}`: a rollout, live, and its end.

use std::borrow::Borrow;

use askama::Template;
use axum::response::Response;
use pilothouse_core::config::{
    NodePage, NodeRollout, NodeState, ReleaseId, ReleaseKind, ReleaseState, RolloutStatus,
};
use serde::Deserialize;

use crate::config::Place;
use crate::failure::{Answer, Failure};
use crate::form::{Form, Query, Segments};
use crate::live::{Fragment, still_in, stream};
use crate::page::{Page, Visitor, html};

/// The most nodes of one page. Of a large rollout those with problems come first.
const ROWS: usize = 200;

/// Place of a release in the path.
#[derive(Deserialize)]
pub(crate) struct ReleasePath {
    pub(super) app: String,
    pub(super) profile: String,
    pub(super) id: i64,
}

/// Part of the nodes that is shown.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct Shown {
    /// `problems` or `applied`; else all.
    #[serde(default)]
    show: String,
}

#[derive(Template)]
#[template(path = "release.html")]
struct ReleasePage {
    page: Page,
    place: Place,
    status: RolloutStatus,
    shown: Shown,
    body: String,
    may_decide: bool,
    /// Whether the caller may take a full release back.
    may_roll_back: bool,
}

/// Part of the page that changes while nodes answer.
#[derive(Template)]
#[template(path = "release_live.html")]
struct Live<'a> {
    page: Page,
    /// Path of the profile.
    here: String,
    status: &'a RolloutStatus,
    more: usize,
}

impl Live<'_> {
    fn count(&self, state: impl Borrow<NodeState>) -> usize {
        count(self.status, *state.borrow())
    }
}

/// Whether a node has not what it should, or says why.
fn is_problem(node: &NodeRollout) -> bool {
    node.state != NodeState::Applied
}

/// States in the order in which nodes are shown: those with problems first.
const SHOWN_FIRST: [NodeState; 6] = [
    NodeState::Rejected,
    NodeState::Failed,
    NodeState::Sent,
    NodeState::Pending,
    NodeState::Offline,
    NodeState::Applied,
];

impl Shown {
    fn passes(&self, state: NodeState) -> bool {
        match &*self.show {
            "problems" => state != NodeState::Applied,
            "applied" => state == NodeState::Applied,
            _ => true,
        }
    }
}

/// The status with at most [`ROWS`] of its nodes. Of more nodes than that only those are asked for which are shown.
async fn status_with_rows(visitor: &Visitor, id: i64, shown: &Shown) -> Result<RolloutStatus, Failure> {
    let (rollouts, id) = (visitor.pilothouse().rollouts(), ReleaseId(id));
    let page = |state, count| NodePage { state, start: 0, count };
    let mut status = rollouts.status_page(&visitor.caller, id, page(None, ROWS)).await?;
    if status.rollout.targets <= ROWS {
        status.nodes.retain(|node| shown.passes(node.state));
        status.nodes.sort_by_key(|node| (!is_problem(node), std::cmp::Reverse(node.acked)));
        return Ok(status);
    }
    status.nodes.clear();
    for state in SHOWN_FIRST.into_iter().filter(|state| shown.passes(*state)) {
        let wanted = ROWS - status.nodes.len();
        if wanted > 0 && count(&status, state) > 0 {
            let page = page(Some(state), wanted);
            status.nodes.extend(rollouts.status_page(&visitor.caller, id, page).await?.nodes);
        }
    }
    Ok(status)
}

/// Number of nodes in a state.
fn count(status: &RolloutStatus, state: NodeState) -> usize {
    let at = NodeState::ALL.iter().position(|known| *known == state).unwrap_or_default();
    status.rollout.counts[at]
}

/// The part of the page that changes.
async fn fragment(
    visitor: &Visitor,
    place: &Place,
    status: &RolloutStatus,
    shown: &Shown,
) -> Result<Fragment, Failure> {
    let is_final = status.rollout.release.state != ReleaseState::Active;
    let passing = NodeState::ALL.into_iter().filter(|state| shown.passes(*state));
    let passing: usize = passing.map(|state| count(status, state)).sum();
    let more = passing.saturating_sub(status.nodes.len());
    let page = visitor.page("").await?;
    let html = Live { page, here: place.path(), status, more }.render()?;
    Ok(Fragment { html, is_final })
}

/// Refuses a release that is not of an item of that profile.
pub(super) async fn require_in(visitor: &Visitor, place: &Place, id: i64) -> Result<(), Failure> {
    let rollouts = visitor.pilothouse().rollouts();
    Ok(rollouts.require_in(&visitor.caller, (&place.app, &place.profile), ReleaseId(id)).await?)
}

/// The page.
pub(crate) async fn get_release(
    visitor: Visitor,
    Segments(ReleasePath { app, profile, id }): Segments<ReleasePath>,
    Query(shown): Query<Shown>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    require_in(&visitor, &place, id).await?;
    let status = status_with_rows(&visitor, id, &shown).await?;
    let body = fragment(&visitor, &place, &status, &shown).await?.html;
    let release = &status.rollout.release;
    let is_open = release.kind == ReleaseKind::Grey && release.state == ReleaseState::Active;
    let may_decide = place.manages && is_open;
    let is_full = release.kind == ReleaseKind::Full && release.state == ReleaseState::Active;
    let may_roll_back = place.manages && is_full;
    let title = format!("{} #{id} · {}", visitor.t.release, status.rollout.key);
    let page = visitor.page(title).await?;
    html(&ReleasePage { page, place, status, shown, body, may_decide, may_roll_back })
}

/// The rollout as it goes on.
pub(crate) async fn get_live(
    visitor: Visitor,
    Segments(ReleasePath { app, profile, id }): Segments<ReleasePath>,
    Query(shown): Query<Shown>,
) -> Result<Response, Failure> {
    let place = Place::of(&visitor, app, profile).await?;
    require_in(&visitor, &place, id).await?;
    let console = visitor.visit.console.clone();
    let of = std::sync::Arc::new((visitor, place, shown));
    Ok(stream(&console, move || {
        let of = of.clone();
        Box::pin(async move {
            let (visitor, place, shown) = &*of;
            still_in(visitor).await?;
            fragment(visitor, place, &status_with_rows(visitor, id, shown).await?, shown).await
        })
    }))
}

/// A form without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

/// Whether nodes that refuse a grey release are overlooked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Promote {
    #[serde(default)]
    force: bool,
}

/// Makes a grey release the full one.
pub(crate) async fn post_promote(
    visitor: Visitor,
    Segments(ReleasePath { app, profile, id }): Segments<ReleasePath>,
    Form(Promote { force }): Form<Promote>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let releases = visitor.pilothouse().releases();
    let released = releases.promote(&visitor.caller, ReleaseId(id), force).await?;
    Ok(visitor.done(&format!("{}/releases/{}", place.path(), released.release), "saved"))
}

/// Takes a grey release back.
pub(crate) async fn post_abort(
    visitor: Visitor,
    Segments(ReleasePath { app, profile, id }): Segments<ReleasePath>,
    Form(Empty {}): Form<Empty>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    visitor.pilothouse().releases().abort(&visitor.caller, ReleaseId(id)).await?;
    Ok(visitor.done(&format!("{}/releases/{id}", place.path()), "saved"))
}
