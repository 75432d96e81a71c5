//! Repository of failed log-ins over the state in memory.

use std::net::IpAddr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::LoginFailureRepository;
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[derive(Clone, Debug)]
pub(super) struct LoginFailure {
    name: String,
    address: IpAddr,
    at: DateTime<Utc>,
}

impl LoginFailure {
    fn is_within(&self, since: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        since < self.at && self.at <= until
    }

    fn counts(&self, name: Option<&str>, address: Option<IpAddr>) -> bool {
        name.is_none_or(|name| self.name == name) && address.is_none_or(|address| self.address == address)
    }
}

#[async_trait]
impl LoginFailureRepository for Transaction {
    async fn insert(&mut self, name: &str, address: IpAddr, at: DateTime<Utc>) -> StorageResult<()> {
        let failure = LoginFailure { name: name.to_owned(), address, at };
        self.state_mut()?.account.login_failures.insert(|_| failure);
        Ok(())
    }

    async fn count(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> StorageResult<u64> {
        let failures = self.state().account.login_failures.iter();
        Ok(
            failures
                .filter(|failure| failure.counts(name, address) && failure.is_within(since, until))
                .count() as u64,
        )
    }

    async fn oldest(
        &mut self,
        name: Option<&str>,
        address: Option<IpAddr>,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> StorageResult<Option<DateTime<Utc>>> {
        let failures = self.state().account.login_failures.iter();
        Ok(failures
            .filter(|failure| failure.counts(name, address) && failure.is_within(since, until))
            .map(|failure| failure.at)
            .min())
    }

    async fn prune(&mut self, since: DateTime<Utc>, until: DateTime<Utc>) -> StorageResult<()> {
        self.state_mut()?.account.login_failures.retain(|failure| failure.is_within(since, until));
        Ok(())
    }
}
