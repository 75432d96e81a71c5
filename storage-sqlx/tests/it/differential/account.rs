//! Accounts, tokens, failed log-ins and the audit trail.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use pilothouse_conformance::Rng;
use pilothouse_core::Page;
use pilothouse_core::account::{
    Account, AccountId, AuditFilter, AuditId, AuditRow, Group, Groups, NewToken, Scope, Token, TokenLimits,
};
use pilothouse_core::ports::Repositories;

use super::draws::Draws;
use super::issued_ids::{IssuedIds, any_id, index_of, record_id};

fn comparable_account(account: &Account, issued: &IssuedIds) -> String {
    let Account { id, name, mail, department, groups, password, is_disabled, version } = account;
    let id = index_of(&issued.accounts, *id);
    format!("{id} {name} {mail} {department} {groups} {password:?} {is_disabled} {version}")
}

fn comparable_token(token: &Token, issued: &IssuedIds) -> String {
    let (id, account) = (index_of(&issued.tokens, token.id), index_of(&issued.accounts, token.account));
    format!("{:?}", Token { id, account, ..token.clone() })
}

fn address(random: &mut Rng) -> IpAddr {
    random.pick(&[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
}

fn scope(random: &mut Rng) -> Scope {
    random.pick(&Scope::ALL)
}

fn limits(random: &mut Rng) -> TokenLimits {
    let mut names = || {
        let names: Vec<_> = ["app1", "dev", "a.b"].into_iter().filter(|_| random.chance(50)).collect();
        let names = names.into_iter().map(str::to_owned).collect();
        random.perhaps(names)
    };
    let (apps, profiles) = (names(), names());
    TokenLimits { groups: groups(random), apps, profiles, cdn: random.chance(50) }
}

fn groups(random: &mut Rng) -> Groups {
    Groups::from_bits(random.i64(0..512) << 1).unwrap()
}

/// A page that begins at the first id or at any other; the index of that id, and the page.
fn page(ids: &[AccountId], random: &mut Rng) -> (AccountId, Page) {
    let start = if random.chance(50) { any_id(ids, random) } else { AccountId(0) };
    (index_of(ids, start), Page::at(start.0, 1 + random.i64(0..20)))
}

pub(super) async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    match random.usize(..9) {
        0 => {
            let id = any_id(&issued.accounts, random);
            let found = store.accounts().by_id(id).await.unwrap();
            format!(
                "account {}: {:?}",
                index_of(&issued.accounts, id),
                found.map(|account| comparable_account(&account, issued))
            )
        }
        1 => {
            let name = random.word();
            let found = store.accounts().by_name(name).await.unwrap();
            format!("account {name}: {:?}", found.map(|account| comparable_account(&account, issued)))
        }
        2 => {
            let mail = format!("{}@X", random.word());
            let found = store.accounts().by_mail(&mail).await.unwrap();
            format!("account {mail}: {:?}", found.map(|account| comparable_account(&account, issued)))
        }
        3 => {
            let (start, page) = page(&issued.accounts, random);
            let is_disabled = random.chance(50);
            let is_disabled = random.perhaps(is_disabled);
            let found = store.accounts().list(is_disabled, page).await.unwrap();
            let found: Vec<_> = found.iter().map(|account| comparable_account(account, issued)).collect();
            let count = store.accounts().count(is_disabled).await.unwrap();
            format!("accounts from {start}, disabled {is_disabled:?}: {found:?} of {count}")
        }
        4 => {
            let group = random.pick(&[Group::ReadTasks, Group::WriteAccounts, Group::ReadAudit]);
            format!("accounts in {group:?}: {}", store.accounts().count_holding(group).await.unwrap())
        }
        5 => {
            let digest = [u8::try_from(random.usize(..40)).unwrap(); 32];
            let found = store.tokens().resolve(&digest).await.unwrap();
            let found = found.map(|(token, account)| {
                (comparable_token(&token, issued), comparable_account(&account, issued))
            });
            format!("token {}: {found:?}", digest[0])
        }
        6 => {
            let id = any_id(&issued.accounts, random);
            let found = store.tokens().of_account(id).await.unwrap();
            let found: Vec<_> = found.iter().map(|token| comparable_token(token, issued)).collect();
            format!("tokens of {}: {found:?}", index_of(&issued.accounts, id))
        }
        7 => {
            let (word, at, since) = (random.word(), address(random), random.moment());
            let until = random.moment();
            let (name, at) = (random.perhaps(word), random.perhaps(at));
            let count = store.login_failures().count(name, at, since, until).await.unwrap();
            let oldest = store.login_failures().oldest(name, at, since, until).await.unwrap();
            format!("failures of {name:?} from {at:?} since {since}: {count}, {oldest:?}")
        }
        _ => {
            let (actor, object) = (random.word().to_owned(), random.word().to_owned());
            let (since, until) = (random.moment(), random.moment());
            let filter = AuditFilter {
                actor: random.perhaps(actor),
                object: random.perhaps(object),
                since: random.perhaps(since),
                until: random.perhaps(until),
            };
            let page = Page::at(0, 1 + random.i64(0..50));
            let found = store.audit().list(&filter, page).await.unwrap();
            let found: Vec<_> =
                found.into_iter().map(|row| AuditRow { id: AuditId::UNSAVED, ..row }).collect();
            format!("audit trail of {filter:?}: {found:?}")
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    match random.usize(..14) {
        0..=2 => {
            let account = Account {
                id: AccountId::UNSAVED,
                name: random.word().to_owned(),
                mail: format!("{}@x", random.word()),
                department: random.word().to_owned(),
                groups: groups(random),
                password: Some(random.word().to_owned()).filter(|_| random.chance(80)),
                is_disabled: random.chance(20),
                version: 9,
            };
            let id = store.accounts().insert(&account).await.unwrap();
            let id = id.map(|id| record_id(&mut issued.accounts, id));
            format!("add account {}: {id:?}", comparable_account(&account, issued))
        }
        3 => {
            let id = any_id(&issued.accounts, random);
            let (groups, department, stale) = (groups(random), random.word(), random.chance(30));
            let Some(account) = store.accounts().by_id(id).await.unwrap() else { return "no account".into() };
            let version = account.version - i64::from(stale);
            let is_disabled = random.chance(30);
            let changed = Account { groups, department: department.into(), is_disabled, version, ..account };
            let done = store.accounts().update(&changed).await.unwrap();
            format!("change account {}: {done}", comparable_account(&changed, issued))
        }
        4 => {
            let id = any_id(&issued.accounts, random);
            // Much is deleted along with an account, so that it is deleted rarely.
            if random.chance(70) {
                return "the account is kept".into();
            }
            let done = store.accounts().delete(id).await.unwrap();
            format!("delete account {}: {done}", index_of(&issued.accounts, id))
        }
        operation @ 5..=10 => write_token(store, issued, random, operation).await,
        11 => {
            let (now, until) = (random.moment(), random.moment());
            if random.chance(20) {
                store.tokens().prune(now).await.unwrap();
                store.login_failures().prune(now, until).await.unwrap();
            }
            format!("prune what has ended at {now}")
        }
        12 => {
            let (name, from, at) = (random.word(), address(random), random.moment());
            store.login_failures().insert(name, from, at).await.unwrap();
            format!("failure of {name} from {from} at {at}")
        }
        _ => {
            let row = AuditRow {
                id: AuditId(7),
                at: random.moment(),
                actor: Some(AccountId(random.i64(0..5))).filter(|_| random.chance(80)),
                actor_name: random.word().to_owned(),
                address: Some(address(random)).filter(|_| random.chance(50)),
                action: "task.add".to_owned(),
                object: random.word().to_owned(),
                old: Some("old".to_owned()).filter(|_| random.chance(50)),
                new: Some("new".to_owned()).filter(|_| random.chance(50)),
                count: 1 + random.i64(0..9),
            };
            store.audit().append(&row).await.unwrap();
            format!("append {row:?}")
        }
    }
}

async fn write_token(
    store: &mut dyn Repositories,
    issued: &mut IssuedIds,
    random: &mut Rng,
    operation: usize,
) -> String {
    match operation {
        5..=7 => {
            let account = any_id(&issued.accounts, random);
            let (scope, name) = (scope(random), random.word().to_owned());
            let limits = (scope == Scope::Api).then(|| Arc::new(limits(random)));
            let new = NewToken {
                account,
                scope,
                name,
                limits,
                digest: [u8::try_from(random.usize(..40)).unwrap(); 32],
                created: random.moment(),
                expires: random.moment(),
                address: Some(address(random)).filter(|_| random.chance(50)),
            };
            let taken = store.tokens().resolve(&new.digest).await.unwrap().is_some();
            if taken || store.accounts().by_id(account).await.unwrap().is_none() {
                return "no token".into();
            }
            let id = store.tokens().insert(&new).await.unwrap();
            format!("add token {:?}: {}", new.digest[0], record_id(&mut issued.tokens, id))
        }
        8 => {
            let (account, id) = (any_id(&issued.accounts, random), any_id(&issued.tokens, random));
            let done = store.tokens().delete(account, id).await.unwrap();
            format!(
                "revoke {} of {}: {done}",
                index_of(&issued.tokens, id),
                index_of(&issued.accounts, account)
            )
        }
        9 => {
            let (account, scope) = (any_id(&issued.accounts, random), scope(random));
            let scope = random.perhaps(scope);
            store.tokens().delete_of_account(account, scope).await.unwrap();
            format!("revoke {scope:?} of {}", index_of(&issued.accounts, account))
        }
        _ => {
            let used = [
                (any_id(&issued.tokens, random), random.moment()),
                (any_id(&issued.tokens, random), random.moment()),
            ];
            store.tokens().touch(&used).await.unwrap();
            format!("use {:?}", used.map(|(id, at)| (index_of(&issued.tokens, id), at)))
        }
    }
}
