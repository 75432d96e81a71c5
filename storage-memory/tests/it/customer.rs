//! Customers, their domains and their log-ins: who may do what, and what happens when many do it at once.

use std::sync::Arc;

use pilothouse_core::account::{AuditFilter, Caller, NewAccount, TokenAuthenticator, UpdateAccount};
use pilothouse_core::cdn::{CdnDomains, Customer, NewCompany, NewCustomer, UpdateCustomer};
use pilothouse_core::ports::Authenticator;
use pilothouse_core::{ErrorKind, Page, Pilothouse, Result, Settings};
use pilothouse_storage_memory::MemoryStorage;

const PASSWORD: &str = "correct horse battery";
const CDN_PASSWORD: &str = "another password";

/// Over an empty store, with `level3` configured; and a caller with every group.
async fn pilothouse() -> (Pilothouse, Caller) {
    let settings = Settings { cdns: vec!["level3".to_owned()], ..Settings::default() };
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), settings).unwrap();
    pilothouse.cdns().ensure_configured().await.unwrap();
    pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
    let root = caller(&pilothouse, "root").await;
    (pilothouse, root)
}

async fn caller_with(pilothouse: &Pilothouse, token: &str) -> Result<Caller> {
    TokenAuthenticator::new(pilothouse.clone()).authenticate(token, None).await
}

/// Logs an account in as a whole.
async fn caller(pilothouse: &Pilothouse, name: &str) -> Caller {
    let access = pilothouse.logins().login(name, PASSWORD, None).await.unwrap();
    caller_with(pilothouse, &access.token).await.unwrap()
}

