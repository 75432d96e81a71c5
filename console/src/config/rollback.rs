//! `…/releases/{id}/rollback`: what taking a full release back would do, and doing it.

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use pilothouse_core::config::{ReleaseId, RolledBackItem};

use crate::config::Place;
use crate::config::diff::{DiffLine, lines};
use crate::config::release::{Empty, ReleasePath, require_in};
use crate::failure::Answer;
use crate::form::{Form, Segments};
use crate::page::{Page, Visitor, html};

/// The most items whose values are compared.
const COMPARED: usize = 50;

#[derive(Template)]
#[template(path = "rollback.html")]
struct RollbackPage {
    page: Page,
    place: Place,
    id: i64,
    items: Vec<ItemBack>,
    /// Items that are not shown.
    more: usize,
}

/// An item with the difference that the rollback makes.
struct ItemBack {
    item: RolledBackItem,
    diff: Vec<DiffLine>,
}

/// The sheet.
pub(crate) async fn get_rollback(
    visitor: Visitor,
    Segments(ReleasePath { app, profile, id }): Segments<ReleasePath>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    require_in(&visitor, &place, id).await?;
    let pilothouse = visitor.pilothouse();
    let mut planned = pilothouse.releases().preview_rollback(&visitor.caller, ReleaseId(id)).await?;
    let more = planned.len().saturating_sub(COMPARED);
    planned.truncate(COMPARED);
    let mut items = Vec::with_capacity(planned.len());
    for item in planned {
        let name = place.item(&item.key);
        let diff = lines(&pilothouse.items().diff(&visitor.caller, &name, item.from, item.to).await?);
        items.push(ItemBack { item, diff });
    }
    let page = visitor.page(format!("{} #{id}", visitor.t.config().roll_back_release)).await?;
    html(&RollbackPage { page, place, id, items, more })
}

/// Takes the release back, and leads to the one that does it.
pub(crate) async fn post_rollback(
    visitor: Visitor,
    Segments(ReleasePath { app, profile, id }): Segments<ReleasePath>,
    Form(Empty {}): Form<Empty>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    require_in(&visitor, &place, id).await?;
    let released = visitor.pilothouse().releases().roll_back(&visitor.caller, ReleaseId(id)).await?;
    let prefix = &visitor.visit.console.settings.prefix;
    let path = format!("{prefix}{}/releases/{}", place.path(), released.release);
    Ok(Redirect::to(&path).into_response())
}
