//! `…/changesets/{id}`: what a change set changes; its approval, release and withdrawal.

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use pilothouse_core::config::{
    ChangeAction, ChangeSet, ChangeSetId, ChangeSetState, ItemDiff, NewReleaseSet, Node, Preview, Release,
    ReleaseContent, ReleaseId, ReleaseState,
};
use pilothouse_core::{Error, Page as CorePage, Result};
use serde::Deserialize;

use crate::config::Place;
use crate::config::diff::{DiffLine, lines};
use crate::config::publish::{Chosen, NODES};
use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query, Segments};
use crate::page::{Names, Page, Visitor, html, html_again};

/// Items of one page.
const ROWS: usize = 100;
/// Releases of a key that are looked at for that of a change set.
const LOOKED_AT: i64 = 20;

/// Place of a change set in the path.
#[derive(Deserialize)]
pub(crate) struct SetPath {
    app: String,
    profile: String,
    id: i64,
}

/// Part of the items that is shown.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    start: usize,
}

/// Nodes, as they are chosen in the form.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    #[serde(default)]
    to: String,
    #[serde(default)]
    percent: String,
    #[serde(default)]
    labels: String,
    #[serde(default)]
    nodes: String,
}

impl Choice {
    fn chosen(&self) -> Chosen<'_> {
        let Self { to, percent, labels, nodes } = self;
        Chosen { to, percent, labels, nodes }
    }
}

/// Page that a form leads to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Next {
    /// `inbox`; else the change set.
    #[serde(default)]
    then: String,
}

/// An item with the difference that the set makes to it.
struct ItemRow {
    of: ItemDiff,
    lines: Vec<DiffLine>,
}

/// Actions on a set that the caller may take in its present state.
struct Rights {
    may_approve: bool,
    may_publish: bool,
    may_discard: bool,
}

impl Rights {
    fn of(place: &Place, set: &ChangeSet, visitor: &Visitor) -> Self {
        let own = set.author == visitor.caller.id;
        let is_draft = set.state == ChangeSetState::Draft;
        let may_approve = place.manages && is_draft && !(place.four_eyes && own);
        Self {
            may_approve,
            may_publish: place.manages && set.state == ChangeSetState::Approved || may_approve,
            may_discard: is_draft || set.state == ChangeSetState::Approved,
        }
    }
}

#[derive(Template)]
#[template(path = "change_set.html")]
struct ChangeSetPage {
    page: Page,
    place: Place,
    set: ChangeSet,
    rows: Vec<ItemRow>,
    names: Names,
    /// Start of the next page of items.
    next: Option<usize>,
    /// The newest release of the set.
    release: Option<Release>,
    /// Whether items have pages of their own: those that the set created are gone with it.
    has_items: bool,
    rights: Rights,
    choice: Choice,
    preview: Option<Preview>,
    nodes: Vec<Node>,
    online: usize,
    approves: bool,
}

impl ChangeSetPage {
    /// Path of the set below the console's prefix.
    fn path(&self) -> String {
        format!("{}/changesets/{}", self.place.path(), self.set.id)
    }
}

/// A change set that must be of that profile, with what it changes.
async fn find(visitor: &Visitor, place: &Place, id: i64) -> Result<(ChangeSet, Vec<ItemDiff>)> {
    let found = visitor.pilothouse().change_sets().get(&visitor.caller, ChangeSetId(id)).await?;
    if found.app != place.app || found.set.profile != place.profile {
        return Err(Error::not_found("the change set"));
    }
    Ok((found.set, found.items))
}

/// The newest release of a set, among those of its first key.
async fn release_of(visitor: &Visitor, place: &Place, id: ChangeSetId, key: &str) -> Result<Option<Release>> {
    let rollouts = visitor.pilothouse().rollouts();
    let page = CorePage::at(0, LOOKED_AT);
    let list = rollouts.list(&visitor.caller, &place.app, &place.profile, Some(key), page).await?;
    let mut releases = list.into_iter().map(|rollout| rollout.release);
    Ok(releases.find(|release| release.change_set == Some(id)))
}

async fn page(
    visitor: &Visitor,
    place: Place,
    id: i64,
    (start, choice): (usize, Choice),
) -> Result<ChangeSetPage, Failure> {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let (set, mut items) = find(visitor, &place, id).await?;
    items.sort_by(|one, other| one.item.key.cmp(&other.item.key));
    let (state, size) = (set.state, items.len());
    let release = match items.first() {
        Some(first) if state == ChangeSetState::Released => {
            release_of(visitor, &place, set.id, &first.item.key).await?
        }
        _ => None,
    };
    let rights = Rights::of(&place, &set, visitor);
    let nodes = if rights.may_publish {
        pilothouse.nodes().list(caller, &place.app, &place.profile).await?
    } else {
        Vec::new()
    };
    let online = nodes.len();
    let rows = items.into_iter().skip(start).take(ROWS);
    let rows = rows.map(|of| ItemRow { lines: lines(&of.diff), of }).collect();
    let names = Names::of(visitor, [Some(set.author), set.approver].into_iter().flatten().collect()).await?;
    let title = format!("{} #{id} {}", visitor.t.config().change_set, set.title);
    Ok(ChangeSetPage {
        page: visitor.page(title.trim_end()).await?,
        place,
        set,
        rows,
        names,
        next: Some(start.saturating_add(ROWS)).filter(|next| *next < size),
        release,
        has_items: state != ChangeSetState::Discarded,
        rights,
        choice,
        preview: None,
        nodes: nodes.into_iter().take(NODES).collect(),
        online,
        approves: state == ChangeSetState::Draft,
    })
}

