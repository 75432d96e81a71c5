//! Authenticator port of the console: turns the head of a request into a caller.

use std::fmt::Debug;
use std::net::IpAddr;

use async_trait::async_trait;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use pilothouse_core::account::Caller;
use pilothouse_core::{Error, Pilothouse, Result};

/// Turns the head of a request into a [`Caller`].
///
/// The console's own is [`SessionAuthenticator`]. A host with accounts of its own supplies another, and everything else works
/// unchanged.
#[async_trait]
pub trait ConsoleAuthenticator: Debug + Send + Sync + 'static {
    /// The caller behind a request, which comes from `address`; `None` where nobody is logged in.
    async fn caller(&self, head: &Parts, address: Option<IpAddr>) -> Result<Option<Caller>>;

    /// URL of the page on which people log in; `None` for the console's own.
    fn login_url(&self) -> Option<String> {
        None
    }
}

/// The console's own [`ConsoleAuthenticator`]: sessions of Pilothouse's accounts and customers, in a cookie.
#[derive(Clone, Debug)]
pub struct SessionAuthenticator(Pilothouse);

impl SessionAuthenticator {
    /// Creates an authenticator of the sessions that this `pilothouse` began.
    pub fn new(pilothouse: Pilothouse) -> Self {
        Self(pilothouse)
    }
}

#[async_trait]
impl ConsoleAuthenticator for SessionAuthenticator {
    async fn caller(&self, head: &Parts, address: Option<IpAddr>) -> Result<Option<Caller>> {
        let Some(session) = session(&head.headers) else { return Ok(None) };
        match self.0.console_sessions().resume(session, address).await {
            Ok(caller) => Ok(Some(caller)),
            Err(Error::Unauthenticated) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Name of the session's cookie by https, which browsers take from nobody else, and by plain http.
const SESSIONS: [&str; 2] = ["__Host-pilothouse", "pilothouse"];

/// Names of the cookie that proves that the password was typed of late.
const PROOFS: [&str; 2] = ["__Host-pilothouse-confirmed", "pilothouse-confirmed"];

/// The session that a request came with.
pub(crate) fn session(headers: &HeaderMap) -> Option<&str> {
    SESSIONS.iter().find_map(|name| cookie(headers, name))
}

/// Proof of a request that the password was typed of late.
pub(crate) fn proof(headers: &HeaderMap) -> Option<&str> {
    PROOFS.iter().find_map(|name| cookie(headers, name))
}

/// The header that keeps such a proof.
pub(crate) fn proof_cookie(proof: &str, is_encrypted: bool) -> String {
    let [secure, plain] = PROOFS;
    if is_encrypted {
        format!("{secure}={proof}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=600")
    } else {
        format!("{plain}={proof}; Path=/; HttpOnly; SameSite=Strict; Max-Age=600")
    }
}

/// Value of a cookie of the request.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(known, value)| (known == name).then_some(value))
}

/// The header that begins a session, or with an empty one ends it. Lax and not strict: links to pages come from mails and
/// messengers, and no page changes anything by GET.
pub(crate) fn session_cookie(session: &str, is_encrypted: bool) -> String {
    let end = if session.is_empty() { "; Max-Age=0" } else { "" };
    let [secure, plain] = SESSIONS;
    if is_encrypted {
        format!("{secure}={session}; Path=/; Secure; HttpOnly; SameSite=Lax{end}")
    } else {
        format!("{plain}={session}; Path=/; HttpOnly; SameSite=Lax{end}")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; xpilothouse=2;pilothouse=3"));
        headers.append(COOKIE, HeaderValue::from_static("b=4"));
        assert_eq!(cookie(&headers, "pilothouse"), Some("3"));
        assert_eq!(cookie(&headers, "b"), Some("4"));
        assert_eq!(cookie(&headers, "house"), None);
    }
}
