//! Passwords: argon2id, in a bounded pool of blocking threads. Hashes that were imported are checked, too, and replaced at
//! the first right log-in.

use std::sync::{Arc, OnceLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use super::django_hash::{DjangoHash, UNUSABLE_PASSWORD};
use crate::{Error, Result};

/// The most bytes a password may have, whatever the settings say.
const MAX_LENGTH: usize = 1024;

/// Hashes and checks passwords with argon2id (m = 19456 KiB, t = 2, p = 1).
///
/// A hash takes some 30 ms and 19 MiB, so at most as many run at once as there are cores but one (at least one):
/// a storm of log-ins queues here and leaves the server answering.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    min_length: usize,
    /// Hash that an unknown name's password is compared with, so that the answer takes as long as for a known one.
    decoy: Arc<str>,
}

impl Passwords {
    /// `min_length` is the setting `password_min_length`.
    pub(crate) fn new(min_length: usize) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { permits: Arc::new(Semaphore::new((cores - 1).max(1))), min_length, decoy: decoy()? })
    }

    /// Refuses a password that is too short or too long, naming `field`.
    pub(crate) fn check(&self, field: &'static str, password: &str) -> Result<()> {
        if password.len() > MAX_LENGTH {
            return Err(Error::invalid(field, "must be at most 1024 bytes"));
        }
        if password.chars().count() < self.min_length {
            return Err(Error::invalid(field, format!("must be at least {} characters", self.min_length)));
        }
        Ok(())
    }

    /// The PHC string to keep. The password must have passed [`Passwords::check`].
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        self.run(move || hash_blocking(&password)).await?
    }

    /// Whether `password` is the one behind `hash`. Without a hash it takes as long and is never right.
    pub(crate) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        if password.len() > MAX_LENGTH {
            return Ok(false);
        }
        let hash = hash.filter(|hash| *hash != UNUSABLE_PASSWORD);
        let known = hash.is_some();
        let (password, hash) = (password.to_owned(), hash.unwrap_or(&self.decoy).to_owned());
        let right = self
            .run(move || {
                if let Some(hash) = DjangoHash::parse(&hash)? {
                    return Ok(hash.is_of(&password));
                }
                let hash =
                    PasswordHash::new(&hash).map_err(|e| Error::Internal(format!("a password hash: {e}")))?;
                Ok::<_, Error>(hasher()?.verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await??;
        Ok(right && known)
    }

    /// The hash to keep from now on of a password that was found right; `None` where the one that is kept is as it should be.
    pub(crate) async fn renewed(&self, password: &str, hash: Option<&str>) -> Result<Option<String>> {
        match hash.map(DjangoHash::parse).transpose()?.flatten() {
            Some(_) => self.hash(password).await.map(Some),
            None => Ok(None),
        }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::Internal("the password pool is closed".into()))?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|e| Error::Internal(format!("hashing a password: {e}")))
    }
}

fn hasher() -> Result<Argon2<'static>> {
    let params = Params::new(19_456, 2, 1, None).map_err(|e| Error::Internal(format!("argon2: {e}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Made once in a process: it is as slow as any hash, and tests make many servers.
fn decoy() -> Result<Arc<str>> {
    static DECOY: OnceLock<Arc<str>> = OnceLock::new();
    if let Some(decoy) = DECOY.get() {
        return Ok(decoy.clone());
    }
    let decoy = hash_blocking("no account has this password")?;
    Ok(DECOY.get_or_init(|| decoy.into()).clone())
}

fn hash_blocking(password: &str) -> Result<String> {
    let hash = hasher()?.hash_password(password.as_bytes());
    Ok(hash.map_err(|e| Error::Internal(format!("argon2: {e}")))?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let passwords = Passwords::new(8).unwrap();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct horsf", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("no account has this password", None).await.unwrap());
    }

    #[test]
    fn limits_are_named() {
        let passwords = Passwords::new(8).unwrap();
        assert_eq!(
            passwords.check("passwd", "1234567").unwrap_err().to_string(),
            "passwd: must be at least 8 characters"
        );
        assert!(passwords.check("passwd", "密码密码密码密码").is_ok());
        assert!(passwords.check("passwd", &"x".repeat(1025)).is_err());
    }
}
