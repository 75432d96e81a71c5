//! Purges of Cloudflare: by URL, by prefix, of a whole host and by tag.

use pilothouse_core::ports::{Batch, Operation, Prefix, ProviderError, Submission, Submissions};
use serde_json::json;
use url::Position;

use super::Cloudflare;
use super::answer::Purged;
use crate::vendor::spelled;

/// Most slashes of a prefix.
const MAX_SLASHES: usize = 31;

/// Item as a purge names it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    File(String),
    /// Host and path, without a scheme.
    Prefix(String),
    Host(String),
    Tag(String),
}

impl Item {
    /// Member of the request that lists items of this kind.
    fn member(&self) -> &'static str {
        match self {
            Self::File(_) => "files",
            Self::Prefix(_) => "prefixes",
            Self::Host(_) => "hosts",
            Self::Tag(_) => "tags",
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::File(text) | Self::Prefix(text) | Self::Host(text) | Self::Tag(text) => text,
        }
    }
}

impl Cloudflare {
    /// Purges a batch, a request for each kind of item. All items are of the zone that the batch's group is.
    pub(super) async fn purge(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let items: Vec<_> = batch.items.iter().map(|item| item_of(batch.operation, &item.url)).collect();
        for member in ["files", "prefixes", "hosts", "tags"] {
            let texts: Vec<_> = items.iter().filter_map(|item| item.as_ref().ok()).collect();
            let texts: Vec<_> =
                texts.into_iter().filter(|item| item.member() == member).map(Item::text).collect();
            if !texts.is_empty() {
                let path = format!("/zones/{}/purge_cache", batch.group);
                let body = json!({ member: texts });
                self.api.post::<Purged>(&path, &body, self.clock.now()).await?;
            }
        }
        Ok(items.into_iter().map(|item| item.map(|_| Submission::Done)).collect())
    }
}

/// Reads an item of a batch.
fn item_of(operation: Operation, url: &str) -> Result<Item, ProviderError> {
    let refused = |reason: &str| Err(ProviderError::Refused(format!("the vendor {reason}")));
    match operation {
        Operation::PurgeTags => match url.strip_prefix("tag://").and_then(|rest| rest.split_once('/')) {
            Some((_, tag)) if !tag.is_empty() => Ok(Item::Tag(tag.to_owned())),
            _ => refused("was given no tag"),
        },
        Operation::PurgePrefixes => {
            if let Err(reason) = Prefix::PathBorder.check(url) {
                return refused(reason);
            }
            let url = spelled(url)?;
            let prefix = &url[Position::BeforeHost..Position::AfterPath];
            if url.path() == "/" {
                return Ok(Item::Host(url.host_str().unwrap_or_default().to_owned()));
            }
            if prefix.matches('/').count() > MAX_SLASHES {
                return refused(&format!("purges prefixes of at most {MAX_SLASHES} path segments"));
            }
            Ok(Item::Prefix(prefix.to_owned()))
        }
        _ => Ok(Item::File(spelled(url)?.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_named_as_the_vendor_does() {
        for (operation, url, expected) in [
            (
                Operation::PurgeUrls,
                "https://a.example.com/中?x=1",
                Item::File("https://a.example.com/%E4%B8%AD?x=1".to_owned()),
            ),
            (
                Operation::PurgePrefixes,
                "https://A.example.com/dir/*",
                Item::Prefix("a.example.com/dir/".to_owned()),
            ),
            (Operation::PurgePrefixes, "https://a.example.com/*", Item::Host("a.example.com".to_owned())),
            (Operation::PurgeTags, "tag://a.example.com/news/1", Item::Tag("news/1".to_owned())),
        ] {
            assert_eq!(item_of(operation, url).unwrap(), expected);
        }
        let deep = format!("https://a.example.com/{}*", "d/".repeat(31));
        for (operation, url) in [
            (Operation::PurgePrefixes, "https://a.example.com/img-*"),
            (Operation::PurgePrefixes, deep.as_str()),
            (Operation::PurgeTags, "tag://a.example.com/"),
        ] {
            assert!(matches!(item_of(operation, url), Err(ProviderError::Refused(_))), "{url}");
        }
    }
}
