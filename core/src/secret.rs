//! Secret key of the operator, the keys derived from it, and what is signed and encrypted with them.

use std::fmt;

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, Payload};
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

    /// Takes any text or bytes; refuses fewer than 32 bytes.
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
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
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

/// ChaCha20-Poly1305 of a text. Its nonce is constant, so no other text may ever be encrypted with this key. Only who gives
/// the same `context` can decrypt it.
pub(crate) fn encrypt(key: [u8; 32], context: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let payload = Payload { msg: text, aad: context };
    let encrypted = ChaCha20Poly1305::new(&key.into()).encrypt(&NONCE.into(), payload);
    encrypted.map_err(|_| Error::Internal("a text could not be encrypted".to_owned()))
}

/// The text that [`encrypt`] was given with the same key and context; `None` where that is not what was encrypted.
pub(crate) fn decrypt(key: [u8; 32], context: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    let payload = Payload { msg: encrypted, aad: context };
    ChaCha20Poly1305::new(&key.into()).decrypt(&NONCE.into(), payload).ok()
}

/// Nonce of each key's only text.
const NONCE: [u8; 12] = [0; 12];

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
    fn an_encrypted_text_is_read_with_its_key_and_context_alone() {
        let encrypted = encrypt([3; 32], b"context", b"a secret").unwrap();
        assert_eq!(decrypt([3; 32], b"context", &encrypted).unwrap(), b"a secret");
        assert!(!encrypted.windows(8).any(|part| part == b"a secret"));
        assert_eq!(decrypt([4; 32], b"context", &encrypted), None);
        assert_eq!(decrypt([3; 32], b"another", &encrypted), None);
        for at in 0..encrypted.len() {
            let mut changed = encrypted.clone();
            changed[at] ^= 1;
            assert_eq!(decrypt([3; 32], b"context", &changed), None);
            assert_eq!(decrypt([3; 32], b"context", &encrypted[..at]), None);
        }
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