/// An account in these groups.
async fn account(pilothouse: &Pilothouse, root: &Caller, name: &str, groups: &str) -> Caller {
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

fn mail(name: &str) -> String {
    format!("{name}@example.com")
}

fn new_customer(name: &str) -> NewCustomer {
    NewCustomer { login_email: mail(name), password: CDN_PASSWORD.to_owned(), operations: true }
}

/// An account without groups, with cdn access.
async fn customer(pilothouse: &Pilothouse, root: &Caller, name: &str) -> Caller {
    let caller = account(pilothouse, root, name, "").await;
    pilothouse.customers().create(root, new_customer(name)).await.unwrap();
    caller
}

async fn add(
    pilothouse: &Pilothouse,
    root: &Caller,
    name: &str,
    domains: &[&str],
) -> Result<Vec<CdnDomains>> {
    let domains: Vec<String> = domains.iter().map(ToString::to_string).collect();
    pilothouse.domains().add(root, &mail(name), "level3", &domains).await
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn access_is_beside_the_account() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    let narrow = caller_with(&pilothouse, &access.token).await.unwrap();
    assert_eq!(
        kind(pilothouse.cdn_logins().login(&mail("ann"), PASSWORD, None).await),
        ErrorKind::Unauthenticated
    );
    assert_eq!(kind(pilothouse.logins().login("ann", CDN_PASSWORD, None).await), ErrorKind::Unauthenticated);
    assert_eq!(kind(pilothouse.tokens().list(&narrow).await), ErrorKind::Forbidden);

    let change = UpdateCustomer { login_email: mail("ANN"), password: None, operations: Some(false) };
    let (changed, _) = pilothouse.customers().update(&root, change).await.unwrap();
    assert!(!changed.operations && changed.version == 2);
    assert_eq!(kind(caller_with(&pilothouse, &access.token).await), ErrorKind::Unauthenticated, "revoked");
    let whole = caller(&pilothouse, "ann").await;
    assert_eq!(pilothouse.tokens().list(&whole).await.unwrap().len(), 2, "tokens for the account stay");

    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    pilothouse.customers().delete(&root, &mail("ann")).await.unwrap();
    assert_eq!(kind(caller_with(&pilothouse, &access.token).await), ErrorKind::Unauthenticated);
    assert_eq!(
        kind(pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await),
        ErrorKind::Unauthenticated
    );
    assert_eq!(kind(pilothouse.domains().own(&whole).await), ErrorKind::Forbidden);
    assert_eq!(caller(&pilothouse, "ann").await.id, whole.id, "the account stays");
}

#[tokio::test]
async fn whom_a_caller_may_name() {
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
    assert_eq!(kind(named(&eve, &mail("eve")).await), ErrorKind::Forbidden, "without cdn access");
    assert_eq!(kind(domains.own(&eve).await), ErrorKind::Forbidden);
    for who in [mail("eve"), mail("nobody"), mail("root")] {
        assert_eq!(kind(named(&root, &who).await), ErrorKind::NotFound, "{who}");
    }
    assert_eq!(kind(named(&root, "no mail\0").await), ErrorKind::Invalid);
    assert_eq!(kind(pilothouse.customers().create(&eve, new_customer("eve")).await), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_claim_is_all_or_nothing() {
    let (pilothouse, root) = pilothouse().await;
    let ann = customer(&pilothouse, &root, "ann").await;
    let bob = customer(&pilothouse, &root, "bob").await;
    let held = add(&pilothouse, &root, "ann", &["a.test", "A.Test", "b.test"]).await.unwrap();
    assert_eq!(held[0].domains.iter().map(|domain| &*domain.name).collect::<Vec<_>>(), ["a.test", "b.test"]);
    assert_eq!(kind(add(&pilothouse, &root, "bob", &["c.test", "b.test"]).await), ErrorKind::AlreadyExists);
    assert!(pilothouse.domains().own(&bob).await.unwrap().is_empty());
    assert!(pilothouse.customers().cdns(&bob, &mail("bob")).await.unwrap().is_empty(), "not mapped either");
    for (domains, refused) in [
        (vec![], "domains: must be 1 to 1000 host names"),
        (vec!["a.test"; 1001], "domains: must be 1 to 1000 host names"),
    ] {
        assert_eq!(add(&pilothouse, &root, "bob", &domains).await.unwrap_err().to_string(), refused);
    }
    let level3 = ["level3".to_owned()];
    let wanted = ["b.test".to_owned(), "d.test".to_owned()];
    let before = held[0].domains[1].clone();
    pilothouse.domains().replace(&root, &mail("ann"), &level3, Some(held[0].cdn.id), &wanted).await.unwrap();
    let (_, after) = pilothouse.domains().list(&ann, &mail("ann")).await.unwrap();
    assert_eq!(after[0].domains[0], before, "what stays keeps its id and state");
    assert_eq!(pilothouse.domains().own(&ann).await.unwrap(), ["b.test", "d.test"]);
    add(&pilothouse, &root, "bob", &["a.test"]).await.unwrap();
    let wanted = ["a.test".to_owned()];
    let refused = pilothouse.domains().replace(&root, &mail("ann"), &level3, None, &wanted).await;
    assert_eq!(kind(refused), ErrorKind::AlreadyExists);
    assert_eq!(pilothouse.domains().own(&ann).await.unwrap(), ["b.test", "d.test"], "nothing was released");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_customers_claim_one_domain_at_once() {
    let (pilothouse, root) = pilothouse().await;
    let ann = customer(&pilothouse, &root, "ann").await;
    let bob = customer(&pilothouse, &root, "bob").await;
    let (first, second) = tokio::join!(
        add(&pilothouse, &root, "ann", &["a.test"]),
        add(&pilothouse, &root, "bob", &["a.test"]),
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let own = (pilothouse.domains().own(&ann).await.unwrap(), pilothouse.domains().own(&bob).await.unwrap());
    assert_eq!(own.0.len() + own.1.len(), 1);
    let customers = pilothouse.customers();
    let (first, second) = tokio::join!(
        customers.create(&root, new_customer("root")),
        customers.create(&root, new_customer("root")),
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert_eq!(first.err().or(second.err()).unwrap().kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn a_deleted_account_frees_its_domains() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    customer(&pilothouse, &root, "bob").await;
    let first = add(&pilothouse, &root, "ann", &["a.test"]).await.unwrap()[0].domains[0].id;
    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    pilothouse.accounts().delete(&root, "ann").await.unwrap();
    assert_eq!(kind(caller_with(&pilothouse, &access.token).await), ErrorKind::Unauthenticated);
    let second = add(&pilothouse, &root, "bob", &["a.test"]).await.unwrap()[0].domains[0].id;
    assert_ne!(first, second, "what was recorded for the first holder is not the second's");
}

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
        assert_eq!(kind(right), ErrorKind::TooMany, "known or not");
    }
    assert!(pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.is_ok(), "from elsewhere");
    assert!(pilothouse.logins().login("ann", PASSWORD, here).await.is_ok(), "another password");
}

#[tokio::test]
async fn a_changed_account_password_ends_cdn_tokens_too() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    let change = UpdateAccount {
        name: Some("ann".to_owned()),
        new_passwd: Some("a new password".to_owned()),
        ..UpdateAccount::default()
    };
    pilothouse.accounts().update(&root, change).await.unwrap();
    assert_eq!(kind(caller_with(&pilothouse, &access.token).await), ErrorKind::Unauthenticated);
    assert!(
        pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.is_ok(),
        "its own password stays"
    );
}

#[tokio::test]
async fn configured_cdns_are_recorded_once() {
    let storage = Arc::new(MemoryStorage::new());
    let start = |cdns: &[&str]| {
        let cdns = cdns.iter().map(ToString::to_string).collect();
        Pilothouse::new(storage.clone(), Settings { cdns, ..Settings::default() }).unwrap()
    };
    let (one, two) = (start(&["level3", "qcloud"]), start(&["qcloud", "own"]));
    let (one_cdns, two_cdns) = (one.cdns(), two.cdns());
    let (first, second) = tokio::join!(one_cdns.ensure_configured(), two_cdns.ensure_configured());
    first.unwrap();
    second.unwrap();
    one.cdns().ensure_configured().await.unwrap();
    let cdns = one.storage().read().await.unwrap().cdns().list().await.unwrap();
    assert_eq!(cdns.iter().map(|cdn| &*cdn.name).collect::<Vec<_>>(), ["level3", "qcloud", "own"]);
    assert_eq!(kind(start(&["qcould"]).cdns().ensure_configured().await), ErrorKind::Invalid);
}

#[tokio::test]
async fn every_write_is_in_the_trail_and_no_secret() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    add(&pilothouse, &root, "ann", &["a.test"]).await.unwrap();
    let level3 = ["level3".to_owned()];
    pilothouse.domains().replace(&root, &mail("ann"), &level3, None, &[]).await.unwrap();
    pilothouse.customers().map(&root, &mail("ann"), &level3).await.unwrap();
    let added = pilothouse.cdns().add(&root, "own").await.unwrap();
    pilothouse.cdns().rename(&root, added.id, "Own").await.unwrap();
    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    pilothouse.cdn_logins().logout(&access.token, None).await.unwrap();
    pilothouse.cdn_logins().logout(&access.token, None).await.unwrap();
    let password = Some("a third password".to_owned());
    let change = UpdateCustomer { login_email: mail("ann"), password, operations: None };
    pilothouse.customers().update(&root, change).await.unwrap();
    pilothouse.customers().delete(&root, &mail("ann")).await.unwrap();
    let company = NewCompany {
        company_name: "Example".to_owned(),
        company_alias: String::new(),
        owner_name: "owner".to_owned(),
        owner_email: mail("owner"),
    };
    let (_, owner) = pilothouse.companies().create(&root, company).await.unwrap();
    assert_eq!((owner.groups.to_string(), owner.password), (String::new(), None));

    let page = Page::new(None, Some(1000)).unwrap();
    let rows = pilothouse.audit_trail().list(&root, &AuditFilter::default(), page).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| &*row.action).collect();
    let expected = [
        "cdn.add",
        "account.create-superuser",
        "account.add",
        "customer.create",
        "domain.add",
        "domain.replace",
        "customer.map",
        "cdn.add",
        "cdn.rename",
        "token.revoke",
        "customer.update",
        "customer.delete",
        "account.add",
        "company.create",
    ];
    assert_eq!(actions, expected);
    let told = format!("{rows:?}");
    for secret in [CDN_PASSWORD, "a third password", &access.token, "argon2"] {
        assert!(!told.contains(secret));
    }
}
