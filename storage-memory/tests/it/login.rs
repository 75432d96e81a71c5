//! What happens to a log-in while it is under way.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_core::account::Account;
use pilothouse_core::ports::Storage;
use pilothouse_core::{Error, Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;

const PASSWORD: &str = "correct horse battery";

/// The old password was found right, and then changed before the token was issued: there is no token, or it would
/// outlive its revocation.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changes_meanwhile_opens_nothing() {
    let storage = Arc::new(MemoryStorage::new());
    let pilothouse = Pilothouse::new(storage.clone(), Settings::default()).unwrap();
    let root = pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
    pilothouse.logins().login("root", PASSWORD, None).await.unwrap();

    let mut work = storage.begin().await.unwrap();
    let login = tokio::spawn(async move { pilothouse.logins().login("root", PASSWORD, None).await });
    // Long enough for the comparison; the log-in then waits for this transaction to end.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!login.is_finished());
    let account = work.accounts().by_id(root).await.unwrap().unwrap();
    let changed = Account { password: Some("another hash".into()), ..account };
    assert!(work.accounts().update(&changed).await.unwrap());
    work.commit().await.unwrap();
    let refused = login.await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::Unauthenticated), "{refused:?}");
    assert!(storage.read().await.unwrap().tokens().of_account(root).await.unwrap().len() == 1);
}
