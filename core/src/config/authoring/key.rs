//! App keys, which authenticate nodes of an app.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::app::{lock_app, open_app};
use super::grant::Permission;
use crate::account::{Caller, Entry, Reach, token_digest};
use crate::config::identifier::{AppId, AppKeyId};
use crate::ports::StorageResult;
use crate::secret::{decrypt, encrypt, sign};
use crate::{Error, Pilothouse, Result, SecretKey, check_token};

/// An app key as it is kept. A generated one is in no store: it is made of the salt and the operator's secret, so that
/// whoever holds both can check what a client signed with it. One that was brought along is kept encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppKey {
    /// Identifies the key on the wire; not a secret.
    pub id: AppKeyId,
    /// The app it opens.
    pub app: AppId,
    /// Salt of the key: 256 random bits, from which the operator's secret makes its text, or the key that the text is
    /// encrypted with.
    pub salt: [u8; 32],
    /// Digest of its text, to look it up by: SHA-256 where the text is random; of a text that was brought along, which may
    /// be easily guessed, an HMAC under the operator's secret.
    pub digest: [u8; 32],
    /// Text that was brought along, encrypted; `None` where it is made of salt and secret.
    pub encrypted: Option<Vec<u8>>,
    /// Time of its creation.
    pub create_time: DateTime<Utc>,
}

/// A key that a program was given, in the clear.
#[derive(Clone, PartialEq, Eq)]
pub struct AppSecret {
    /// Identifies the key on the wire; not a secret.
    pub id: AppKeyId,
    /// Text, what signatures are made with: 64 hexadecimal digits, or what was brought along.
    pub text: String,
}

/// A key that opens an app, as it is held in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct OpeningKey {
    /// Identifies the key on the wire; not a secret.
    pub id: AppKeyId,
    /// Digest of its text.
    pub digest: [u8; 32],
    /// Text, to check signatures with; `None` of one that was brought along and encrypted under another secret of the
    /// operator, which opens nothing.
    pub text: Option<String>,
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

impl OpeningKey {
    pub(in crate::config) fn of(secret: &SecretKey, key: &AppKey) -> Self {
        let text = match &key.encrypted {
            None => Some(text(secret, &key.salt)),
            Some(encrypted) => decrypt(encryption_key(secret, &key.salt), &context(key.app), encrypted)
                .and_then(|text| String::from_utf8(text).ok()),
        };
        if text.is_none() {
            tracing::warn!(
                key = key.id.0,
                "an app key that was brought along was encrypted under another secret_key: it opens nothing"
            );
        }
        Self { id: key.id, digest: key.digest, text }
    }
}

/// The digests under which a key with this text may be found: those of a generated and of a brought one.
pub(in crate::config) fn key_digests(secret: &SecretKey, text: &str) -> [[u8; 32]; 2] {
    [token_digest(text), sign(&secret.derive("brought app keys: digests"), &[text.as_bytes()])]
}

/// Key of the one text that is encrypted with this salt.
fn encryption_key(secret: &SecretKey, salt: &[u8; 32]) -> [u8; 32] {
    sign(&secret.derive("brought app keys"), &[salt])
}

/// Binds an encrypted text to its app.
fn context(app: AppId) -> [u8; 8] {
    app.0.to_le_bytes()
}

fn text(secret: &SecretKey, salt: &[u8; 32]) -> String {
    hex::encode(sign(&secret.derive("app keys"), &[salt]))
}

/// App keys in a store.
#[async_trait]
pub trait AppKeyRepository: Send {
    /// Adds a key, ignoring `id`; `None` where there is one with its digest. Its app must exist.
    async fn insert(&mut self, key: &AppKey) -> StorageResult<Option<AppKeyId>>;
    /// Finds a key by id.
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
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn create(&self, caller: &Caller, app: &str) -> Result<AppSecret> {
        let salt = self.0.ids().secret();
        let text = text(&self.0.settings().secret, &salt);
        let key = NewKey { salt, digest: token_digest(&text), encrypted: None, text };
        self.add(caller, app, |_| Ok(key)).await
    }

