//! Accounts, tokens, failed log-ins, and the trail.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pilothouse_core::Page;
use pilothouse_core::account::{Account, AuditFilter, AuditRow, Group, Groups, NewToken, Scope, Token};
use pilothouse_core::ports::Repositories;

use super::known::{Known, note, place, some};
use super::random::Random;

fn shown(account: &Account, known: &Known) -> String {
    let Account { id, name, mail, department, groups, password, version } = account;
    let id = place(&known.accounts, *id);
    format!("{id} {name} {mail} {department} {groups} {password:?} {version}")
}

fn token_shown(token: &Token, known: &Known) -> String {
    let (id, account) = (place(&known.tokens, token.id), place(&known.accounts, token.account));
    format!("{:?}", Token { id, account, ..token.clone() })
}

fn address(random: &mut Random) -> IpAddr {
    random.pick(&[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
}

fn scope(random: &mut Random) -> Scope {
    random.pick(&[Scope::Account, Scope::Cdn])
}

fn groups(random: &mut Random) -> Groups {
    Groups::from_bits(random.number(512) << 1).unwrap()
}

/// From the `n`th of the ids on.
fn page(ids: &[i64], random: &mut Random) -> (i64, Page) {
    let start = if random.chance(50) { some(ids, random) } else { 0 };
    (place(ids, start), Page { start, count: 1 + random.number(20) })
}

pub(super) async fn read(store: &mut dyn Repositories, known: &Known, random: &mut Random) -> String {
    match random.below(9) {
        0 => {
            let id = some(&known.accounts, random);
            let found = store.accounts().by_id(id).await.unwrap();
            format!(
                "account {}: {:?}",
                place(&known.accounts, id),
                found.map(|account| shown(&account, known))
            )
        }
        1 => {
            let name = random.word();
            let found = store.accounts().by_name(name).await.unwrap();
            format!("account {name}: {:?}", found.map(|account| shown(&account, known)))
        }
        2 => {
            let mail = format!("{}@X", random.word());
            let found = store.accounts().by_mail(&mail).await.unwrap();
            format!("account {mail}: {:?}", found.map(|account| shown(&account, known)))
        }
        3 => {
            let (start, page) = page(&known.accounts, random);
            let found = store.accounts().list(page).await.unwrap();
            let found: Vec<_> = found.iter().map(|account| shown(account, known)).collect();
            format!("accounts from {start}: {found:?}")
        }
        4 => {
            let group = random.pick(&[Group::ReadTasks, Group::WriteAccounts, Group::ReadAudit]);
            format!("accounts in {group:?}: {}", store.accounts().count_holding(group).await.unwrap())
        }
        5 => {
            let digest = [u8::try_from(random.below(40)).unwrap(); 32];
            let found = store.tokens().resolve(&digest).await.unwrap();
            let found = found.map(|(token, account)| (token_shown(&token, known), shown(&account, known)));
            format!("token {}: {found:?}", digest[0])
        }
        6 => {
            let id = some(&known.accounts, random);
            let found = store.tokens().of_account(id).await.unwrap();
            let found: Vec<_> = found.iter().map(|token| token_shown(token, known)).collect();
            format!("tokens of {}: {found:?}", place(&known.accounts, id))
        }
        7 => {
            let (word, at, since) = (random.word(), address(random), random.moment());
            let (name, at) = (random.perhaps(word), random.perhaps(at));
            let count = store.login_failures().count(name, at, since).await.unwrap();
            let oldest = store.login_failures().oldest(name, at, since).await.unwrap();
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
            let page = Page { start: 0, count: 1 + random.number(50) };
            let found = store.audit().list(&filter, page).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|row| AuditRow { id: 0, ..row }).collect();
            format!("trail of {filter:?}: {found:?}")
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    match random.below(14) {
        0..=2 => {
            let account = Account {
                id: 0,
                name: random.word().to_owned(),
                mail: format!("{}@x", random.word()),
                department: random.word().to_owned(),
                groups: groups(random),
                password: Some(random.word().to_owned()).filter(|_| random.chance(80)),
                version: 9,
            };
            let id = store.accounts().insert(&account).await.unwrap();
            let id = id.map(|id| note(&mut known.accounts, id));
            format!("add account {}: {id:?}", shown(&account, known))
        }
        3 => {
            let id = some(&known.accounts, random);
            let (groups, department, stale) = (groups(random), random.word(), random.chance(30));
            let Some(account) = store.accounts().by_id(id).await.unwrap() else { return "no account".into() };
            let version = account.version - i64::from(stale);
            let changed = Account { groups, department: department.into(), version, ..account };
            let done = store.accounts().update(&changed).await.unwrap();
            format!("change account {}: {done}", shown(&changed, known))
        }
        4 => {
            let id = some(&known.accounts, random);
            // So much hangs on an account that it had better stay for a while.
            if random.chance(70) {
                return "an account stays".into();
            }
            let done = store.accounts().delete(id).await.unwrap();
            format!("delete account {}: {done}", place(&known.accounts, id))
        }
        5..=7 => {
            let account = some(&known.accounts, random);
            let new = NewToken {
                account,
                scope: scope(random),
                digest: [u8::try_from(random.below(40)).unwrap(); 32],
                created: random.moment(),
                expires: random.moment(),
                address: Some(address(random)).filter(|_| random.chance(50)),
            };
            let taken = store.tokens().resolve(&new.digest).await.unwrap().is_some();
            if taken || store.accounts().by_id(account).await.unwrap().is_none() {
                return "no token".into();
            }
            let id = store.tokens().insert(&new).await.unwrap();
            format!("add token {:?}: {}", new.digest[0], note(&mut known.tokens, id))
        }
        8 => {
            let (account, id) = (some(&known.accounts, random), some(&known.tokens, random));
            let done = store.tokens().delete(account, id).await.unwrap();
            format!("revoke {} of {}: {done}", place(&known.tokens, id), place(&known.accounts, account))
        }
        9 => {
            let (account, scope) = (some(&known.accounts, random), scope(random));
            let scope = random.perhaps(scope);
            store.tokens().delete_of_account(account, scope).await.unwrap();
            format!("revoke {scope:?} of {}", place(&known.accounts, account))
        }
        10 => {
            let used = [
                (some(&known.tokens, random), random.moment()),
                (some(&known.tokens, random), random.moment()),
            ];
            store.tokens().touch(&used).await.unwrap();
            format!("use {:?}", used.map(|(id, at)| (place(&known.tokens, id), at)))
        }
        11 => {
            let now = random.moment();
            if random.chance(20) {
                store.tokens().prune(now).await.unwrap();
                store.login_failures().prune(now).await.unwrap();
            }
            format!("what has ended at {now}")
        }
        12 => {
            let (name, from, at) = (random.word(), address(random), random.moment());
            store.login_failures().insert(name, from, at).await.unwrap();
            format!("failure of {name} from {from} at {at}")
        }
        _ => {
            let row = AuditRow {
                id: 7,
                at: random.moment(),
                actor: Some(random.number(5)).filter(|_| random.chance(80)),
                actor_name: random.word().to_owned(),
                address: Some(address(random)).filter(|_| random.chance(50)),
                action: "task.add".to_owned(),
                object: random.word().to_owned(),
                old: Some("old".to_owned()).filter(|_| random.chance(50)),
                new: Some("new".to_owned()).filter(|_| random.chance(50)),
                count: 1 + random.number(9),
            };
            store.audit().append(&row).await.unwrap();
            format!("trail {row:?}")
        }
    }
}
