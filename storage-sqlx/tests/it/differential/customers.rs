//! Cdns, customers, their domains and companies.

use pilothouse_conformance::Rng;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Cdn, Company, CompanyId, Customer, Domain, DomainState};
use pilothouse_core::ports::Repositories;

use super::draws::Draws;
use super::issued_ids::{IssuedIds, any_id, index_of, record_id};
use super::job;

fn comparable_cdn(cdn: Cdn, issued: &IssuedIds) -> Cdn {
    Cdn { id: index_of(&issued.cdns, cdn.id), ..cdn }
}

fn comparable_domain(domain: Domain, issued: &IssuedIds) -> Domain {
    let (id, cdn_id) = (index_of(&issued.domains, domain.id), index_of(&issued.cdns, domain.cdn_id));
    Domain { id, cdn_id, account_id: index_of(&issued.accounts, domain.account_id), ..domain }
}

fn comparable_customer(customer: &Customer, issued: &IssuedIds) -> String {
    let Customer { account_id, mail, password, operations, version } = customer;
    format!("{} {mail} {password} {operations} {version}", index_of(&issued.accounts, *account_id))
}

fn customer(account_id: AccountId, random: &mut Rng) -> Customer {
    let (password, operations) = (random.word().to_owned(), random.chance(50));
    Customer { account_id, mail: "ignored".to_owned(), password, operations, version: 1 }
}

pub(super) fn cdn_name(random: &mut Rng) -> &'static str {
    random.pick(&["level3", "Level3", "qcloud", "c.d_n"])
}

fn domain_name(random: &mut Rng) -> &'static str {
    random.pick(&["a.test", "b.test", "a_b.test"])
}

pub(super) async fn read(store: &mut dyn Repositories, issued: &IssuedIds, random: &mut Rng) -> String {
    let (account, cdn) = (any_id(&issued.accounts, random), any_id(&issued.cdns, random));
    let (who, at) = (index_of(&issued.accounts, account), index_of(&issued.cdns, cdn));
    match random.usize(..9) {
        0 => {
            let name = cdn_name(random);
            let found = [store.cdns().by_id(cdn).await.unwrap(), store.cdns().by_name(name).await.unwrap()];
            format!("cdn {at}, cdn {name}: {:?}", found.map(|cdn| cdn.map(|cdn| comparable_cdn(cdn, issued))))
        }
        1 => {
            let found = store.cdns().list().await.unwrap();
            format!(
                "cdns: {:?}",
                found.into_iter().map(|cdn| comparable_cdn(cdn, issued)).collect::<Vec<_>>()
            )
        }
        2 => {
            let found = store.customers().find(account).await.unwrap();
            let cdns = store.customers().cdns(account).await.unwrap();
            let cdns: Vec<_> = cdns.into_iter().map(|cdn| comparable_cdn(cdn, issued)).collect();
            format!(
                "customer {who}: {:?}, {cdns:?}",
                found.map(|customer| comparable_customer(&customer, issued))
            )
        }
        3 => {
            let cdn = random.perhaps(cdn);
            let found = store.domains().of_account(account, cdn).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|domain| comparable_domain(domain, issued)).collect();
            format!("domains of {who} on {:?}: {found:?}", cdn.map(|_| at))
        }
        4 => {
            let found = store.domains().of_cdn(cdn).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|domain| comparable_domain(domain, issued)).collect();
            let name = domain_name(random);
            let one = store.domains().find(cdn, name).await.unwrap();
            format!(
                "domains on {at}: {found:?}, {name}: {:?}",
                one.map(|domain| comparable_domain(domain, issued))
            )
        }
        5 => {
            let ids = [0; 4].map(|_| any_id(&issued.domains, random));
            let found = store.domains().by_ids(&ids).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|domain| comparable_domain(domain, issued)).collect();
            format!("domains {:?}: {found:?}", ids.map(|id| index_of(&issued.domains, id)))
        }
        6 => {
            let name = random.word();
            let found = store.companies().by_name(name).await.unwrap().map(|company| Company {
                id: index_of(&issued.companies, company.id),
                owner_id: company.owner_id.map(|owner| index_of(&issued.accounts, owner)),
                ..company
            });
            format!("company {name}: {found:?}")
        }
        7 => job::read_list(store, issued, random, account).await,
        8 => job::read_requests(store, issued, random).await,
        _ => job::read_progress(store, issued, random).await,
    }
}