    /// Takes over a secret that clients of the app have; needs permission 9. It is 16 to 128 characters of ASCII without
    /// blanks, and no other key of any app.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn bring(&self, caller: &Caller, app: &str, text: &str) -> Result<AppSecret> {
        let secret = &self.0.settings().secret;
        let salt = self.0.ids().secret();
        let [_, digest] = key_digests(secret, text);
        let new = |app: AppId| {
            check_token("secret", text, 16, 128, "printable ASCII without blanks", |c| c.is_ascii_graphic())?;
            let encrypted = encrypt(encryption_key(secret, &salt), &context(app), text.as_bytes())?;
            Ok(NewKey { salt, digest, encrypted: Some(encrypted), text: text.to_owned() })
        };
        self.add(caller, app, new).await
    }

    /// Adds the key that `new` makes for the app.
    async fn add(
        self,
        caller: &Caller,
        app: &str,
        new: impl FnOnce(AppId) -> Result<NewKey> + Send,
    ) -> Result<AppSecret> {
        let mut work = self.0.write_as(caller).await?;
        let app = lock_app(self.0, &mut work, caller, (app, Reach::App), Permission::Manage).await?;
        let NewKey { salt, digest, encrypted, text } = new(app.id)?;
        if work.app_keys().of_app(app.id).await?.len() >= Self::MAX {
            return Err(Error::conflict(format!("the app has {} keys, the most there may be", Self::MAX)));
        }
        let taken = || Error::exists("an app key with this secret");
        if work.app_keys().app_by_digest(&token_digest(&text)).await?.is_some() {
            return Err(taken());
        }
        let create_time = self.0.clock().now();
        let key = AppKey { id: AppKeyId::UNSAVED, app: app.id, salt, digest, encrypted, create_time };
        let id = work.app_keys().insert(&key).await?.ok_or_else(taken)?;
        work.record(Entry::new("key.create", object(&app.app, id))).await?;
        work.commit().await?;
        self.0.announce_change(app.id).await;
        Ok(AppSecret { id, text })
    }

    /// The keys of an app, by id, without their texts; needs permission 9.
    pub async fn list(&self, caller: &Caller, app: &str) -> Result<Vec<AppKey>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, (app, Reach::App), Permission::Manage).await?;
        Ok(snapshot.app_keys().of_app(app.id).await?)
    }

    /// Deletes a key, which opens nothing from now on; needs permission 9 on its app.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, id: AppKeyId) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let app = work.app_keys().find(id).await?.map(|key| key.app);
        let absent = || Error::not_found("the app key");
        let app =
            self.0.apps().lock_for_manager(&mut work, caller, (app, Reach::App)).await?.ok_or_else(absent)?;
        if !work.app_keys().delete(id).await? {
            return Err(absent());
        }
        work.record(Entry::new("key.delete", object(&app.app, id))).await?;
        work.commit().await?;
        self.0.announce_change(app.id).await;
        Ok(())
    }
}

/// A key that is about to be added.
struct NewKey {
    salt: [u8; 32],
    digest: [u8; 32],
    encrypted: Option<Vec<u8>>,
    text: String,
}

fn object(app: &str, id: AppKeyId) -> String {
    format!("{app} key {id}")
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
        let shown = format!("{:?}", AppSecret { id: AppKeyId(1), text: first.clone() });
        let opening = OpeningKey { id: AppKeyId(1), digest: [0; 32], text: Some(first.clone()) };
        assert!(!shown.contains(&first) && !format!("{opening:?}").contains(&first));
    }

    #[test]
    fn a_brought_key_is_read_with_the_secret_it_was_encrypted_under_and_for_its_app() {
        let (secret, salt) = (SecretKey::new(&[7; 32]).unwrap(), [1; 32]);
        let encrypted = encrypt(encryption_key(&secret, &salt), &context(AppId(3)), b"brought along");
        let key = AppKey {
            id: AppKeyId(1),
            app: AppId(3),
            salt,
            digest: [0; 32],
            encrypted: Some(encrypted.unwrap()),
            create_time: DateTime::UNIX_EPOCH,
        };
        assert_eq!(OpeningKey::of(&secret, &key).text.as_deref(), Some("brought along"));
        let other = SecretKey::new(&[8; 32]).unwrap();
        assert_eq!(OpeningKey::of(&other, &key).text, None);
        assert_eq!(OpeningKey::of(&secret, &AppKey { app: AppId(4), ..key }).text, None);
        assert_ne!(key_digests(&secret, "a")[1], key_digests(&other, "a")[1]);
        assert_eq!(key_digests(&secret, "a")[0], key_digests(&other, "a")[0]);
    }
}
