//! Deletion of a configuration item: withdraws what is released of it and tells its nodes.

use super::release::ReleaseState;
use crate::account::{Caller, Entry, Reach};
use crate::config::authoring::{ItemName, Items};
use crate::{Error, Result};

impl Items<'_> {
    /// Deletes an item, and with it what is published of it, of which its nodes are told; needs permission 1, or 9 once
    /// a version of it was published since the key was last created. `seen` is the version the caller saw.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, name: &ItemName, seen: Option<i64>) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let item = self.lock_for_developer(&mut work, caller, name).await?;
        let published =
            item.published_version > 0 || !work.releases().with_active(&[item.id]).await?.is_empty();
        if published {
            self.0
                .apps()
                .require_manager(&mut *work, caller, (Some(item.app), Reach::Profile(&name.profile)))
                .await?;
        }
        item.check_seen(seen)?;
        let entry = Entry::new("config.delete", name.to_string()).old(item.current.digest());
        work.record(entry).await?;
        let revision = if published { work.apps().raise_revision(item.app).await? } else { None };
        if let Some(revision) = revision {
            work.releases().end(item.id, None, ReleaseState::Superseded, revision).await?;
        }
        if !work.items().delete(item.id, item.current.version, revision).await? {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        work.commit().await?;
        if published {
            self.0.announce_change(item.app).await;
        }
        Ok(())
    }
}
