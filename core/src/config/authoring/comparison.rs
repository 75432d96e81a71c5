//! Comparison of two profiles, of one app or of two.

use std::collections::BTreeMap;

use super::item::Item;
use super::items::Items;
use crate::Result;
use crate::account::Caller;

/// One of the profiles that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Name of the app.
    pub app: &'a str,
    /// Name of the profile.
    pub profile: &'a str,
}

/// A key whose values differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemDifference {
    /// The key.
    pub key: String,
    /// Current value on the left; `None` where the key is not there.
    pub left: Option<String>,
    /// Current value on the right; `None` where the key is not there.
    pub right: Option<String>,
}

impl Items<'_> {
    /// The keys whose current values differ between two profiles, by key; needs permission 0 on both.
    pub async fn compare(
        &self,
        caller: &Caller,
        left: Side<'_>,
        right: Side<'_>,
    ) -> Result<Vec<ItemDifference>> {
        let left = self.list(caller, left.app, left.profile).await?;
        let right = self.list(caller, right.app, right.profile).await?;
        Ok(differences(left, right))
    }
}

fn differences(left: Vec<Item>, right: Vec<Item>) -> Vec<ItemDifference> {
    let mut pairs: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    for (side, items) in [left, right].into_iter().enumerate() {
        for item in items {
            pairs.entry(item.key).or_default()[side] = Some(item.current.content.value);
        }
    }
    let differing = pairs.into_iter().filter(|(_, [left, right])| left != right);
    differing.map(|(key, [left, right])| ItemDifference { key, left, right }).collect()
}
