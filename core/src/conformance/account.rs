//! Accounts, tokens, failed log-ins and the audit trail.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{AWKWARD, moment, race};
use crate::Page;
use crate::account::{Account, AccountId, AuditFilter, AuditRow, Group, Groups, NewToken, Scope};
use crate::ports::Storage;

/// An account told apart by `n`.
pub fn account(n: i64) -> Account {
    Account {
        id: 0,
        name: format!("name{n}"),
        mail: format!("Name{n}@Example.com"),
        department: AWKWARD.to_owned(),
        groups: "2,7".parse().unwrap(),
        password: Some("$argon2id$…".to_owned()),
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

/// What is put in comes out, by id, name and mail.
pub async fn account_round_trip(storage: Arc<dyn Storage>) {
    let id = add_account(&storage, 1).await;
    let expected = Some(Account { id, ..account(1) });
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.accounts().by_id(id).await.unwrap(), expected);
    assert_eq!(snapshot.accounts().by_name("name1").await.unwrap(), expected);
    assert_eq!(snapshot.accounts().by_mail("nAME1@example.COM").await.unwrap(), expected);
    assert_eq!(snapshot.accounts().by_name("NAME1").await.unwrap(), None);
    assert_eq!(snapshot.accounts().by_id(id + 1).await.unwrap(), None);
}

/// A taken name or mail is refused without spoiling the transaction.
pub async fn account_names_and_mails_are_unique(storage: Arc<dyn Storage>) {
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
pub async fn account_pages(storage: Arc<dyn Storage>) {
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(add_account(&storage, n).await);
    }
    let mut snapshot = storage.read().await.unwrap();
    let page = snapshot.accounts().list(Page { start: ids[1], count: 3 }).await.unwrap();
    assert_eq!(page.iter().map(|account| account.id).collect::<Vec<_>>(), ids[1..4]);
    assert!(snapshot.accounts().list(Page { start: ids[4] + 1, count: 3 }).await.unwrap().is_empty());
}

/// An update on an old version changes nothing; `count_holding` counts.
pub async fn account_update_needs_the_version(storage: Arc<dyn Storage>) {
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
pub async fn account_delete_takes_its_tokens(storage: Arc<dyn Storage>) {
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
pub async fn account_race_for_one_name(storage: Arc<dyn Storage>) {
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

fn token(account: AccountId, n: u8) -> NewToken {
    NewToken {
        account,
        scope: if n.is_multiple_of(2) { Scope::Cdn } else { Scope::Account },
        digest: [n; 32],
        created: moment(0),
        expires: moment(i64::from(n)),
        address: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    }
}

/// A token comes back with its account, and is listed, touched and revoked.
pub async fn token_round_trip(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let other = add_account(&storage, 2).await;
    let mut work = storage.begin().await.unwrap();
    let id = work.tokens().insert(&token(owner, 1)).await.unwrap();
    let cdn = work.tokens().insert(&token(owner, 2)).await.unwrap();
    work.tokens().touch(&[(id, moment(7)), (id + 1000, moment(7))]).await.unwrap();
    work.commit().await.unwrap();

    let mut work = storage.begin().await.unwrap();
    let (found, account) = work.tokens().resolve(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((found.id, found.account, account.id, account.name.as_str()), (id, owner, owner, "name1"));
    assert_eq!((found.created, found.expires, found.last_used), (moment(0), moment(1), Some(moment(7))));
    assert_eq!((found.scope, found.address), (Scope::Account, Some(IpAddr::V6(Ipv6Addr::LOCALHOST))));
    assert_eq!(work.tokens().resolve(&[9; 32]).await.unwrap(), None);
    assert_eq!(work.tokens().of_account(owner).await.unwrap().len(), 2);
    assert!(!work.tokens().delete(other, id).await.unwrap(), "nobody revokes another's token");
    assert!(work.tokens().delete(owner, id).await.unwrap());
    let left = work.tokens().of_account(owner).await.unwrap();
    assert_eq!(left.iter().map(|token| (token.id, token.scope)).collect::<Vec<_>>(), [(cdn, Scope::Cdn)]);
}

/// Tokens end by scope, by account and by time.
pub async fn token_ends(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    for n in 1..=6 {
        work.tokens().insert(&token(owner, n)).await.unwrap();
    }
    work.tokens().prune(moment(2)).await.unwrap();
    assert_eq!(work.tokens().of_account(owner).await.unwrap().len(), 4, "a token ends at its moment");
    work.tokens().delete_of_account(owner, Some(Scope::Cdn)).await.unwrap();
    let left = work.tokens().of_account(owner).await.unwrap();
    assert!(left.len() == 2 && left.iter().all(|token| token.scope == Scope::Account));
    work.tokens().delete_of_account(owner, None).await.unwrap();
    assert!(work.tokens().of_account(owner).await.unwrap().is_empty());
}

/// Failures are counted by name, address and both, within the window.
pub async fn login_failures_count(storage: Arc<dyn Storage>) {
    let (here, there) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::BROADCAST));
    let mut work = storage.begin().await.unwrap();
    let failures = work.login_failures();
    for (n, (name, address)) in (0..).zip([("ann", here), ("ann", there), ("bob", here), ("ann", here)]) {
        failures.insert(name, address, moment(n)).await.unwrap();
    }
    assert_eq!(failures.count(Some("ann"), Some(here), moment(-1)).await.unwrap(), 2);
    assert_eq!(failures.count(Some("ann"), None, moment(-1)).await.unwrap(), 3);
    assert_eq!(failures.count(None, Some(here), moment(-1)).await.unwrap(), 3);
    assert_eq!(
        failures.count(Some("ann"), None, moment(1)).await.unwrap(),
        1,
        "`since` itself does not count"
    );
    assert_eq!(failures.oldest(None, Some(here), moment(0)).await.unwrap(), Some(moment(2)));
    assert_eq!(failures.oldest(Some("eve"), None, moment(-1)).await.unwrap(), None);
    failures.prune(moment(1)).await.unwrap();
    assert_eq!(failures.count(None, None, moment(-1)).await.unwrap(), 2);
}

/// The trail keeps every column and filters by actor, object and time.
pub async fn audit_filters(storage: Arc<dyn Storage>) {
    let row = |n: i64| AuditRow {
        id: 0,
        at: moment(n),
        actor: (n > 0).then_some(n),
        actor_name: format!("name{}", n % 2),
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        action: "task.add".into(),
        object: if n == 3 { AWKWARD.into() } else { "task".into() },
        old: None,
        new: Some("digest".into()),
        count: n,
    };
    let mut work = storage.begin().await.unwrap();
    for n in 0..6 {
        work.audit().append(&row(n)).await.unwrap();
    }
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let all = snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap();
    let expected: Vec<_> = all.iter().zip(0..).map(|(held, n)| AuditRow { id: held.id, ..row(n) }).collect();
    assert_eq!(all, expected);
    assert!(all.is_sorted_by_key(|row| row.id) && all.len() == 6);
    let mut counts = async |filter: AuditFilter| -> Vec<i64> {
        let rows = snapshot.audit().list(&filter, Page::default()).await.unwrap();
        rows.iter().map(|row| row.count).collect()
    };
    assert_eq!(counts(AuditFilter { actor: Some("name1".into()), ..Default::default() }).await, [1, 3, 5]);
    assert_eq!(counts(AuditFilter { object: Some(AWKWARD.into()), ..Default::default() }).await, [3]);
    let (since, until) = (Some(moment(2)), Some(moment(4)));
    assert_eq!(counts(AuditFilter { since, until, ..Default::default() }).await, [2, 3]);
}
