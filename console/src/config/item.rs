//! `…/item?key=`: one item, its versions, and the difference of any two.

use askama::Template;
use pilothouse_core::config::{HistoryQuery, Item, ItemVersion};
use serde::Deserialize;

use crate::config::Place;
use crate::config::diff::{DiffLine, lines};
use crate::failure::Answer;
use crate::form::{Query, Segments};
use crate::page::{Names, Page, Visitor, html};

/// The item, and two versions that are compared.
#[derive(Deserialize)]
pub(crate) struct ItemQuery {
    key: String,
    from: Option<i64>,
    to: Option<i64>,
}

#[derive(Template)]
#[template(path = "item.html")]
struct ItemPage {
    page: Page,
    place: Place,
    item: Item,
    history: Vec<ItemVersion>,
    names: Names,
    from: i64,
    to: i64,
    diff: Vec<DiffLine>,
    may_publish: bool,
    may_delete: bool,
}

/// The page. Without versions to compare, the published one with the current.
pub(crate) async fn get_item(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Query(query): Query<ItemQuery>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let name = place.item(&query.key);
    let items = visitor.pilothouse().items();
    let item = items.find(&visitor.caller, &name).await?;
    let history = items.history(&visitor.caller, &name, HistoryQuery::default()).await?.rows;
    let to = query.to.unwrap_or(item.current.version);
    let before = history.iter().map(|version| version.version).find(|version| *version < to);
    let published = Some(item.published_version).filter(|version| *version > 0 && *version != to);
    let from = query.from.or(published).or(before).unwrap_or(to);
    let diff =
        if from == to { Vec::new() } else { lines(&items.diff(&visitor.caller, &name, from, to).await?) };
    let ids = history.iter().flat_map(|version| [Some(version.modifier), version.approver]);
    let names = Names::of(&visitor, ids.flatten().collect()).await?;
    let own = item.current.modifier == visitor.caller.id;
    let approvable = item.current.approver.is_some() || !(place.four_eyes && own);
    let may_publish = place.manages && item.current.version != item.published_version && approvable;
    let may_delete = place.manages || item.published_version == 0;
    let page = visitor.page(item.key.clone()).await?;
    html(&ItemPage { page, place, item, history, names, from, to, diff, may_publish, may_delete })
}
