//! Password hashes of Django: `pbkdf2_sha256$iterations$salt$hash`, as imported accounts have them until their first log-in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use hmac::digest::CtOutput;
use sha2::Sha256;

use crate::{Error, Result};

/// Stands where a password hash is required and nobody is to log in. Django writes the same sign before a random text.
pub(crate) const UNUSABLE_PASSWORD: &str = "!";

const ALGORITHM: &str = "pbkdf2_sha256$";
/// The most iterations: some two seconds of work. Django 5.2 makes a million.
const MAX_ITERATIONS: u32 = 4_000_000;
/// The longest salt in bytes.
const MAX_SALT: usize = 128;

/// PBKDF2 with HMAC-SHA256 and a hash of 32 bytes.
pub(super) struct DjangoHash {
    iterations: u32,
    salt: String,
    hash: [u8; 32],
}

impl DjangoHash {
    /// Parses a hash; `None` where it is of another algorithm. Refuses one of this algorithm that is malformed or beyond a limit.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        let Some(rest) = text.strip_prefix(ALGORITHM) else { return Ok(None) };
        let parts: Vec<&str> = rest.split('$').collect();
        let &[iterations, salt, hash] = &parts[..] else {
            return Err(refused("must be pbkdf2_sha256$iterations$salt$hash"));
        };
        let iterations = iterations.parse().ok().filter(|n| (1..=MAX_ITERATIONS).contains(n));
        let iterations = iterations.ok_or_else(|| refused("must have 1 to 4000000 iterations"))?;
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(refused("must have a salt of 1 to 128 bytes"));
        }
        let hash = STANDARD.decode(hash).ok().and_then(|hash| hash.try_into().ok());
        let hash = hash.ok_or_else(|| refused("must end with 32 bytes in base64"))?;
        Ok(Some(Self { iterations, salt: salt.to_owned(), hash }))
    }

    /// Whether it is the hash of this password, in a time that does not depend on where it differs.
    pub(super) fn is_of(&self, password: &str) -> bool {
        let mut hash = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), self.salt.as_bytes(), self.iterations, &mut hash);
        CtOutput::<Hmac<Sha256>>::new(hash.into()) == CtOutput::new(self.hash.into())
    }
}

/// The hash to keep of an imported password; `None` where nobody can log in with it: there is none, or Django marked it as
/// unusable with a `!`. Refuses every other algorithm than Django's `pbkdf2_sha256`.
pub(crate) fn check_imported_password(hash: Option<&str>) -> Result<Option<String>> {
    match hash {
        None | Some("") => Ok(None),
        Some(hash) if hash.starts_with(UNUSABLE_PASSWORD) => Ok(None),
        Some(hash) => match DjangoHash::parse(hash)? {
            Some(_) => Ok(Some(hash.to_owned())),
            None => Err(refused("must be a hash of Django's algorithm pbkdf2_sha256, empty or null")),
        },
    }
}

fn refused(reason: &'static str) -> Error {
    Error::invalid("password", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Python's `hashlib.pbkdf2_hmac`.
    const LETMEIN: &str = "pbkdf2_sha256$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=";

    #[test]
    fn only_the_right_password_is_of_the_hash() {
        let hash = DjangoHash::parse(LETMEIN).unwrap().unwrap();
        assert!(hash.is_of("lètmein"));
        assert!(!hash.is_of("letmein"));
        assert!(!hash.is_of(""));
    }

    #[test]
    fn malformed_hashes_and_endless_work_are_refused() {
        let hash = "JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=";
        let salt = "s".repeat(129);
        for (text, words) in [
            (format!("pbkdf2_sha256$0$a${hash}"), "iterations"),
            (format!("pbkdf2_sha256$4000001$a${hash}"), "iterations"),
            (format!("pbkdf2_sha256$-1$a${hash}"), "iterations"),
            (format!("pbkdf2_sha256$1$${hash}"), "salt"),
            (format!("pbkdf2_sha256$1${salt}${hash}"), "salt"),
            ("pbkdf2_sha256$1$a$AAAA".to_owned(), "base64"),
            ("pbkdf2_sha256$1$a".to_owned(), "pbkdf2_sha256$iterations$salt$hash"),
            ("pbkdf2_sha1$1$a$AAAA".to_owned(), "algorithm"),
            ("$argon2id$v=19$m=4294967295,t=2,p=1$c2FsdHNhbHQ$AAAA".to_owned(), "algorithm"),
            ("secret".to_owned(), "algorithm"),
        ] {
            let refused = check_imported_password(Some(&text)).unwrap_err().to_string();
            assert!(refused.starts_with("password: ") && refused.contains(words), "{text}: {refused}");
        }
        for text in [None, Some(""), Some("!"), Some("!Xc3…")] {
            assert_eq!(check_imported_password(text).unwrap(), None);
        }
        assert_eq!(check_imported_password(Some(LETMEIN)).unwrap().as_deref(), Some(LETMEIN));
    }
}
