//! Cdns, customers, their domains, companies and jobs.

use chrono::TimeDelta;
use pilothouse_core::cdn::{
    Cdn, Company, Customer, Domain, DomainState, EdgeProgress, Job, JobCell, JobKind, JobState,
};
use pilothouse_core::ports::Repositories;

use super::known::{Known, note, place, some};
use super::random::Random;

fn cdn_shown(cdn: Cdn, known: &Known) -> Cdn {
    Cdn { id: place(&known.cdns, cdn.id), ..cdn }
}

fn domain_shown(domain: Domain, known: &Known) -> Domain {
    let (id, cdn_id) = (place(&known.domains, domain.id), place(&known.cdns, domain.cdn_id));
    Domain { id, cdn_id, account_id: place(&known.accounts, domain.account_id), ..domain }
}

fn customer_shown(customer: &Customer, known: &Known) -> String {
    let Customer { account_id, mail, password, operations, version } = customer;
    format!("{} {mail} {password} {operations} {version}", place(&known.accounts, *account_id))
}

fn customer(account_id: i64, random: &mut Random) -> Customer {
    let (password, operations) = (random.word().to_owned(), random.chance(50));
    Customer { account_id, mail: "ignored".to_owned(), password, operations, version: 1 }
}

pub(super) fn job_shown(job: Job, known: &Known) -> Job {
    let account_id = place(&known.accounts, job.account_id);
    Job { id: place(&known.jobs, job.id), account_id, ..job }
}

fn kind(random: &mut Random) -> JobKind {
    random.pick(&[JobKind::Refresh, JobKind::Preload])
}

pub(super) fn cdn_name(random: &mut Random) -> &'static str {
    random.pick(&["level3", "Level3", "qcloud", "c.d_n"])
}

fn domain_name(random: &mut Random) -> &'static str {
    random.pick(&["a.test", "b.test", "a_b.test"])
}

fn some_job(known: &Known, random: &mut Random) -> String {
    known.job_names.get(random.below(known.job_names.len() + 1)).cloned().unwrap_or_default()
}

pub(super) async fn read(store: &mut dyn Repositories, known: &Known, random: &mut Random) -> String {
    let (account, cdn) = (some(&known.accounts, random), some(&known.cdns, random));
    let (who, at) = (place(&known.accounts, account), place(&known.cdns, cdn));
    match random.below(9) {
        0 => {
            let name = cdn_name(random);
            let found = [store.cdns().by_id(cdn).await.unwrap(), store.cdns().by_name(name).await.unwrap()];
            format!("cdn {at}, cdn {name}: {:?}", found.map(|cdn| cdn.map(|cdn| cdn_shown(cdn, known))))
        }
        1 => {
            let found = store.cdns().list().await.unwrap();
            format!("cdns: {:?}", found.into_iter().map(|cdn| cdn_shown(cdn, known)).collect::<Vec<_>>())
        }
        2 => {
            let found = store.customers().find(account).await.unwrap();
            let cdns = store.customers().cdns(account).await.unwrap();
            let cdns: Vec<_> = cdns.into_iter().map(|cdn| cdn_shown(cdn, known)).collect();
            format!("customer {who}: {:?}, {cdns:?}", found.map(|customer| customer_shown(&customer, known)))
        }
        3 => {
            let cdn = random.perhaps(cdn);
            let found = store.domains().of_account(account, cdn).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|domain| domain_shown(domain, known)).collect();
            format!("domains of {who} on {:?}: {found:?}", cdn.map(|_| at))
        }
        4 => {
            let found = store.domains().of_cdn(cdn).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|domain| domain_shown(domain, known)).collect();
            let name = domain_name(random);
            let one = store.domains().find(cdn, name).await.unwrap();
            format!("domains on {at}: {found:?}, {name}: {:?}", one.map(|domain| domain_shown(domain, known)))
        }
        5 => {
            let ids = [0; 4].map(|_| some(&known.domains, random));
            let found = store.domains().by_ids(&ids).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|domain| domain_shown(domain, known)).collect();
            format!("domains {:?}: {found:?}", ids.map(|id| place(&known.domains, id)))
        }
        6 => {
            let name = random.word();
            let found = store.companies().by_name(name).await.unwrap().map(|company| Company {
                id: place(&known.companies, company.id),
                owner_id: company.owner_id.map(|owner| place(&known.accounts, owner)),
                ..company
            });
            format!("company {name}: {found:?}")
        }
        7 => {
            let (kind, count) = (kind(random), random.number(5));
            let found = store.jobs().list(account, kind, count).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|job| job_shown(job, known)).collect();
            format!("{count} {kind:?} of {who}: {found:?}")
        }
        _ => {
            let name = some_job(known, random);
            let Some(job) = store.jobs().find(&name).await.unwrap() else { return format!("no job {name}") };
            let progress = store.jobs().progress(&job).await.unwrap();
            format!("{:?}: {progress:?}", job_shown(job, known))
        }
    }
}

