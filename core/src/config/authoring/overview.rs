//! Overview of apps: what a caller may do there, and how much there is.

use std::collections::HashMap;

use super::app::{App, Apps};
use super::grant::{Grant, Permission, permitted};
use crate::account::{Caller, Reach};
use crate::config::identifier::AppId;
use crate::{Listing, Order, Page, Result};

/// Counts of an app in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppCounts {
    /// The app.
    pub app: AppId,
    /// Profiles that have items.
    pub profiles: i64,
    /// Items that are not deleted.
    pub items: i64,
    /// Items whose current version is not the published one.
    pub drafts: i64,
    /// Grey releases that are active.
    pub grey: i64,
    /// Nodes that are online.
    pub online: i64,
}

/// App of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnApp {
    /// The app.
    pub app: App,
    /// Permission of the caller on it, or the greatest on one of its profiles where it has none on the whole.
    pub permission: Permission,
    /// Counts of it.
    pub counts: AppCounts,
}

/// Apps that a caller may read some profile of, with the grants that decide which.
#[derive(Debug)]
pub(in crate::config) struct ReadableApps(HashMap<AppId, ReadableApp>);

#[derive(Debug)]
struct ReadableApp {
    name: String,
    /// Grants of the caller on the app and on `all`.
    grants: Vec<Grant>,
}

impl ReadableApps {
    /// Ids of the apps, ascending.
    pub(in crate::config) fn ids(&self) -> Vec<AppId> {
        let mut ids: Vec<AppId> = self.0.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Name of an app, and the caller's permission on a profile of it; `None` where the caller may not read it.
    pub(in crate::config) fn permission(
        &self,
        caller: &Caller,
        app: AppId,
        profile: &str,
    ) -> Option<(&str, Permission)> {
        let ReadableApp { name, grants } = self.0.get(&app)?;
        let reach = Reach::Profile(profile);
        let permission = permitted(grants, reach)?;
        caller.opens_app(Some(name), reach).then_some((name, permission))
    }
}

impl Apps<'_> {
    /// The apps that [`Apps::list`] lists, or these of them, with the grants of the caller on each.
    pub(in crate::config) async fn readable(
        &self,
        caller: &Caller,
        apps: Option<Vec<App>>,
    ) -> Result<ReadableApps> {
        let apps = match apps {
            Some(apps) => apps,
            None => self.list(caller).await?,
        };
        let mut snapshot = self.0.storage().read().await?;
        let on_all = snapshot.grants().held(caller.id, None).await?;
        let mut readable = HashMap::with_capacity(apps.len());
        for app in apps {
            let grants = match &on_all[..] {
                [] => snapshot.grants().held(caller.id, Some(app.id)).await?,
                _ => on_all.clone(),
            };
            readable.insert(app.id, ReadableApp { name: app.app, grants });
        }
        Ok(ReadableApps(readable))
    }

    /// A page of the apps that [`Apps::list`] lists, each with the caller's permission and its counts.
    pub async fn mine(&self, caller: &Caller, page: Page) -> Result<Listing<OwnApp>> {
        let mut apps = self.list(caller).await?;
        let total = apps.len() as u64;
        apps.retain(|app| page.has(app.id.0));
        if page.order == Order::Newest {
            apps.reverse();
        }
        apps.truncate(usize::try_from(page.count).unwrap_or_default());
        let ids: Vec<AppId> = apps.iter().map(|app| app.id).collect();
        self.0.flush_reports().await?;
        let now = self.0.store_time().await?;
        let mut snapshot = self.0.storage().read().await?;
        let counts = snapshot.apps().counts(&ids, now).await?;
        let mut rows = Vec::with_capacity(apps.len());
        for app in apps {
            // One that is gone since it was listed has neither.
            let grants = snapshot.grants().held(caller.id, Some(app.id)).await?;
            let permission =
                permitted(&grants, Reach::App).or_else(|| permitted(&grants, Reach::SomeProfiles));
            let counts = counts.iter().find(|counts| counts.app == app.id).copied();
            rows.extend(permission.zip(counts).map(|(permission, counts)| OwnApp {
                app,
                permission,
                counts,
            }));
        }
        Ok(Listing::new(rows, Some(total)))
    }
}