pub(super) async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    let (account, cdn) = (any_id(&issued.accounts, random), any_id(&issued.cdns, random));
    let (who, at) = (index_of(&issued.accounts, account), index_of(&issued.cdns, cdn));
    match random.usize(..18) {
        0 => {
            let name = cdn_name(random);
            let id = store.cdns().insert(name).await.unwrap().map(|id| record_id(&mut issued.cdns, id));
            format!("add cdn {name}: {id:?}")
        }
        1 => {
            let renamed = Cdn { id: cdn, name: cdn_name(random).to_owned() };
            format!("rename cdn {at} to {}: {}", renamed.name, store.cdns().rename(&renamed).await.unwrap())
        }
        2..=6 => write_customer(store, issued, random).await,
        7..=10 => {
            let name = domain_name(random);
            let exists = store.accounts().by_id(account).await.unwrap().is_some()
                && store.cdns().by_id(cdn).await.unwrap().is_some();
            if !exists {
                return "nobody claims".into();
            }
            store.customers().insert(&customer(account, random)).await.unwrap();
            let holder = store.domains().find(cdn, name).await.unwrap();
            if holder.is_some_and(|holder| holder.account_id != account) {
                // A refused claim may use up an id, which is harmless only because its caller rolls back.
                return "another holds it".into();
            }
            let done = store.domains().claim(account, cdn, name).await.unwrap();
            let claimed = store.domains().find(cdn, name).await.unwrap().unwrap();
            format!("{who} claims {name} on {at}: {done}, {}", record_id(&mut issued.domains, claimed.id))
        }
        11 => {
            let ids = [any_id(&issued.domains, random), any_id(&issued.domains, random)];
            store.domains().release(&ids).await.unwrap();
            format!("release {:?}", ids.map(|id| index_of(&issued.domains, id)))
        }
        12 => {
            let state = random.pick(&[DomainState::Pending, DomainState::Active, DomainState::Offline]);
            let ids = [any_id(&issued.domains, random), any_id(&issued.domains, random)];
            store.domains().set_states(&ids.map(|id| (id, state))).await.unwrap();
            format!("{state:?}: {:?}", ids.map(|id| index_of(&issued.domains, id)))
        }
        13 => {
            let company = Company {
                id: CompanyId(7),
                name: random.word().to_owned(),
                alias: random.word().to_owned(),
                owner_id: Some(account).filter(|_| random.chance(70)),
                owner_name: random.word().to_owned(),
            };
            if store.accounts().by_id(account).await.unwrap().is_none() {
                return "no owner".into();
            }
            let id = store.companies().insert(&company).await.unwrap();
            format!("add company {}: {:?}", company.name, id.map(|id| record_id(&mut issued.companies, id)))
        }
        _ => job::write(store, issued, random).await,
    }
}

async fn write_customer(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    let (account, cdn) = (any_id(&issued.accounts, random), any_id(&issued.cdns, random));
    let who = index_of(&issued.accounts, account);
    let customer = customer(account, random);
    match random.usize(..8) {
        0..=3 => {
            if store.accounts().by_id(account).await.unwrap().is_none() {
                return "no account".into();
            }
            format!("add customer {who}: {}", store.customers().insert(&customer).await.unwrap())
        }
        4 => {
            let version = 1 + random.i64(0..2);
            let done = store.customers().update(&Customer { version, ..customer }).await.unwrap();
            format!("change customer {who} {version}: {done}")
        }
        5 => format!("delete customer {who}: {}", store.customers().delete(account).await.unwrap()),
        _ => {
            let exists = store.customers().find(account).await.unwrap().is_some()
                && store.cdns().by_id(cdn).await.unwrap().is_some();
            if !exists {
                return "nobody to map".into();
            }
            let alias = random.chance(50).then(|| random.word());
            store.customers().map(account, cdn, alias).await.unwrap();
            format!("map {who} to {} as {alias:?}", index_of(&issued.cdns, cdn))
        }
    }
}
