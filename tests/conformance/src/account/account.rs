//! Accounts: unique names and mails, pages, versions, deletion with tokens.

use std::sync::Arc;

use pilothouse_core::account::{
    Account, AccountId, AuditFilter, Group, Groups, NewAccount, NewApiToken, TokenAuthenticator, TokenLimits,
};
use pilothouse_core::cdn::NewCompany;
use pilothouse_core::ports::{Authenticator as _, Storage};
use pilothouse_core::{ErrorKind, Order, Page};

use super::stopped::new_app;
use super::token::token;
use crate::Fixture;
use crate::race::race;
use crate::rows::AWKWARD;

/// An account told apart by `n`.
pub fn account(n: i64) -> Account {
    Account {
        id: AccountId::UNSAVED,
        name: format!("name{n}"),
        mail: format!("Name{n}@Example.com"),
        department: AWKWARD.to_owned(),
        groups: "2,7".parse().unwrap(),
        password: Some("$argon2id$…".to_owned()),
        is_disabled: false,
        version: 1,
    }
}

/// Adds [`account`] `n`.
pub async fn add_account(storage: &Arc<dyn Storage>, n: i64) -> AccountId {
    let mut work = storage.begin().await.unwrap();
    let id = work.accounts().insert(&account(n)).await.unwrap().unwrap();
    work.commit().await.unwrap();
    id
}

/// An inserted account is read back unchanged by id, name and mail.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let id = add_account(&storage, 1).await;
    let expected = Some(Account { id, ..account(1) });
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.accounts().by_id(id).await.unwrap(), expected);
    assert_eq!(snapshot.accounts().by_name("name1").await.unwrap(), expected);
    assert_eq!(snapshot.accounts().by_mail("nAME1@example.COM").await.unwrap(), expected);
    assert_eq!(snapshot.accounts().by_name("NAME1").await.unwrap(), None);
    assert_eq!(snapshot.accounts().by_id(AccountId(id.0 + 1)).await.unwrap(), None);
}

/// A taken name or mail is refused without spoiling the transaction.
pub(crate) async fn names_and_mails_are_unique(storage: Arc<dyn Storage>) {
    add_account(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    let same_name = Account { mail: "other@example.com".into(), ..account(1) };
    assert_eq!(work.accounts().insert(&same_name).await.unwrap(), None);
    let same_mail = Account { name: "other".into(), mail: "NAME1@EXAMPLE.COM".into(), ..account(1) };
    assert_eq!(work.accounts().insert(&same_mail).await.unwrap(), None);
    assert!(work.accounts().insert(&account(2)).await.unwrap().is_some());
    work.commit().await.unwrap();
}

/// Pages go by id, from `start` on.
pub(crate) async fn pages(storage: Arc<dyn Storage>) {
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(add_account(&storage, n).await);
    }
    let mut snapshot = storage.read().await.unwrap();
    let page = snapshot.accounts().list(None, Page::at(ids[1].0, 3)).await.unwrap();
    assert_eq!(page.iter().map(|account| account.id).collect::<Vec<_>>(), ids[1..4]);
    assert!(snapshot.accounts().list(None, Page::at(AccountId(ids[4].0 + 1).0, 3)).await.unwrap().is_empty());
    let newest = Page { order: Order::Newest, before: ids[4].0, ..Page::at(0, 2) };
    let newest = snapshot.accounts().list(None, newest).await.unwrap();
    assert_eq!(newest.iter().map(|account| account.id).collect::<Vec<_>>(), [ids[3], ids[2]]);
    assert_eq!(snapshot.accounts().count(None).await.unwrap(), 5);
}

/// An update on an old version changes nothing; `count_holding` counts.
pub(crate) async fn update_needs_the_version(storage: Arc<dyn Storage>) {
    let id = add_account(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.accounts().count_holding(Group::WriteAccounts).await.unwrap(), 1);
    let changed =
        Account { id, department: "ops".into(), groups: Groups::NONE, password: None, ..account(1) };
    assert!(work.accounts().update(&changed).await.unwrap());
    assert!(
        !work.accounts().update(&Account { department: "late".into(), ..changed.clone() }).await.unwrap()
    );
    assert_eq!(work.accounts().count_holding(Group::WriteAccounts).await.unwrap(), 0);
    work.commit().await.unwrap();
    let stored = storage.read().await.unwrap().accounts().by_id(id).await.unwrap();
    assert_eq!(stored, Some(Account { version: 2, ..changed }));
}

