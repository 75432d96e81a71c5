//! `/inbox`: what waits for an approval, a release or the end of a grey release, in all apps that the caller may read.

use std::collections::HashMap;

use askama::Template;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{
    ChangeSet, ContentChange, HistoryQuery, ItemName, PendingChange, PendingGrey, PendingItem, PendingList,
    PendingSubject, Permission, ReleaseId, ReleaseState,
};
use pilothouse_core::{Error, Page as CorePage, Result};
use serde::Deserialize;

use crate::config::Place;
use crate::config::diff::{DiffLine, lines};
use crate::failure::{Answer, Failure};
use crate::form::Form;
use crate::page::{Names, Page, Visitor, html};

/// The most rows of each list.
const ROWS: i64 = 100;
/// The most items of a list whose values are compared.
const COMPARED: usize = 20;

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    page: Page,
    to_approve: Changes,
    to_publish: Changes,
    grey: Vec<GreyRow>,
    has_more_grey: bool,
    names: Names,
}

/// Changes that wait for the same.
struct Changes {
    items: Vec<ItemRow>,
    sets: Vec<SetRow>,
    has_more: bool,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.sets.is_empty()
    }
}

/// An item, with what the caller may do about it.
struct ItemRow {
    place: Place,
    item: PendingItem,
    /// Difference to what is published; empty of those that are not compared.
    diff: Vec<DiffLine>,
    may_approve: bool,
    may_publish: bool,
    may_reject: bool,
}

/// A change set, with what the caller may do about it.
struct SetRow {
    place: Place,
    set: ChangeSet,
    may_approve: bool,
}

/// A grey release.
struct GreyRow {
    place: Place,
    grey: PendingGrey,
}

/// Rights of the caller in each profile, asked once.
struct Places<'a> {
    visitor: &'a Visitor,
    held: HashMap<(String, String), Option<Permission>>,
}

impl Places<'_> {
    async fn of(&mut self, app: &str, profile: &str) -> Result<(Place, Option<Permission>)> {
        let key = (app.to_owned(), profile.to_owned());
        let held = match self.held.get(&key) {
            Some(held) => *held,
            None => {
                let grants = self.visitor.pilothouse().grants();
                let held = grants.held(&self.visitor.caller, app, Some(profile)).await?;
                self.held.insert(key, held);
                held
            }
        };
        Ok((Place::with(self.visitor, app.to_owned(), profile.to_owned(), held), held))
    }

    async fn changes(&mut self, list: PendingList<PendingChange>) -> Result<Changes> {
        let mut changes = Changes { items: Vec::new(), sets: Vec::new(), has_more: list.has_more };
        for PendingChange { app, subject } in list.rows {
            match subject {
                PendingSubject::Item(item) => {
                    let is_compared = changes.items.len() < COMPARED;
                    // One that was deleted since it was listed is left out.
                    changes.items.extend(self.item(&app, item, is_compared).await?);
                }
                PendingSubject::ChangeSet(set) => {
                    let (place, _) = self.of(&app, &set.profile).await?;
                    let own = set.author == self.visitor.caller.id;
                    let may_approve = place.manages && !(place.four_eyes && own);
                    changes.sets.push(SetRow { place, set, may_approve });
                }
            }
        }
        Ok(changes)
    }

    async fn item(&mut self, app: &str, item: PendingItem, is_compared: bool) -> Result<Option<ItemRow>> {
        let (place, held) = self.of(app, &item.profile).await?;
        let (pilothouse, caller) = (self.visitor.pilothouse(), &self.visitor.caller);
        let name = place.item(&item.key);
        let found = match pilothouse.items().find(caller, &name).await {
            Ok(found) if found.current.version == item.version => found,
            Ok(_) | Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let diff = if is_compared {
            lines(&pilothouse.items().diff(caller, &name, None, None).await?)
        } else {
            Vec::new()
        };
        let is_approved = found.current.approver.is_some();
        let own = item.modifier == caller.id;
        let may_approve = place.manages && !is_approved && !(place.four_eyes && own);
        let may_publish = place.manages && (is_approved || may_approve);
        // What was never published is deleted, which takes more where a grey release has it.
        let develops = held >= Some(Permission::Develop);
        let may_reject = place.manages || develops && found.published_version > 0;
        Ok(Some(ItemRow { place, item, diff, may_approve, may_publish, may_reject }))
    }
}

