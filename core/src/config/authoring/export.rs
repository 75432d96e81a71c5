//! Export: the items of profiles, for files that others read.

use super::item::Item;
use super::items::Items;
use crate::account::Caller;
use crate::{Error, Result};

/// The items of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedProfile {
    /// Name of the profile.
    pub profile: String,
    /// The items, in the order of their creation.
    pub items: Vec<Item>,
}

impl Items<'_> {
    /// The most bytes of keys, values and descriptions that are exported at once, which is what an import takes.
    pub const MAX_EXPORTED: usize = 64 << 20;

    /// The items of one profile of an app, or of all that the caller may read; needs permission 1. Refuses more than
    /// [`Items::MAX_EXPORTED`].
    pub async fn export(
        &self,
        caller: &Caller,
        app: &str,
        profile: Option<&str>,
    ) -> Result<Vec<ExportedProfile>> {
        let profiles = match profile {
            Some(profile) => vec![profile.to_owned()],
            None => self.profiles(caller, app).await?,
        };
        let (mut exported, mut bytes) = (Vec::new(), 0);
        for profile in profiles {
            let items = self.list(caller, app, &profile).await?;
            bytes += items.iter().map(size).sum::<usize>();
            if bytes > Self::MAX_EXPORTED {
                let most = Self::MAX_EXPORTED >> 20;
                return Err(Error::conflict(format!(
                    "the configs hold more than {most} MiB: export single profiles"
                )));
            }
            exported.push(ExportedProfile { profile, items });
        }
        Ok(exported)
    }
}

fn size(item: &Item) -> usize {
    item.key.len() + item.current.content.value.len() + item.current.content.description.len()
}