/// Deleting an account ends its tokens.
pub(crate) async fn delete_takes_its_tokens(storage: Arc<dyn Storage>) {
    let (gone, stays) = (add_account(&storage, 1).await, add_account(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    work.tokens().insert(&token(gone, 1)).await.unwrap();
    work.tokens().insert(&token(stays, 2)).await.unwrap();
    assert!(work.accounts().delete(gone).await.unwrap());
    assert!(!work.accounts().delete(gone).await.unwrap());
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.tokens().resolve(&[1; 32]).await.unwrap(), None);
    assert!(snapshot.tokens().resolve(&[2; 32]).await.unwrap().is_some());
}

/// Of many that want one name at once, one gets it.
pub(crate) async fn race_for_one_name(storage: Arc<dyn Storage>) {
    let won = race(&storage, async |storage: Arc<dyn Storage>, n| {
        let mut work = storage.begin().await.unwrap();
        let wanted = Account { mail: format!("{n}@example.com"), ..account(1) };
        let id = work.accounts().insert(&wanted).await.unwrap();
        work.commit().await.unwrap();
        id.is_some()
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

/// A name that looks like a taken one is taken, whatever made it; one that shows not all it holds is invalid.
pub(crate) async fn names_that_look_the_same_are_one(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", Groups::all()).await;
    // As rows from before such names were refused.
    fixture.account("b\u{200b}ob", Groups::NONE).await;
    fixture.account("STRASSE", Groups::NONE).await;
    let accounts = fixture.pilothouse.accounts();
    let add = async |name: &str| {
        let new = NewAccount {
            name: name.to_owned(),
            mail: "new@example.com".to_owned(),
            passwd: "correct horse battery".to_owned(),
            department: String::new(),
            groups: Groups::NONE,
        };
        accounts.add(&ann, new).await.map_err(|error| error.kind())
    };
    for name in ["ANN", "bob", "BOB", "straße"] {
        assert_eq!(add(name).await, Err(ErrorKind::AlreadyExists), "{name}");
    }
    for name in [" ann", "ann ", "an\u{ad}n", "\u{feff}new", "new\u{e0041}", "n\u{2800}ew"] {
        assert_eq!(add(name).await, Err(ErrorKind::Invalid), "{name:?}");
    }
    assert!(add("anne").await.is_ok());

    let companies = fixture.pilothouse.companies();
    let company = async |owner_email: &str| {
        let new = NewCompany {
            company_name: "Example".to_owned(),
            company_alias: String::new(),
            // The name of a person, which is nobody's to log in with.
            owner_name: "Ann".to_owned(),
            owner_email: owner_email.to_owned(),
        };
        companies.create(&ann, new).await.map(drop).map_err(|error| error.kind())
    };
    assert_eq!(company("own\u{200d}er@example.com").await, Err(ErrorKind::Invalid));
    assert_eq!(company("owner@example.com").await, Ok(()));

    let server = fixture.pilothouse.clone();
    let won = race(&storage, move |_, n| {
        let (server, ann) = (server.clone(), ann.clone());
        let name = if n % 2 == 0 { "carl" } else { "Carl" };
        let new = NewAccount {
            name: name.to_owned(),
            mail: format!("carl{n}@example.com"),
            passwd: "correct horse battery".to_owned(),
            department: String::new(),
            groups: Groups::NONE,
        };
        async move { server.accounts().add(&ann, new).await.is_ok() }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

/// Nobody acts as a disabled account: it logs in nowhere, its log-ins end, its API tokens open nothing until it is enabled.
pub(crate) async fn disabled(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let (pilothouse, password) = (&fixture.pilothouse, "correct horse battery");
    let ann = pilothouse.accounts().create_superuser("ann", "ann@example.com", password).await.unwrap();
    let ann = fixture.caller(ann).await;
    let accounts = pilothouse.accounts();
    let refused = accounts.set_disabled(&ann, "ann", true).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "the last administrator stays");
    let (name, mail) = ("bob".to_owned(), "bob@example.com".to_owned());
    let groups = [Group::ReadTasks].into_iter().collect();
    let new = NewAccount { name, mail, passwd: password.into(), department: "ops".into(), groups };
    let bob = accounts.add(&ann, new).await.unwrap();
    fixture.account("carol", [Group::WriteAccounts].into_iter().collect()).await;

    let login = pilothouse.logins().login("bob", password, None).await.unwrap();
    let authenticator = TokenAuthenticator::new(pilothouse.clone());
    let caller = authenticator.authenticate(&login.token, None).await.unwrap();
    let new =
        NewApiToken { name: "ci".into(), limits: TokenLimits { groups, ..Default::default() }, days: 1 };
    let issued = pilothouse.tokens().issue(&caller, new).await.unwrap();
    let acts = async |token: &str| authenticator.authenticate(token, None).await.is_ok();
    assert!(acts(&login.token).await && acts(&issued.token).await);
    let later = authenticator.authenticate(&issued.token, None).await.unwrap();

    let carol = accounts.find(&ann, "carol").await.unwrap();
    let carol = fixture.caller(carol.id).await;
    let refused = accounts.set_disabled(&carol, "bob", true).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "bob has a group that carol has not");
    accounts.set_disabled(&ann, "BOB@example.com", true).await.unwrap();
    accounts.set_disabled(&ann, "bob", true).await.unwrap();
    assert!(!acts(&login.token).await && !acts(&issued.token).await);
    assert!(pilothouse.logins().login("bob", password, None).await.is_err());
    let add = pilothouse.apps().create(&later, new_app("app")).await.unwrap_err();
    assert_eq!(add.kind(), ErrorKind::Unauthenticated, "who was authenticated before is asked again");
    let disabled = accounts.list(&ann, Some(true), Page { total: true, ..Page::default() }).await.unwrap();
    assert_eq!((disabled.rows[0].id, disabled.rows.len(), disabled.total), (bob, 1, Some(1)));
    assert_eq!(accounts.list(&ann, Some(false), Page::default()).await.unwrap().rows.len(), 2);

    accounts.set_disabled(&ann, "bob", false).await.unwrap();
    assert!(!acts(&login.token).await && acts(&issued.token).await);
    pilothouse.logins().login("bob", password, None).await.unwrap();
    // Of two administrators one may be disabled, and then the other is the last.
    accounts.set_disabled(&ann, "carol", true).await.unwrap();
    assert_eq!(accounts.delete(&ann, "ann").await.unwrap_err().kind(), ErrorKind::Conflict);
    let trail = pilothouse.audit_trail();
    let filter = AuditFilter { actor: Some("bob".into()), ..AuditFilter::default() };
    let rows = trail.list(&ann, &filter, Page::default()).await.unwrap().rows;
    let rows: Vec<_> = rows.iter().map(|row| (&*row.action, &*row.object)).collect();
    let expected = [
        ("login", "bob"),
        ("token.create", "ci"),
        ("login", "bob"),
        ("login.refused", "the account is disabled"),
    ];
    assert!(expected.iter().all(|row| rows.contains(row)) && rows.len() == 4, "{rows:?}");
}
