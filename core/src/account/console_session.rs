//! Sessions of the console: tokens that open it and nothing else.

use std::net::IpAddr;

use chrono::TimeDelta;

use super::token::token_digest;
use super::{Access, Caller, Scope};
use crate::secret::{sign, verify};
use crate::{Error, Pilothouse, Result};

/// Time without a request after which a session is over: 2 hours.
const IDLE: TimeDelta = TimeDelta::hours(2);

/// Time for which a password holds that was typed for what is dangerous: 10 minutes.
const CONFIRMED: TimeDelta = TimeDelta::minutes(10);

/// The use cases of sessions of the console.
///
/// A session is a token of a scope of its own. It is resumed only here: [`super::TokenAuthenticator`] knows none of them, and
/// this knows no others. So a stolen session opens no call of the API, and a token of the API no page.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleSessions<'a>(pub(crate) &'a Pilothouse);

impl ConsoleSessions<'_> {
    /// Begins a session with a name or mail and a password, throttled and audited like every log-in.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn begin(&self, name: &str, password: &str, address: Option<IpAddr>) -> Result<Access> {
        self.0.logins().login_to(Scope::Console, name, password, address).await
    }

    /// Begins a session for the cdn family alone with a customer's mail and its cdn password.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn begin_cdn(
        &self,
        login_email: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Access> {
        self.0.cdn_logins().login_to(Scope::ConsoleCdn, login_email, password, address).await
    }

    /// The caller behind a session: in the use cases it may what a log-in of its kind may. A session that expired, was
    /// revoked, or was not used for 2 hours is [`Error::Unauthenticated`].
    pub async fn resume(&self, token: &str, address: Option<IpAddr>) -> Result<Caller> {
        let mut snapshot = self.0.storage().peek().await?;
        let found = snapshot.tokens().resolve(&token_digest(token)).await?;
        let now = self.0.clock().now();
        let (token, account) =
            found.filter(|(token, account)| token.is_open(account, now)).ok_or(Error::Unauthenticated)?;
        let scope = match token.scope {
            Scope::Console => Scope::Account,
            Scope::ConsoleCdn => Scope::Cdn,
            Scope::Account | Scope::Cdn | Scope::Api => return Err(Error::Unauthenticated),
        };
        let stored = token.last_used.unwrap_or(token.created);
        let last_used = self.0.noted_use(token.id).map_or(stored, |noted| noted.max(stored));
        if now - last_used > IDLE {
            return Err(Error::Unauthenticated);
        }
        self.0.note_use(token.id, now);
        drop(snapshot);
        Ok(Caller { scope, ..Caller::of_token(token, account, address) })
    }

    /// Proof that the password of a session that has just begun was typed, good for 10 minutes and for this session alone.
    pub fn prove(&self, access: &Access) -> String {
        self.proof_of(&access.token)
    }

    /// The same proof for whoever types the password of a session's account again. Throttled and audited like a log-in; a wrong
    /// one is [`Error::Unauthenticated`].
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn confirm(&self, caller: &Caller, session: &str, password: &str) -> Result<String> {
        let account = self.0.storage().read().await?.accounts().by_id(caller.id).await?;
        let account = account.ok_or(Error::Unauthenticated)?;
        let logins = self.0.logins();
        let hash = account.password.as_deref();
        let attempt = logins.attempt("password", &account.name, caller.address, password, hash).await;
        logins.admit(attempt, Some(&account), caller.address)?;
        Ok(self.proof_of(session))
    }

    /// Whether a proof is one of this session and still good.
    pub fn is_confirmed(&self, session: &str, proof: &str) -> bool {
        let Some((expires, signature)) = proof.split_once('.') else { return false };
        let (Ok(seconds), Ok(signature)) = (expires.parse::<i64>(), hex::decode(signature)) else {
            return false;
        };
        let left = seconds - self.0.clock().now().timestamp();
        let is_of_session = verify(&self.proof_key(), &[session.as_bytes(), expires.as_bytes()], &signature);
        is_of_session && (1..=CONFIRMED.num_seconds()).contains(&left)
    }

    fn proof_of(self, session: &str) -> String {
        let expires = (self.0.clock().now() + CONFIRMED).timestamp().to_string();
        let signature = sign(&self.proof_key(), &[session.as_bytes(), expires.as_bytes()]);
        format!("{expires}.{}", hex::encode(signature))
    }

    fn proof_key(self) -> [u8; 32] {
        self.0.settings().secret.derive("confirmation in the console")
    }

    /// Whether a caller is still what it was when its request began, for answers that last longer than a request.
    pub async fn is_current(&self, caller: &Caller) -> Result<bool> {
        let mut snapshot = self.0.storage().read().await?;
        match self.0.require_current(&mut *snapshot, caller).await {
            Ok(()) => Ok(true),
            Err(Error::Unauthenticated | Error::Forbidden) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
