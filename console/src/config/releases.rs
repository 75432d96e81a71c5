//! `…/releases`: the last 100 releases of a profile.

use askama::Template;
use pilothouse_core::Page as CorePage;
use pilothouse_core::config::{NodeState, ReleaseKind, ReleaseState, Rollout};

use crate::config::Place;
use crate::failure::Answer;
use crate::form::Segments;
use crate::page::{Names, Page, Visitor, html};

/// The most releases of the page.
const ROWS: i64 = 100;

#[derive(Template)]
#[template(path = "releases.html")]
struct ReleasesPage {
    page: Page,
    place: Place,
    rollouts: Vec<Rollout>,
    names: Names,
}

/// Number of nodes of a rollout in a state.
fn count(rollout: &Rollout, state: NodeState) -> usize {
    let at = NodeState::ALL.iter().position(|known| *known == state).unwrap_or_default();
    rollout.counts[at]
}

/// Number of nodes of a rollout that could not do it.
fn refused(rollout: &Rollout) -> usize {
    count(rollout, NodeState::Rejected) + count(rollout, NodeState::Failed)
}

/// Whether a rollout can be taken back by another release.
fn is_active_full(rollout: &Rollout) -> bool {
    rollout.release.kind == ReleaseKind::Full && rollout.release.state == ReleaseState::Active
}

/// The list.
pub(crate) async fn get_releases(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let rollouts = visitor.pilothouse().rollouts();
    let rollouts =
        rollouts.list(&visitor.caller, &place.app, &place.profile, None, CorePage::at(0, ROWS)).await?;
    let names =
        Names::of(&visitor, rollouts.iter().map(|rollout| rollout.release.publisher).collect()).await?;
    let page = visitor.page(format!("{} / {} · {}", place.app, place.profile, visitor.t.releases)).await?;
    html(&ReleasesPage { page, place, rollouts, names })
}