/// The page.
pub(crate) async fn get_change_set(
    visitor: Visitor,
    Segments(SetPath { app, profile, id }): Segments<SetPath>,
    Query(shown): Query<Shown>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    html(&page(&visitor, place, id, (shown.start, Choice::default())).await?)
}

/// Number of nodes that a choice would reach, as the percentage of one of the set's items has it.
async fn preview(visitor: &Visitor, place: &Place, id: i64, choice: &Choice) -> Result<Option<Preview>> {
    let selector = choice.chosen().selector()?;
    let (_, items) = find(visitor, place, id).await?;
    let mut items: Vec<_> = items.into_iter().map(|of| of.item).collect();
    items.sort_unstable_by_key(|of| of.item);
    for of in items {
        match visitor.pilothouse().releases().preview(&visitor.caller, &place.item(&of.key), &selector).await
        {
            Ok(preview) => return Ok(Some(preview)),
            // Its key is gone already.
            Err(Error::NotFound(_)) if of.action == ChangeAction::Delete => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The page with how many nodes a choice would reach.
pub(crate) async fn get_publish(
    visitor: Visitor,
    Segments(SetPath { app, profile, id }): Segments<SetPath>,
    Query(choice): Query<Choice>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let preview = match preview(&visitor, &place, id, &choice).await {
        Ok(preview) => preview,
        Err(error) => return again(&visitor, place, id, choice, error).await,
    };
    let shown = page(&visitor, place, id, (0, choice)).await?;
    html(&ChangeSetPage { preview, ..shown })
}

/// The page with what is wrong, where that can be corrected.
async fn again(visitor: &Visitor, place: Place, id: i64, choice: Choice, error: Error) -> Answer {
    if !is_correctable(&error) && !matches!(error, Error::NotFound(_)) {
        return Err(error.into());
    }
    let mut shown = page(visitor, place, id, (0, choice)).await?;
    shown.page = shown.page.with_problem(&error);
    html_again(&shown, &error)
}

/// Publishes the set, and approves it before where nobody has. Leads to the rollout.
pub(crate) async fn post_publish(
    visitor: Visitor,
    Segments(SetPath { app, profile, id }): Segments<SetPath>,
    Form(choice): Form<Choice>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    match publish(&visitor, &place, id, &choice).await {
        Ok(release) => {
            let prefix = &visitor.visit.console.settings.prefix;
            Ok(Redirect::to(&format!("{prefix}{}/releases/{release}", place.path())).into_response())
        }
        Err(error) => again(&visitor, place, id, choice, error).await,
    }
}

async fn publish(visitor: &Visitor, place: &Place, id: i64, choice: &Choice) -> Result<ReleaseId> {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let selector = choice.chosen().selector()?;
    let (set, _) = find(visitor, place, id).await?;
    // Refused before the approval, so that a wrong choice of nodes approves nothing.
    preview(visitor, place, id, choice).await?;
    if set.state == ChangeSetState::Draft {
        pilothouse.change_sets().approve(caller, set.id).await?;
    }
    let new = NewReleaseSet {
        app: place.app.clone(),
        profile: place.profile.clone(),
        content: ReleaseContent::ChangeSet(set.id),
        selector,
        title: String::new(),
    };
    Ok(pilothouse.releases().publish_set(caller, &new).await?.release)
}

/// Approves the set.
pub(crate) async fn post_approve(
    visitor: Visitor,
    Segments(SetPath { app, profile, id }): Segments<SetPath>,
    Form(next): Form<Next>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let (set, _) = find(&visitor, &place, id).await?;
    let done = visitor.pilothouse().change_sets().approve(&visitor.caller, set.id).await;
    decided(&visitor, place, id, &next, done.map(|()| "approved")).await
}

/// Takes the set back.
pub(crate) async fn post_discard(
    visitor: Visitor,
    Segments(SetPath { app, profile, id }): Segments<SetPath>,
    Form(next): Form<Next>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let (set, _) = find(&visitor, &place, id).await?;
    let done = visitor.pilothouse().change_sets().discard(&visitor.caller, set.id).await;
    decided(&visitor, place, id, &next, done.map(|()| "saved")).await
}

/// Leads on with a notice, or shows the page with what is wrong.
async fn decided(
    visitor: &Visitor,
    place: Place,
    id: i64,
    next: &Next,
    notice: Result<&'static str>,
) -> Answer {
    match notice {
        Ok(notice) => Ok(visitor.done(&next.path(&place, id), notice)),
        Err(error) => again(visitor, place, id, Choice::default(), error).await,
    }
}

impl Next {
    fn path(&self, place: &Place, id: i64) -> String {
        match &*self.then {
            "inbox" => "/inbox".to_owned(),
            _ => format!("{}/changesets/{id}", place.path()),
        }
    }
}
