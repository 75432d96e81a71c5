//! Plan of an apply: what each change does, and why it cannot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

use super::app::App;
use super::apply::{AppliedChange, Change, ItemChange, NewChangeSet};
use super::change_set::ChangeAction;
use super::item::{Content, ContentChange, ItemHead, ItemName};
use crate::config::identifier::ItemId;
use crate::ports::Repositories;
use crate::{Error, ErrorKind, Result};

/// The most keys that a refusal explains.
const MAX_EXPLAINED: usize = 20;

/// State of the items that a set is about.
#[derive(PartialEq, Eq)]
pub(super) struct Known {
    pub(super) heads: BTreeMap<String, ItemHead>,
    /// Of the items to delete those of which a node may hold something.
    pub(super) released: HashSet<ItemId>,
}

/// A change that was checked.
pub(super) struct Planned {
    pub(super) applied: AppliedChange,
    /// Content of the new version.
    pub(super) content: Option<Content>,
    /// Whether the deletion waits for the release of the set.
    pub(super) is_staged: bool,
}

/// Items of the store under the keys of a set.
pub(super) async fn known(store: &mut dyn Repositories, app: &App, new: &NewChangeSet) -> Result<Known> {
    let heads = store.items().heads(app.id, &new.profile, &new.keys()).await?;
    let heads: BTreeMap<String, ItemHead> = heads.into_iter().map(|head| (head.key.clone(), head)).collect();
    let deletions = new.changes.iter().filter(|change| change.item == ItemChange::Delete);
    let gone = deletions.filter_map(|change| heads.get(&change.key)).filter(|head| !head.is_deleted);
    let (published, others): (Vec<&ItemHead>, Vec<&ItemHead>) =
        gone.partition(|head| head.published_version > 0);
    let others: Vec<ItemId> = others.into_iter().map(|head| head.item).collect();
    let mut released: HashSet<ItemId> = published.into_iter().map(|head| head.item).collect();
    released.extend(store.releases().with_active(&others).await?);
    Ok(Known { heads, released })
}

/// Checks one change against what is known, and takes the old content of its item.
pub(super) async fn plan(
    new: &NewChangeSet,
    change: Change,
    known: &Known,
    olds: &mut HashMap<ItemId, Content>,
) -> Planned {
    let Change { key, seen, item } = change;
    let last = known.heads.get(&key);
    let head = last.filter(|head| !head.is_deleted);
    let from = head.map_or(0, |head| head.version);
    let action = match (&item, head) {
        (ItemChange::Delete, _) => ChangeAction::Delete,
        (ItemChange::Content(_), Some(_)) => ChangeAction::Update,
        (ItemChange::Content(_), None) => ChangeAction::Create,
    };
    let mut applied =
        AppliedChange { key, item: last.map(|head| head.item), action, from, version: 0, error: None };
    let is_staged = head.is_some_and(|head| known.released.contains(&head.item));
    let old = head.and_then(|head| olds.remove(&head.item));
    let checked = match (seen.filter(|seen| *seen != from), item) {
        (Some(seen), _) => Err(stale(seen, from)),
        (None, ItemChange::Delete) if head.is_none() => Err(Error::not_found("the config")),
        (None, ItemChange::Delete) => Ok(None),
        (None, ItemChange::Content(change)) => {
            let name =
                ItemName { app: new.app.clone(), profile: new.profile.clone(), key: applied.key.clone() };
            checked(&name, change, old.as_ref()).await.map(Some)
        }
    };
    let mut content = None;
    match checked {
        Err(error) => applied.error = Some(error),
        Ok(None) => {}
        Ok(same) if same == old => {
            applied.action = ChangeAction::Same;
            applied.version = from;
        }
        Ok(changed) => {
            applied.version = last.map_or(1, |last| last.version + 1);
            content = changed;
        }
    }
    Planned { applied, content, is_staged }
}

fn stale(seen: i64, current: i64) -> Error {
    Error::conflict(match current {
        0 => format!("version {seen} is not the current one: the key does not exist"),
        _ => format!("version {seen} is not the current one, which is {current}"),
    })
}

/// The content that an item of that name gets, if it may have it.
async fn checked(name: &ItemName, change: ContentChange, old: Option<&Content>) -> Result<Content> {
    match old {
        Some(_) => name.check()?,
        None => name.check_new()?,
    }
    if old.is_none() && change.value.is_none() {
        return Err(Error::invalid("value", "is required for a new key"));
    }
    change.of(old.cloned().unwrap_or_default()).checked().await
}

/// Refuses the whole set for the errors of its changes, each with its key.
pub(super) fn refuse_errors(planned: &[Planned]) -> Result<()> {
    let refused =
        planned.iter().filter_map(|planned| Some((&planned.applied.key, planned.applied.error.as_ref()?)));
    let refused: Vec<(&String, &Error)> = refused.collect();
    let Some((_, first)) = refused.first() else { return Ok(()) };
    let mut why = String::new();
    for (key, error) in refused.iter().take(MAX_EXPLAINED) {
        let key: String = key.chars().take(64).collect();
        // Writing to a string does not fail.
        let _ = write!(why, "{}{key}: {error}", if why.is_empty() { "" } else { "; " });
    }
    if refused.len() > MAX_EXPLAINED {
        let _ = write!(why, "; and {} more", refused.len() - MAX_EXPLAINED);
    }
    Err(match first.kind() {
        ErrorKind::Invalid => Error::invalid("changes", why),
        _ => Error::conflict(why),
    })
}
