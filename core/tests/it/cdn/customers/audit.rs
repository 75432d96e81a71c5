//! Audit trail of customers.

use pilothouse_core::Page;
use pilothouse_core::account::AuditFilter;
use pilothouse_core::cdn::{NewCompany, UpdateCustomer};

use super::fixture::{CDN_PASSWORD, add_domains, customer, mail, pilothouse};

#[tokio::test]
async fn every_write_is_audited_without_secrets() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    add_domains(&pilothouse, &root, "ann", &["a.test"]).await.unwrap();
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
    let actions: Vec<_> = rows.rows.iter().map(|row| &*row.action).collect();
    let expected = [
        "cdn.add",
        "account.create-superuser",
        "login",
        "account.add",
        "login",
        "customer.create",
        "domain.add",
        "domain.replace",
        "customer.map",
        "cdn.add",
        "cdn.rename",
        "login.cdn",
        "token.revoke",
        "customer.update",
        "customer.delete",
        "account.add",
        "company.create",
    ];
    assert_eq!(actions, expected);
    let shown = format!("{rows:?}");
    for secret in [CDN_PASSWORD, "a third password", &access.token, "argon2"] {
        assert!(!shown.contains(secret));
    }
}
