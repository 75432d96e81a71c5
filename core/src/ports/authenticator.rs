//! Authenticator port: turns bearer tokens into callers.

use std::fmt::Debug;
use std::net::IpAddr;

use async_trait::async_trait;

use crate::Result;
use crate::account::Caller;

/// Turns the bearer token of a request into a [`Caller`].
///
/// Pilothouse's own is [`crate::account::TokenAuthenticator`]. A host with accounts of its own supplies another, and
/// everything else works unchanged.
#[async_trait]
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// The caller behind `bearer`, or [`crate::Error::Unauthenticated`]. `address` is where the request comes from.
    async fn authenticate(&self, bearer: &str, address: Option<IpAddr>) -> Result<Caller>;
}