/// The page.
pub(crate) async fn get_inbox(visitor: Visitor) -> Answer {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let pending = pilothouse.releases().pending(caller, CorePage::at(0, ROWS)).await?;
    let mut places = Places { visitor: &visitor, held: HashMap::new() };
    let to_approve = places.changes(pending.to_approve).await?;
    let to_publish = places.changes(pending.to_publish).await?;
    let mut grey = Vec::with_capacity(pending.grey.rows.len());
    for row in pending.grey.rows {
        let (place, _) = places.of(&row.app, &row.grey.profile).await?;
        grey.push(GreyRow { place, grey: row });
    }
    let mut ids: Vec<AccountId> = grey.iter().map(|row| row.grey.grey.publisher).collect();
    for changes in [&to_approve, &to_publish] {
        ids.extend(changes.items.iter().map(|row| row.item.modifier));
        ids.extend(changes.sets.iter().map(|row| row.set.author));
    }
    let names = Names::of(&visitor, ids).await?;
    let page = visitor.page(visitor.t.config().inbox).await?;
    html(&InboxPage { page, to_approve, to_publish, grey, has_more_grey: pending.grey.has_more, names })
}

/// An item with the version that was seen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenItem {
    app: String,
    profile: String,
    key: String,
    version: i64,
}

impl SeenItem {
    fn name(&self) -> ItemName {
        ItemName { app: self.app.clone(), profile: self.profile.clone(), key: self.key.clone() }
    }
}

/// Approves the version that was seen.
pub(crate) async fn post_approve(visitor: Visitor, Form(seen): Form<SeenItem>) -> Answer {
    visitor.pilothouse().items().approve(&visitor.caller, &seen.name(), Some(seen.version)).await?;
    Ok(visitor.done("/inbox", "approved"))
}

/// Takes the version that was seen back: the item says again what is published, and is deleted where nothing is.
pub(crate) async fn post_reject(visitor: Visitor, Form(seen): Form<SeenItem>) -> Answer {
    reject(&visitor, &seen).await?;
    Ok(visitor.done("/inbox", "saved"))
}

async fn reject(visitor: &Visitor, seen: &SeenItem) -> Result<(), Failure> {
    let (items, caller, name) = (visitor.pilothouse().items(), &visitor.caller, seen.name());
    let published = items.find(caller, &name).await?.published_version;
    if published == 0 {
        // A deletion would take the key from the nodes of a grey release, too.
        let rollouts = visitor.pilothouse().rollouts();
        let page = CorePage::at(0, 1);
        let last = rollouts.list(caller, &seen.app, &seen.profile, Some(&seen.key), page).await?;
        if last.iter().any(|rollout| rollout.release.state == ReleaseState::Active) {
            return Err(Error::conflict("a grey release has another version of the key").into());
        }
        return Ok(items.delete(caller, &name, Some(seen.version)).await?);
    }
    let query = HistoryQuery { before: Some(published + 1), count: Some(1), has_values: true };
    let published = items.history(caller, &name, query).await?.rows.pop();
    let published = published.ok_or_else(|| Error::not_found("the published version"))?;
    let change = ContentChange::from(published.content);
    Ok(items.update(caller, &name, change, Some(seen.version)).await?)
}

/// A release.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grey {
    release: i64,
}

/// Makes a grey release the full one, unless nodes refuse it.
pub(crate) async fn post_promote(visitor: Visitor, Form(grey): Form<Grey>) -> Answer {
    visitor.pilothouse().releases().promote(&visitor.caller, ReleaseId(grey.release), false).await?;
    Ok(visitor.done("/inbox", "saved"))
}

/// Takes a grey release back.
pub(crate) async fn post_abort(visitor: Visitor, Form(grey): Form<Grey>) -> Answer {
    visitor.pilothouse().releases().abort(&visitor.caller, ReleaseId(grey.release)).await?;
    Ok(visitor.done("/inbox", "saved"))
}
