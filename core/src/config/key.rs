//! App keys: how nodes show that they belong to an app.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::app::{lock_app, open_app, require};
use super::{AppId, Permission};
use crate::account::{Caller, Entry, token_digest};
use crate::ports::{LockKey, StorageResult, Topic};
use crate::secret::sign;
use crate::{Error, Pilothouse, Result, SecretKey};

/// The id of an app key; not a secret.
pub type AppKeyId = i64;

/// An app key as it is kept. The key itself is in no store: it is made of the salt and the operator's secret, so that
/// whoever holds both can check what a client signed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppKey {
    /// Its id.
    pub id: AppKeyId,
    /// The app it opens.
    pub app: AppId,
    /// What it is made of, beside the operator's secret: 256 random bits.
    pub salt: [u8; 32],
    /// SHA-256 of its text, to look it up by.
    pub digest: [u8; 32],
    /// When it was made.
    pub create_time: DateTime<Utc>,
}

/// A key that a program was given, in the clear.
#[derive(Clone, PartialEq, Eq)]
pub struct AppSecret {
    /// Its id.
    pub id: AppKeyId,
    /// SHA-256 of its text.
    pub digest: [u8; 32],
    /// Its text, 64 hexadecimal digits: what signatures are made with.
    pub text: String,
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

impl AppSecret {
    pub(super) fn of(secret: &SecretKey, key: &AppKey) -> Self {
        Self { id: key.id, digest: key.digest, text: text(secret, &key.salt) }
    }
}

fn text(secret: &SecretKey, salt: &[u8; 32]) -> String {
    hex::encode(sign(&secret.derive("app keys"), &[salt]))
}

/// App keys in a store.
#[async_trait]
pub trait AppKeyRepository: Send {
    /// Adds a key, ignoring `id`. Its app must exist.
    async fn insert(&mut self, key: &AppKey) -> StorageResult<AppKeyId>;
    /// By id.
    async fn find(&mut self, id: AppKeyId) -> StorageResult<Option<AppKey>>;
    /// The app that the key with this digest opens.
    async fn app_by_digest(&mut self, digest: &[u8; 32]) -> StorageResult<Option<AppId>>;
    /// The keys of an app, by id.
    async fn of_app(&mut self, app: AppId) -> StorageResult<Vec<AppKey>>;
    /// The ids of the keys of some apps, by id.
    async fn ids(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, AppKeyId)>>;
    /// Removes a key; whether there was one.
    async fn delete(&mut self, id: AppKeyId) -> StorageResult<bool>;
}

/// The use cases of app keys.
#[derive(Clone, Copy, Debug)]
pub struct AppKeys<'a>(pub(crate) &'a Pilothouse);

impl AppKeys<'_> {
    /// The most keys of one app.
    pub const MAX: usize = 100;

    /// Makes a key, whose text is told only now; needs permission 9. An app may have several, so that one can be
    /// replaced while the other still opens.
    pub async fn create(&self, caller: &Caller, app: &str) -> Result<AppSecret> {
        let salt = self.0.ids().secret();
        let text = text(&self.0.settings().secret, &salt);
        let digest = token_digest(&text);
        let mut work = self.0.storage().begin().await?;
        let app = lock_app(self.0, &mut *work, caller, app, Permission::Manage).await?;
        if work.app_keys().of_app(app.id).await?.len() >= Self::MAX {
            return Err(Error::conflict(format!("the app has {} keys, the most there may be", Self::MAX)));
        }
        let key = AppKey { id: 0, app: app.id, salt, digest, create_time: self.0.clock().now() };
        let id = work.app_keys().insert(&key).await?;
        self.0.audit(&mut *work, caller, Entry::new("key.create", object(&app.app, id))).await?;
        work.commit().await?;
        self.0.changed(app.id).await;
        Ok(AppSecret { id, digest, text })
    }

    /// The keys of an app, by id, without their texts; needs permission 9.
    pub async fn list(&self, caller: &Caller, app: &str) -> Result<Vec<AppKey>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, app, Permission::Manage).await?;
        Ok(snapshot.app_keys().of_app(app.id).await?)
    }

    /// Deletes a key, which opens nothing from now on; needs permission 9 on its app.
    pub async fn delete(&self, caller: &Caller, id: AppKeyId) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        // An unknown id is refused like one of a foreign app, except to those who may manage everything.
        let app = work.app_keys().find(id).await?.map(|key| key.app);
        require(self.0, &mut *work, caller, app, Permission::Manage).await?;
        let absent = || Error::not_found("the app key");
        let app = app.ok_or_else(absent)?;
        work.lock(LockKey::App(app)).await?;
        let app = work.apps().by_id(app).await?.ok_or_else(absent)?;
        if !work.app_keys().delete(id).await? {
            return Err(absent());
        }
        self.0.audit(&mut *work, caller, Entry::new("key.delete", object(&app.app, id))).await?;
        work.commit().await?;
        self.0.changed(app.id).await;
        Ok(())
    }
}

fn object(app: &str, id: AppKeyId) -> String {
    format!("{app} key {id}")
}

impl Pilothouse {
    /// After a commit that changed what an app's nodes are told, or may: this server's view first, then the others.
    pub(crate) async fn changed(&self, app: AppId) {
        self.feeds().refresh(app).await;
        self.storage().announce(&[Topic::App(app)]).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_secret_and_salt_and_is_not_shown() {
        let secret = SecretKey::new(&[7; 32]).unwrap();
        let first = text(&secret, &[1; 32]);
        assert_eq!(first.len(), 64);
        assert_eq!(first, text(&SecretKey::new(&[7; 32]).unwrap(), &[1; 32]));
        assert_ne!(first, text(&secret, &[2; 32]));
        assert_ne!(first, text(&SecretKey::new(&[8; 32]).unwrap(), &[1; 32]));
        let shown = format!("{:?}", AppSecret { id: 1, digest: [0; 32], text: first.clone() });
        assert!(!shown.contains(&first));
    }
}