pub(super) async fn write(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    let (account, cdn) = (some(&known.accounts, random), some(&known.cdns, random));
    let (who, at) = (place(&known.accounts, account), place(&known.cdns, cdn));
    match random.below(18) {
        0 => {
            let name = cdn_name(random);
            let id = store.cdns().insert(name).await.unwrap().map(|id| note(&mut known.cdns, id));
            format!("add cdn {name}: {id:?}")
        }
        1 => {
            let renamed = Cdn { id: cdn, name: cdn_name(random).to_owned() };
            format!("rename cdn {at} to {}: {}", renamed.name, store.cdns().rename(&renamed).await.unwrap())
        }
        2..=6 => write_customer(store, known, random).await,
        7..=10 => {
            let name = domain_name(random);
            let there = store.accounts().by_id(account).await.unwrap().is_some()
                && store.cdns().by_id(cdn).await.unwrap().is_some();
            if !there {
                return "nobody claims".into();
            }
            store.customers().insert(&customer(account, random)).await.unwrap();
            let held = store.domains().find(cdn, name).await.unwrap();
            if held.is_some_and(|held| held.account_id != account) {
                // A refused claim may use up an id, which goes unnoticed only because its caller rolls back.
                return "another holds it".into();
            }
            let done = store.domains().claim(account, cdn, name).await.unwrap();
            let held = store.domains().find(cdn, name).await.unwrap().unwrap();
            format!("{who} claims {name} on {at}: {done}, {}", note(&mut known.domains, held.id))
        }
        11 => {
            let ids = [some(&known.domains, random), some(&known.domains, random)];
            store.domains().release(&ids).await.unwrap();
            format!("release {:?}", ids.map(|id| place(&known.domains, id)))
        }
        12 => {
            let state = random.pick(&[DomainState::Pending, DomainState::Active, DomainState::Offline]);
            let ids = [some(&known.domains, random), some(&known.domains, random)];
            store.domains().set_states(&ids.map(|id| (id, state))).await.unwrap();
            format!("{state:?}: {:?}", ids.map(|id| place(&known.domains, id)))
        }
        13 => {
            let company = Company {
                id: 7,
                name: random.word().to_owned(),
                alias: random.word().to_owned(),
                owner_id: Some(account).filter(|_| random.chance(70)),
            };
            if store.accounts().by_id(account).await.unwrap().is_none() {
                return "no owner".into();
            }
            let id = store.companies().insert(&company).await.unwrap();
            format!("add company {}: {:?}", company.name, id.map(|id| note(&mut known.companies, id)))
        }
        _ => write_job(store, known, random).await,
    }
}

async fn write_customer(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    let (account, cdn) = (some(&known.accounts, random), some(&known.cdns, random));
    let who = place(&known.accounts, account);
    let customer = customer(account, random);
    match random.below(8) {
        0..=3 => {
            if store.accounts().by_id(account).await.unwrap().is_none() {
                return "no account".into();
            }
            format!("add customer {who}: {}", store.customers().insert(&customer).await.unwrap())
        }
        4 => {
            let version = 1 + random.number(2);
            let done = store.customers().update(&Customer { version, ..customer }).await.unwrap();
            format!("change customer {who} {version}: {done}")
        }
        5 => format!("delete customer {who}: {}", store.customers().delete(account).await.unwrap()),
        _ => {
            let there = store.customers().find(account).await.unwrap().is_some()
                && store.cdns().by_id(cdn).await.unwrap().is_some();
            if !there {
                return "nobody to map".into();
            }
            store.customers().map(account, cdn).await.unwrap();
            format!("map {who} to {}", place(&known.cdns, cdn))
        }
    }
}

async fn write_job(store: &mut dyn Repositories, known: &mut Known, random: &mut Random) -> String {
    match random.below(5) {
        0 | 1 => {
            let account_id = some(&known.accounts, random);
            let job = Job {
                id: 7,
                task_id: format!("job-{:x}", random.next()),
                kind: kind(random),
                account_id,
                cdn: cdn_name(random).to_owned(),
                urls: vec![format!("http://a.test/{}", random.word()), "http://a.test/".to_owned()],
                created: random.moment(),
                state: JobState::Pending,
                percent: 0,
                reason: random.word().to_owned(),
                due: random.moment(),
                attempt: 0,
                failures: random.number(3),
                stamp: random.number(100),
            };
            if store.accounts().by_id(account_id).await.unwrap().is_none() {
                return "nobody's job".into();
            }
            let id = store.jobs().insert(&job).await.unwrap();
            known.job_names.push(job.task_id.clone());
            format!("add job {}: {}", job.task_id, note(&mut known.jobs, id))
        }
        2 => {
            let (now, count) = (random.moment(), random.number(4));
            let claimed = store.jobs().claim(now, TimeDelta::microseconds(3), count).await.unwrap();
            let claimed: Vec<_> = claimed.into_iter().map(|job| job_shown(job, known)).collect();
            format!("claim {count} at {now}: {claimed:?}")
        }
        _ => {
            let (name, stale) = (some_job(known, random), i64::from(random.chance(25)));
            let state =
                random.pick(&[JobState::Pending, JobState::Pending, JobState::Done, JobState::Failed]);
            let (percent, reason, due, failures) =
                (random.number(101), random.word(), random.moment(), random.number(3));
            let edge = random.pick(&["edge-1", "edge-2", "Edge-1", "边缘"]);
            let at = random.moment();
            let Some(held) = store.jobs().find(&name).await.unwrap() else { return format!("no job {name}") };
            let attempt = held.attempt - stale;
            let job = Job { state, percent, reason: reason.to_owned(), due, failures, attempt, ..held };
            let done = store.jobs().report(&job).await.unwrap();
            if done {
                let cells = vec![JobCell::failed(reason, at), JobCell::after(Ok(()), at)];
                store.jobs().record(job.id, &EdgeProgress { edge: edge.to_owned(), cells }).await.unwrap();
            }
            format!("report {:?} on {edge}: {done}", job_shown(job, known))
        }
    }
}
