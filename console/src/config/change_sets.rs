//! `…/changesets`: the change sets of a profile, newest first.

use askama::Template;
use pilothouse_core::config::{ChangeSet, ChangeSetState};
use pilothouse_core::{Error, Listing, Order, Page as CorePage};
use serde::Deserialize;

use crate::config::Place;
use crate::failure::Answer;
use crate::form::{Query, Segments, filled};
use crate::page::{Names, Page, Visitor, html, last_of_full};

/// Change sets of one page.
const ROWS: i64 = 50;

/// Part of the list that is shown.
#[derive(Deserialize)]
pub(crate) struct Shown {
    /// State by its name; empty for all.
    #[serde(default)]
    state: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "change_sets.html")]
struct ChangeSetsPage {
    page: Page,
    place: Place,
    shown: Shown,
    rows: Vec<ChangeSet>,
    names: Names,
    /// Id before which the next page goes on.
    next: Option<i64>,
}

/// The list.
pub(crate) async fn get_change_sets(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Query(shown): Query<Shown>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let wrong = || Error::invalid("state", "must be draft, approved, released or discarded");
    let state = filled(&shown.state).map(|name| ChangeSetState::from_name(name).ok_or_else(wrong));
    let state = state.transpose()?;
    let rows = CorePage { order: Order::Newest, ..CorePage::at(0, ROWS).before(shown.before)? };
    let sets = visitor.pilothouse().change_sets();
    let list = sets.list(&visitor.caller, (&place.app, &place.profile), state, rows).await?;
    let Listing { rows, .. } = list;
    let next = last_of_full(&rows, ROWS).map(|last| last.id.0);
    let ids = rows.iter().flat_map(|set| [Some(set.author), set.approver]).flatten();
    let names = Names::of(&visitor, ids.collect()).await?;
    let title = format!("{} / {} · {}", place.app, place.profile, visitor.t.config().change_sets);
    let page = visitor.page(title).await?;
    html(&ChangeSetsPage { page, place, shown, rows, names, next })
}
