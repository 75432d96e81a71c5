//! The secret key and what is derived from it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ports::{Ids, RandomIds};
use crate::{Error, Result};

/// The operator's secret. Keys for single purposes are derived from it, so that none tells anything of another.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// The fewest bytes a secret may have.
    pub const MIN_BYTES: usize = 32;

    /// From any text or bytes; refuses fewer than 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self> {
        if secret.len() < Self::MIN_BYTES {
            return Err(Error::invalid(
                "secret_key",
                format!("must be at least {} bytes, not {}", Self::MIN_BYTES, secret.len()),
            ));
        }
        Ok(Self(keyed(b"pilothouse", secret)))
    }

    /// A key for one purpose, always the same for the same secret and purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        keyed(&self.0, purpose.as_bytes())
    }
}

impl Default for SecretKey {
    /// A random secret: what it signed or encrypted cannot be read by another process or after a restart.
    fn default() -> Self {
        Self(RandomIds.secret())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// HMAC-SHA256, RFC 2104.
fn keyed(key: &[u8], text: &[u8]) -> [u8; 32] {
    mac(key, &[text]).finalize().into_bytes().into()
}

/// HMAC-SHA256 over the parts, each with its length before it, so that no two lists of parts are one text.
pub(crate) fn sign(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    measured(key, parts).finalize().into_bytes().into()
}

/// Whether `signature` is what [`sign`] makes of the parts, in a time that does not depend on where it differs.
pub(crate) fn verify(key: &[u8; 32], parts: &[&[u8]], signature: &[u8]) -> bool {
    measured(key, parts).verify_slice(signature).is_ok()
}

fn measured(key: &[u8; 32], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = mac(key, &[]);
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_secret_and_purpose_alone() {
        let secret = SecretKey::new(&[7; 32]).unwrap();
        assert_eq!(secret.derive("a"), SecretKey::new(&[7; 32]).unwrap().derive("a"));
        assert_ne!(secret.derive("a"), secret.derive("b"));
        assert_ne!(secret.derive("a"), SecretKey::new(&[8; 32]).unwrap().derive("a"));
        assert_ne!(SecretKey::default().derive("a"), SecretKey::default().derive("a"));
        assert_eq!(format!("{secret:?}"), "SecretKey(..)");
    }

    #[test]
    fn short_secrets_are_refused() {
        let refused = SecretKey::new(&[7; 31]).unwrap_err();
        assert_eq!(refused.to_string(), "secret_key: must be at least 32 bytes, not 31");
    }

    #[test]
    fn a_signature_fits_only_its_parts() {
        let key = [3; 32];
        let signature = sign(&key, &[b"ab", b"c"]);
        assert!(verify(&key, &[b"ab", b"c"], &signature));
        assert!(!verify(&key, &[b"a", b"bc"], &signature));
        assert!(!verify(&[4; 32], &[b"ab", b"c"], &signature));
        assert!(!verify(&key, &[b"ab", b"c"], &signature[..31]));
        assert!(!verify(&key, &[b"ab", b"c"], b""));
    }
}
