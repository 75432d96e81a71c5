//! Namespaces that an app shares with the Apollo clients of all apps.

use std::collections::HashMap;

use async_trait::async_trait;

use super::app::{Apps, lock_app};
use super::grant::Permission;
use crate::account::{Caller, Entry, Reach};
use crate::config::identifier::AppId;
use crate::ports::StorageResult;
use crate::{Epoch, Error, Result, check_text};

/// A namespace that an app shares with the Apollo clients of all apps, or that one shared once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedNamespace {
    /// Name in lower case, without `.properties`; unique.
    pub name: String,
    /// App that shares it; `None` since it was withdrawn.
    pub app: Option<AppId>,
    /// Greatest epoch of the apps that shared it before.
    pub epoch: Epoch,
    /// Part of every notification id of the namespace. It grows whenever the namespace is shared or withdrawn, when it is
    /// withdrawn by more than the app's revision, so that no id goes back.
    pub base: i64,
}

/// The shared namespaces of a store, by name, also those that were withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedNamespaces(HashMap<String, SharedNamespace>);

impl SharedNamespaces {
    /// The namespace that a client means by `name`, in upper or lower case, with or without `.properties`.
    pub fn find(&self, name: &str) -> Option<&SharedNamespace> {
        if self.0.is_empty() { None } else { self.0.get(&normal_name(name)) }
    }
}

impl FromIterator<SharedNamespace> for SharedNamespaces {
    fn from_iter<T: IntoIterator<Item = SharedNamespace>>(namespaces: T) -> Self {
        Self(namespaces.into_iter().map(|namespace| (namespace.name.clone(), namespace)).collect())
    }
}

/// Shared namespaces in a store.
#[async_trait]
pub trait SharedNamespaceRepository: Send {
    /// All of them by name, also those that were withdrawn.
    async fn list(&mut self) -> StorageResult<Vec<SharedNamespace>>;
    /// Finds one by its name in lower case.
    async fn find(&mut self, name: &str) -> StorageResult<Option<SharedNamespace>>;
    /// Shares a namespace and raises its base by one, from 0 where it is new. `false`, and nothing, where an app shares it
    /// already. The app must exist.
    async fn share(&mut self, name: &str, app: AppId) -> StorageResult<bool>;
    /// Withdraws a namespace that the app shares, raises its base by one more than `revision` and its epoch at least to
    /// `epoch`; whether the app shared it.
    async fn withdraw(&mut self, name: &str, app: AppId, epoch: Epoch, revision: i64) -> StorageResult<bool>;
}

impl Apps<'_> {
    /// Shares a namespace of the app with the Apollo clients of all apps, or withdraws it; needs permission 9 on the app as a
    /// whole. One that is shared by this app already, or is not, stays as it is. `application` is every app's own.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn share(&self, caller: &Caller, app: &str, namespace: &str, shared: bool) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let app = lock_app(self.0, &mut work, caller, (app, Reach::App), Permission::Manage).await?;
        check_text("namespace", namespace, 1, 255, false)?;
        let name = normal_name(namespace);
        if name.is_empty() || name == "application" {
            return Err(Error::invalid(
                "namespace",
                "must not be application, which each app has for itself",
            ));
        }
        let known = work.shared_namespaces().find(&name).await?;
        if known.is_some_and(|known| known.app == Some(app.id)) == shared {
            return Ok(());
        }
        let object = format!("{} namespace {name}", app.app);
        if shared {
            if !work.shared_namespaces().share(&name, app.id).await? {
                return Err(Error::exists("another app's shared namespace of this name"));
            }
            work.record(Entry::new("app.share", object)).await?;
        } else {
            if !work.shared_namespaces().withdraw(&name, app.id, app.epoch, app.revision).await? {
                return Err(Error::conflict("the namespace was withdrawn meanwhile"));
            }
            work.record(Entry::new("app.unshare", object)).await?;
        }
        work.commit().await?;
        self.0.shared_namespaces_changed().await;
        Ok(())
    }
}

/// A name as it is kept: in lower case, without `.properties`.
fn normal_name(name: &str) -> String {
    let name = name.to_lowercase();
    match name.strip_suffix(".properties") {
        Some(stem) => stem.to_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_found_however_its_name_is_written() {
        let db = SharedNamespace { name: "db".to_owned(), app: Some(AppId(1)), epoch: Epoch(1), base: 1 };
        let all: SharedNamespaces = [db.clone()].into_iter().collect();
        for name in ["db", "DB", "Db.Properties"] {
            assert_eq!(all.find(name), Some(&db), "{name}");
        }
        for name in ["dbx", "db.json", "", ".properties"] {
            assert_eq!(all.find(name), None, "{name}");
        }
    }
}
