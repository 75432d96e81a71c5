//! Log-ins: the throttle, and races with a change of the password.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use pilothouse_core::account::Account;
use pilothouse_core::ports::{Clock, Storage, SystemClock};
use pilothouse_core::{Error, Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;
use tokio::time::Instant;

const PASSWORD: &str = "correct horse battery";

/// The password is changed after the old one was verified and before the token is issued: no token is issued, because
/// it would outlive the revocation of the account's tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_changed_during_the_log_in_issues_no_token() {
    let storage = Arc::new(MemoryStorage::new().strict());
    let pilothouse = Pilothouse::new(storage.clone(), Settings::default()).unwrap();
    let root = pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
    pilothouse.logins().login("root", PASSWORD, None).await.unwrap();

    let mut work = storage.begin().await.unwrap();
    let login = tokio::spawn(async move { pilothouse.logins().login("root", PASSWORD, None).await });
    // Long enough for the verification; the log-in then waits for this transaction to end.
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

/// A domain with the account `root`, and failures of that name from many addresses.
async fn after_failures(count: u32) -> Pilothouse {
    let storage = Arc::new(MemoryStorage::new().strict());
    let pilothouse = Pilothouse::new(storage.clone(), Settings::default()).unwrap();
    pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
    let mut work = storage.begin().await.unwrap();
    for n in 0..count {
        let address = IpAddr::from(Ipv6Addr::from_bits(u128::from(n) << 64));
        work.login_failures().insert("root", address, SystemClock.now()).await.unwrap();
    }
    work.commit().await.unwrap();
    pilothouse
}

/// The strict store panics where the delay is awaited with a snapshot open.
#[tokio::test(start_paused = true)]
async fn a_name_with_many_failures_is_delayed_with_nothing_open() {
    for (failures, delay) in [(100, Duration::ZERO), (101, Duration::from_secs(1))] {
        let pilothouse = after_failures(failures).await;
        let begun = Instant::now();
        pilothouse.logins().login("root", PASSWORD, None).await.unwrap();
        // Tokio's clock stands still but while it is waited for.
        assert_eq!(Duration::from_secs(begun.elapsed().as_secs()), delay);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_log_in_pays_no_delay() {
    let pilothouse = after_failures(101).await;
    let address = Some("192.0.2.1".parse().unwrap());
    for _ in 0..5 {
        pilothouse.logins().login("root", "wrong", address).await.unwrap_err();
    }
    let begun = Instant::now();
    for _ in 0..100 {
        let refused = pilothouse.logins().login("root", PASSWORD, address).await.unwrap_err();
        assert!(matches!(refused, Error::TooMany { .. }), "{refused:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn ipv6_addresses_of_one_64_are_throttled_together() {
    let pilothouse = after_failures(0).await;
    let login = async |password, address: &str| {
        pilothouse.logins().login("root", password, Some(address.parse().unwrap())).await
    };
    for n in 1..=5 {
        login("wrong", &format!("2001:db8:0:1::{n}")).await.unwrap_err();
    }
    let refused = login(PASSWORD, "2001:db8:0:1:ffff::1").await.unwrap_err();
    assert!(matches!(refused, Error::TooMany { .. }), "{refused:?}");
    login(PASSWORD, "2001:db8:0:2::1").await.unwrap();
}
