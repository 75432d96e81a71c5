//! Repository of access tokens over the state in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::{Account, AccountId, NewToken, Scope, Token, TokenId, TokenRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl TokenRepository for Transaction {
    async fn insert(&mut self, new: &NewToken) -> StorageResult<TokenId> {
        let NewToken { account, scope, name, limits, digest, created, expires, address } = new.clone();
        let tokens = &mut self.state_mut()?.account.tokens;
        let last_used = None;
        Ok(tokens.insert(|id| {
            (Token { id, account, scope, name, limits, created, expires, last_used, address }, digest)
        }))
    }

    async fn resolve(&mut self, digest: &[u8; 32]) -> StorageResult<Option<(Token, Account)>> {
        let state = &self.state().account;
        let found = state.tokens.iter().find(|(_, held)| held == digest);
        Ok(found.and_then(|(token, _)| Some((token.clone(), state.accounts.get(token.account)?.clone()))))
    }

    async fn find(&mut self, id: TokenId) -> StorageResult<Option<(Token, Account)>> {
        let state = &self.state().account;
        let found = state.tokens.get(id);
        Ok(found.and_then(|(token, _)| Some((token.clone(), state.accounts.get(token.account)?.clone()))))
    }

    async fn of_account(&mut self, account: AccountId) -> StorageResult<Vec<Token>> {
        let tokens = self.state().account.tokens.iter().map(|(token, _)| token);
        Ok(tokens.filter(|token| token.account == account).cloned().collect())
    }

    async fn delete(&mut self, account: AccountId, id: TokenId) -> StorageResult<bool> {
        let tokens = &mut self.state_mut()?.account.tokens;
        Ok(tokens.get(id).is_some_and(|(token, _)| token.account == account) && tokens.remove(id))
    }

    async fn delete_of_account(&mut self, account: AccountId, scope: Option<Scope>) -> StorageResult<()> {
        self.state_mut()?
            .account
            .tokens
            .retain(|(token, _)| token.account != account || scope.is_some_and(|scope| token.scope != scope));
        Ok(())
    }

    async fn touch(&mut self, used: &[(TokenId, DateTime<Utc>)]) -> StorageResult<()> {
        let tokens = &mut self.state_mut()?.account.tokens;
        for (id, at) in used {
            if let Some((token, _)) = tokens.get_mut(*id) {
                token.last_used = Some(*at);
            }
        }
        Ok(())
    }

    async fn prune(&mut self, now: DateTime<Utc>) -> StorageResult<()> {
        self.state_mut()?.account.tokens.retain(|(token, _)| token.expires > now);
        Ok(())
    }
}
