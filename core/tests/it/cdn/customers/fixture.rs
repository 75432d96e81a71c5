//! Customers on `level3`, with real accounts and log-ins.

use std::sync::Arc;

use pilothouse_core::account::{Caller, NewAccount, TokenAuthenticator};
use pilothouse_core::cdn::{CdnDomains, NewCustomer};
use pilothouse_core::ports::Authenticator;
use pilothouse_core::{ErrorKind, Pilothouse, Result, Settings};
use pilothouse_storage_memory::MemoryStorage;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const CDN_PASSWORD: &str = "another password";

/// An empty store with the cdn `level3`, and a caller in every group.
pub(crate) async fn pilothouse() -> (Pilothouse, Caller) {
    let settings = Settings::default().with_cdns(["level3"]);
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new().strict()), settings).unwrap();
    pilothouse.cdns().ensure_configured().await.unwrap();
    pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
    let root = caller(&pilothouse, "root").await;
    (pilothouse, root)
}

/// The caller that an access token authenticates.
pub(crate) async fn caller_of(pilothouse: &Pilothouse, token: &str) -> Result<Caller> {
    TokenAuthenticator::new(pilothouse.clone()).authenticate(token, None).await
}

/// The caller of an account, logged in with every right of the account.
pub(crate) async fn caller(pilothouse: &Pilothouse, name: &str) -> Caller {
    let access = pilothouse.logins().login(name, PASSWORD, None).await.unwrap();
    caller_of(pilothouse, &access.token).await.unwrap()
}

/// Adds an account in these groups, comma-separated; its caller.
pub(crate) async fn account(pilothouse: &Pilothouse, root: &Caller, name: &str, groups: &str) -> Caller {
    let new = NewAccount {
        name: name.to_owned(),
        mail: mail(name),
        passwd: PASSWORD.to_owned(),
        department: String::new(),
        groups: groups.parse().unwrap(),
    };
    pilothouse.accounts().add(root, new).await.unwrap();
    caller(pilothouse, name).await
}

pub(crate) fn mail(name: &str) -> String {
    format!("{name}@example.com")
}

pub(crate) fn new_customer(name: &str) -> NewCustomer {
    NewCustomer { login_email: mail(name), password: CDN_PASSWORD.to_owned(), operations: true }
}

/// Adds an account without groups that has cdn access; its caller.
pub(crate) async fn customer(pilothouse: &Pilothouse, root: &Caller, name: &str) -> Caller {
    let caller = account(pilothouse, root, name, "").await;
    pilothouse.customers().create(root, new_customer(name)).await.unwrap();
    caller
}

/// Gives the account `name` domains on `level3`.
pub(crate) async fn add_domains(
    pilothouse: &Pilothouse,
    root: &Caller,
    name: &str,
    domains: &[&str],
) -> Result<Vec<CdnDomains>> {
    let domains: Vec<String> = domains.iter().map(ToString::to_string).collect();
    pilothouse.domains().add(root, &mail(name), "level3", &domains).await
}

/// The kind of the error that a use case was refused with.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}
