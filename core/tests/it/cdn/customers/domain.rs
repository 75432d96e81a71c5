//! Domains: claims, replacement and release.

use pilothouse_core::ErrorKind;

use super::fixture::{CDN_PASSWORD, add_domains, caller_of, customer, kind, mail, new_customer, pilothouse};

#[tokio::test]
async fn domains_are_claimed_all_or_none() {
    let (pilothouse, root) = pilothouse().await;
    let ann = customer(&pilothouse, &root, "ann").await;
    let bob = customer(&pilothouse, &root, "bob").await;
    let claimed = add_domains(&pilothouse, &root, "ann", &["a.test", "A.Test", "b.test"]).await.unwrap();
    assert_eq!(
        claimed[0].domains.iter().map(|domain| &*domain.name).collect::<Vec<_>>(),
        ["a.test", "b.test"]
    );
    assert_eq!(
        kind(add_domains(&pilothouse, &root, "bob", &["c.test", "b.test"]).await),
        ErrorKind::AlreadyExists
    );
    assert!(pilothouse.domains().names(&bob, None).await.unwrap().is_empty());
    assert!(
        pilothouse.customers().cdns(&bob, &mail("bob")).await.unwrap().is_empty(),
        "the customer is not mapped to the cdn either"
    );
    for (domains, refused) in [
        (vec![], "domains: must be 1 to 1000 host names"),
        (vec!["a.test"; 1001], "domains: must be 1 to 1000 host names"),
    ] {
        assert_eq!(add_domains(&pilothouse, &root, "bob", &domains).await.unwrap_err().to_string(), refused);
    }
    let level3 = ["level3".to_owned()];
    let wanted = ["b.test".to_owned(), "d.test".to_owned()];
    let before = claimed[0].domains[1].clone();
    pilothouse
        .domains()
        .replace(&root, &mail("ann"), &level3, Some(claimed[0].cdn.id), &wanted)
        .await
        .unwrap();
    let (_, after) = pilothouse.domains().list(&ann, &mail("ann")).await.unwrap();
    assert_eq!(after[0].domains[0], before, "a domain that stays keeps its id and state");
    assert_eq!(pilothouse.domains().names(&ann, None).await.unwrap(), ["b.test", "d.test"]);
    add_domains(&pilothouse, &root, "bob", &["a.test"]).await.unwrap();
    let wanted = ["a.test".to_owned()];
    let refused = pilothouse.domains().replace(&root, &mail("ann"), &level3, None, &wanted).await;
    assert_eq!(kind(refused), ErrorKind::AlreadyExists);
    assert_eq!(
        pilothouse.domains().names(&ann, None).await.unwrap(),
        ["b.test", "d.test"],
        "nothing was released"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_concurrent_claims_of_a_domain_succeeds() {
    let (pilothouse, root) = pilothouse().await;
    let ann = customer(&pilothouse, &root, "ann").await;
    let bob = customer(&pilothouse, &root, "bob").await;
    let (first, second) = tokio::join!(
        add_domains(&pilothouse, &root, "ann", &["a.test"]),
        add_domains(&pilothouse, &root, "bob", &["a.test"]),
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let own = (
        pilothouse.domains().names(&ann, None).await.unwrap(),
        pilothouse.domains().names(&bob, None).await.unwrap(),
    );
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
async fn deletion_of_an_account_releases_its_domains() {
    let (pilothouse, root) = pilothouse().await;
    customer(&pilothouse, &root, "ann").await;
    customer(&pilothouse, &root, "bob").await;
    let first = add_domains(&pilothouse, &root, "ann", &["a.test"]).await.unwrap()[0].domains[0].id;
    let access = pilothouse.cdn_logins().login(&mail("ann"), CDN_PASSWORD, None).await.unwrap();
    pilothouse.accounts().delete(&root, "ann").await.unwrap();
    assert_eq!(kind(caller_of(&pilothouse, &access.token).await), ErrorKind::Unauthenticated);
    let second = add_domains(&pilothouse, &root, "bob", &["a.test"]).await.unwrap()[0].domains[0].id;
    assert_ne!(first, second, "the traffic of the first holder is not shown to the second");
}
