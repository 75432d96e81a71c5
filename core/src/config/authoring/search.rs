//! Search for text in the keys and current values of items.

use std::time::Duration;

use super::app::open_app;
use super::grant::Permission;
use super::item::Item;
use super::items::Items;
use super::overview::ReadableApps;
use crate::account::{Caller, Reach};
use crate::config::identifier::{AppId, ItemId, check_identifier};
use crate::{Page, Result, check_text};

/// Ids that one question to a store covers, so that none takes long.
const WINDOW: i64 = 2_000;
/// Most items that a store answers at once, so that few values are in memory.
const AT_ONCE: i64 = 16;
/// The most ids that a search covers.
const SEARCHED: i64 = 100_000;
/// Time after which a search answers what it has found.
const LONG: Duration = Duration::from_secs(3);
/// Most characters of an excerpt before and after what was found.
const AROUND: usize = 40;

/// Search of a store.
#[derive(Clone, Copy, Debug)]
pub struct ItemSearch<'a> {
    /// Text that the key or the current value holds, letter by letter.
    pub text: &'a str,
    /// The apps whose items are searched.
    pub apps: &'a [AppId],
    /// Profile of the items; `None` for all.
    pub profile: Option<&'a str>,
    /// The smallest id.
    pub start: i64,
    /// An id greater than all that are answered.
    pub before: i64,
    /// The most items answered.
    pub count: i64,
}

/// Text of a search, and its scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchFilter {
    /// The text, letter by letter: 1 to 256 bytes.
    pub text: String,
    /// Name of the app; `None` for all that the caller may read.
    pub app: Option<String>,
    /// The profile; `None` for all that the caller may read.
    pub profile: Option<String>,
}

/// An item that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Id of the item.
    pub id: ItemId,
    /// Name of the app.
    pub app: String,
    /// The profile.
    pub profile: String,
    /// The key.
    pub key: String,
    /// Whether the key or the value holds the text.
    pub found_in: FoundIn,
    /// The text with what stands around it, without what is farther away than 40 characters.
    pub excerpt: String,
}

/// Part of an item that holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundIn {
    /// The key, and the value perhaps too.
    Key,
    /// The value only.
    Value,
}

/// Items that a search found, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchResult {
    /// The items that were found.
    pub found: Vec<Found>,
    /// The id with which to go on where not everything was searched; `None` of a full page, which goes on after its last one.
    pub search_start: Option<i64>,
}

impl Items<'_> {
    /// Finds items by a text in their keys and current values, by id, from [`Page::start`] on; needs permission 1 on the app that
    /// is named, else searches the apps that the caller may read. A search covers 100,000 ids or takes 3 seconds, and then
    /// says where to go on.
    pub async fn search(&self, caller: &Caller, filter: &SearchFilter, page: Page) -> Result<SearchResult> {
        let apps = self.searched_apps(caller, filter).await?;
        check_text("q", &filter.text, 1, 256, true)?;
        if let Some(profile) = &filter.profile {
            check_identifier("profile", profile)?;
        }
        let ids = apps.ids();
        let begun = self.0.clock().monotonic();
        let mut storage = self.0.storage().peek().await?;
        let last = storage.items().last_id().await?.map_or(0, |id| id.0);
        let end = last.saturating_add(1).min(page.start.saturating_add(SEARCHED));
        let (mut result, mut start) = (SearchResult::default(), page.start);
        let count = usize::try_from(page.count).unwrap_or(usize::MAX);
        while start < end && result.found.len() < count {
            if self.0.clock().monotonic().saturating_sub(begun) > LONG {
                result.search_start = Some(start);
                return Ok(result);
            }
            let before = end.min(start + WINDOW);
            let SearchFilter { text, profile, .. } = filter;
            let profile = profile.as_deref();
            let search = ItemSearch { text, apps: &ids, profile, start, before, count: AT_ONCE };
            let items = storage.items().search(&search).await?;
            let is_all = i64::try_from(items.len()).is_ok_and(|found| found < AT_ONCE);
            start = items.last().filter(|_| !is_all).map_or(before, |item| item.id.0 + 1);
            let readable = items.into_iter().filter_map(|item| {
                let (app, _) = apps.permission(caller, item.app, &item.profile)?;
                Some(found(app, item, text))
            });
            result.found.extend(readable);
        }
        if result.found.len() >= count {
            result.found.truncate(count);
        } else if end <= last {
            result.search_start = Some(end);
        }
        Ok(result)
    }

    /// The apps that are searched, with the grants that decide which of their profiles the caller may read.
    async fn searched_apps(&self, caller: &Caller, filter: &SearchFilter) -> Result<ReadableApps> {
        let Some(app) = &filter.app else { return self.0.apps().readable(caller, None).await };
        let mut snapshot = self.0.storage().read().await?;
        let reach = filter.profile.as_deref().map_or(Reach::SomeProfiles, Reach::Profile);
        let app = open_app(self.0, &mut *snapshot, caller, (app, reach), Permission::Read).await?;
        drop(snapshot);
        self.0.apps().readable(caller, Some(vec![app])).await
    }
}

fn found(app: &str, item: Item, text: &str) -> Found {
    let Item { id, profile, key, current, .. } = item;
    let (found_in, excerpt) = match excerpt(&key, text) {
        Some(excerpt) => (FoundIn::Key, excerpt),
        None => (FoundIn::Value, excerpt(&current.content.value, text).unwrap_or_default()),
    };
    Found { id, app: app.to_owned(), profile, key, found_in, excerpt }
}

/// The text where it first stands, with some characters around it.
fn excerpt(whole: &str, text: &str) -> Option<String> {
    let at = whole.find(text)?;
    let (before, after) = (&whole[..at], &whole[at + text.len()..]);
    let begin = before.char_indices().rev().nth(AROUND - 1).map_or(0, |(index, _)| index);
    let end = after.char_indices().nth(AROUND).map_or(after.len(), |(index, _)| index);
    Some(format!("{}{text}{}", &before[begin..], &after[..end]))
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn an_excerpt_holds_what_stands_around() {
        assert_eq!(excerpt("host=db1", "db").unwrap(), "host=db1");
        let long = format!("{}x{}", "é".repeat(100), "ö".repeat(100));
        assert_eq!(excerpt(&long, "x").unwrap(), format!("{}x{}", "é".repeat(40), "ö".repeat(40)));
        assert_eq!(excerpt("abc", "d"), None);
    }
}
