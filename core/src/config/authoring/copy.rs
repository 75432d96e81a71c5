//! Copies of items from one profile to another.

use std::collections::HashMap;

use super::apply::{Applied, Change, ItemChange, NewChangeSet};
use super::change_sets::ChangeSets;
use super::comparison::Side;
use super::item::{ContentChange, Item};
use crate::account::Caller;
use crate::{Error, Result};

/// Items to be copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy<'a> {
    /// Keys of the items; each is there in the profile that is copied from.
    pub keys: &'a [String],
    /// Title of the change set, for people: at most 256 bytes.
    pub title: &'a str,
    /// Whether to answer what would be done, and do nothing.
    pub dry_run: bool,
}

impl ChangeSets<'_> {
    /// Copies values, validators and descriptions of some keys as they stand, as one change set of the other profile; needs
    /// permission 0 on the first and 1 on the other.
    pub async fn copy(
        &self,
        caller: &Caller,
        from: Side<'_>,
        to: Side<'_>,
        copy: Copy<'_>,
    ) -> Result<Applied> {
        self.check_caller(caller, Some(to.app), Some(to.profile)).await?;
        let items = self.0.items().list(caller, from.app, from.profile).await?;
        let items: HashMap<String, Item> = items.into_iter().map(|item| (item.key.clone(), item)).collect();
        let mut changes = Vec::with_capacity(copy.keys.len());
        for key in copy.keys {
            let item = items.get(key);
            let item =
                item.ok_or_else(|| Error::not_found(format!("the config {key} of {}", from.profile)))?;
            let content = ContentChange::from(item.current.content.clone());
            changes.push(Change { key: key.clone(), seen: None, item: ItemChange::Content(content) });
        }
        let new = NewChangeSet {
            app: to.app.to_owned(),
            profile: to.profile.to_owned(),
            changes,
            title: copy.title.to_owned(),
            dry_run: copy.dry_run,
            ..NewChangeSet::default()
        };
        self.apply(caller, new).await
    }
}
