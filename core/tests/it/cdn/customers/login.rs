//! Log-ins to cdn management with a password of their own.

use pilothouse_core::ErrorKind;
use pilothouse_core::account::UpdateAccount;

use super::fixture::{CDN_PASSWORD, PASSWORD, caller_of, customer, kind, mail, pilothouse};

#[tokio::test]
async fn cdn_log_ins_are_throttled() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    let here = Some("192.0.2.1".parse().unwrap());
    for name in ["ann", "nobody"] {
        for _ in 0..5 {
            let wrong = pilothouse.cdn_logins().login(&mail(name), "wrong password", here).await;
            assert_eq!(kind(wrong), ErrorKind::Unauthenticated);
        }
        let right = pilothouse.cdn_logins().login(&mail(name).to_uppercase(), CDN_PASSWORD, here).await;
        assert_eq!(kind(right), ErrorKind::TooMany, "known and unknown addresses are throttled alike");
    }
    assert!(
        pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.is_ok(),
        "another address is not throttled"
    );
    assert!(
        pilothouse.logins().login("ann", PASSWORD, here).await.is_ok(),
        "account log-ins are counted separately"
    );
}

#[tokio::test]
async fn a_changed_account_password_revokes_cdn_tokens_too() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    let change = UpdateAccount {
        name: Some("ann".to_owned()),
        new_passwd: Some("a new password".to_owned()),
        ..UpdateAccount::default()
    };
    pilothouse.accounts().update(&root, change).await.unwrap();
    assert_eq!(kind(caller_of(&pilothouse, &access.token).await), ErrorKind::Unauthenticated);
    assert!(
        pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.is_ok(),
        "the cdn password is kept"
    );
}
