//! Customers: cdn access of accounts.

use pilothouse_core::account::Caller;
use pilothouse_core::cdn::{Customer, UpdateCustomer};
use pilothouse_core::{ErrorKind, Result};

use super::fixture::{
    CDN_PASSWORD, PASSWORD, account, caller, caller_of, customer, kind, mail, new_customer, pilothouse,
};

#[tokio::test]
async fn cdn_access_is_independent_of_the_account() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    let cdn_caller = caller_of(&pilothouse, &access.token).await.unwrap();
    assert_eq!(
        kind(pilothouse.cdn_logins().login(&mail("ann"), PASSWORD, None).await),
        ErrorKind::Unauthenticated
    );
    assert_eq!(kind(pilothouse.logins().login("ann", CDN_PASSWORD, None).await), ErrorKind::Unauthenticated);
    assert_eq!(kind(pilothouse.tokens().list(&cdn_caller, None).await), ErrorKind::Forbidden);

    let change = UpdateCustomer { login_email: mail("ANN"), password: None, operations: Some(false) };
    let (changed, _) = pilothouse.customers().update(&root, change).await.unwrap();
    assert!(!changed.operations && changed.version == 2);
    assert_eq!(
        kind(caller_of(&pilothouse, &access.token).await),
        ErrorKind::Unauthenticated,
        "a change revokes the tokens of cdn log-ins"
    );
    let account_caller = caller(&pilothouse, "ann").await;
    assert_eq!(
        pilothouse.tokens().list(&account_caller, None).await.unwrap().len(),
        2,
        "tokens of account log-ins are kept"
    );

    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    pilothouse.customers().delete(&root, &mail("ann")).await.unwrap();
    assert_eq!(kind(caller_of(&pilothouse, &access.token).await), ErrorKind::Unauthenticated);
    assert_eq!(
        kind(pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await),
        ErrorKind::Unauthenticated
    );
    assert_eq!(kind(pilothouse.domains().names(&account_caller, None).await), ErrorKind::Forbidden);
    assert_eq!(caller(&pilothouse, "ann").await.id, account_caller.id, "the account is kept");
}

#[tokio::test]
async fn a_caller_without_group_8_may_name_only_itself() {
    let (pilothouse, root) = pilothouse().await;
    let ann = customer(&pilothouse, &root, "ann").await;
    let bob = customer(&pilothouse, &root, "bob").await;
    let eve = account(&pilothouse, &root, "eve", "1,2,3,4,5,6,7,9").await;
    let domains = pilothouse.domains();
    let named = async |caller: &Caller, who: &str| -> Result<Customer> {
        domains.list(caller, who).await.map(|(customer, _)| customer)
    };
    assert_eq!(named(&ann, &mail("ANN")).await.unwrap().account_id, ann.id);
    assert_eq!(named(&root, &mail("bob")).await.unwrap().account_id, bob.id);
    for who in [mail("bob"), mail("nobody"), mail("eve"), "no mail\0".to_owned()] {
        assert_eq!(kind(named(&ann, &who).await), ErrorKind::Forbidden, "{who}");
    }
    assert_eq!(kind(named(&eve, &mail("eve")).await), ErrorKind::Forbidden, "an account without cdn access");
    assert_eq!(kind(domains.names(&eve, None).await), ErrorKind::Forbidden);
    for who in [mail("eve"), mail("nobody"), mail("root")] {
        assert_eq!(kind(named(&root, &who).await), ErrorKind::NotFound, "{who}");
    }
    assert_eq!(kind(named(&root, "no mail\0").await), ErrorKind::Invalid);
    assert_eq!(kind(pilothouse.customers().create(&eve, new_customer("eve")).await), ErrorKind::Forbidden);
}
