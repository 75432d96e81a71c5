//! Domains: which customer holds which domain of which cdn.
//!
//! A domain of a cdn is held by one customer at a time. Released, it can be claimed by anyone; its id goes on belonging
//! to the customer that held it, who gets the same id back by claiming it again. What is recorded by domain id, such
//! as traffic, thus outlives a release and never reaches the next holder; the former one goes on reading it.

use std::collections::HashSet;

use async_trait::async_trait;

use super::cdn::Cdn;
use super::customer::{Customer, NamedCdn, cdns_named, check_cdns, lock_customer};
use super::tenure::domains_since;
use crate::account::{AccountId, Caller, CallerTransaction, Entry, Group, digest};
use crate::cdn::identifier::{CdnId, DomainId};
use crate::ports::{LockKey, Repositories, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result};

/// The most domains one request may name.
const MAX_DOMAINS: usize = 1000;

/// State of a domain at its cdn's provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainState {
    /// Not seen there yet. On a cdn without a provider it stays so.
    Pending,
    /// The provider serves it.
    Active,
    /// The provider served it and does so no longer.
    Offline,
}

impl DomainState {
    /// Number that stores keep.
    pub fn id(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Active => 1,
            Self::Offline => 2,
        }
    }

    /// State of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Pending, Self::Active, Self::Offline].into_iter().find(|state| state.id() == id)
    }

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::Offline => "Offline",
        }
    }
}

/// A domain that a customer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Unique and never given again: a later owner of the name gets another.
    pub id: DomainId,
    /// Cdn that serves it.
    pub cdn_id: CdnId,
    /// Account of the customer that holds it.
    pub account_id: AccountId,
    /// Name, as [`domain_name`] makes it.
    pub name: String,
    /// State at the cdn's provider.
    pub state: DomainState,
}

/// The domains a customer holds on one cdn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdnDomains {
    /// Cdn that serves these domains.
    pub cdn: Cdn,
    /// The domains, by id.
    pub domains: Vec<Domain>,
}

/// Domains in a store. Every read sees those that are held. Every write happens under [`LockKey::Cdns`].
#[async_trait]
pub trait DomainRepository: Send {
    /// Claims a domain for a customer: pending, under the id it had with that customer before, else a new one. Nothing
    /// changes where the customer holds it already. False when another customer holds it.
    async fn claim(&mut self, account_id: AccountId, cdn_id: CdnId, name: &str) -> StorageResult<bool>;
    /// Releases domains; those nobody holds are passed over.
    async fn release(&mut self, ids: &[DomainId]) -> StorageResult<()>;
    /// A customer's domains, on all cdns or on one, by id.
    async fn of_account(&mut self, account_id: AccountId, cdn: Option<CdnId>) -> StorageResult<Vec<Domain>>;
    /// A cdn's domains, by id.
    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<Domain>>;
    /// Finds a domain of a cdn by name.
    async fn find(&mut self, cdn_id: CdnId, name: &str) -> StorageResult<Option<Domain>>;
    /// Finds domains by id, in the order of `ids`; those nobody holds are passed over.
    async fn by_ids(&mut self, ids: &[DomainId]) -> StorageResult<Vec<Domain>>;
    /// Sets states; those nobody holds are passed over.
    async fn set_states(&mut self, states: &[(DomainId, DomainState)]) -> StorageResult<()>;
}

/// A domain's name as it is kept: a host name in lower case.
///
/// At most 253 bytes in labels of 1 to 63 letters, digits and hyphens, neither first nor last a hyphen. Names in other
/// scripts come in their `xn--` form. Refuses wildcards, addresses and a closing dot.
pub fn domain_name(field: &'static str, name: &str) -> Result<String> {
    let name = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > 253 {
        return Err(Error::invalid(field, "must be host names of 1 to 253 bytes"));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    if !name.split('.').all(label) || name.rsplit('.').next().is_none_or(numeric) {
        let reason =
            "must be host names: labels of 1 to 63 letters, digits and inner hyphens, joined by dots";
        return Err(Error::invalid(field, reason));
    }
    Ok(name)
}

impl Pilothouse {
    /// A customer's domains of these names, on all its cdns; all it has where no name is given. Refuses a name that is
    /// none of them.
    pub(in crate::cdn) async fn owned_domains(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        customer: &Customer,
        names: &[String],
    ) -> Result<Vec<Domain>> {
        let held = repositories.domains().of_account(customer.account_id, None).await?;
        self.named_domains(caller, held, names)
    }

    /// Like [`Self::owned_domains`], with those that the customer held at any time since a moment in unix seconds: its
    /// figures and logs of that time stay its own.
    pub(in crate::cdn) async fn owned_domains_since(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        customer: &Customer,
        names: &[String],
        since: i64,
    ) -> Result<Vec<Domain>> {
        let held = domains_since(repositories, customer.account_id, since).await?;
        self.named_domains(caller, held, names)
    }

    fn named_domains(
        &self,
        caller: &Caller,
        mut domains: Vec<Domain>,
        names: &[String],
    ) -> Result<Vec<Domain>> {
        if names.is_empty() {
            return Ok(domains);
        }
        if !names.iter().all(|name| domains.iter().any(|domain| domain.name == *name)) {
            return Err(self.refuse(caller, "a domain"));
        }
        domains.retain(|domain| names.contains(&domain.name));
        Ok(domains)
    }
}

pub(in crate::cdn) fn ids(domains: &[Domain]) -> Vec<DomainId> {
    domains.iter().map(|domain| domain.id).collect()
}

/// The use cases of domains.
#[derive(Clone, Copy, Debug)]
pub struct Domains<'a>(pub(crate) &'a Pilothouse);

impl Domains<'_> {
    /// The names of a customer's domains on all its cdns, each once, by first id.
    ///
    /// A caller asks for itself where `login_email` is none, or for anyone with group 8.
    pub async fn names(&self, caller: &Caller, login_email: Option<&str>) -> Result<Vec<String>> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, login_email).await?;
        let held = snapshot.domains().of_account(customer.account_id, None).await?;
        let mut seen = HashSet::new();
        let names = held.into_iter().map(|domain| domain.name).filter(|name| seen.insert(name.clone()));
        Ok(names.collect())
    }

    /// A customer and its domains, one entry per cdn it is mapped to.
    ///
    /// The caller asks for itself, or for anyone with group 8.
    pub async fn list(&self, caller: &Caller, login_email: &str) -> Result<(Customer, Vec<CdnDomains>)> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, Some(login_email)).await?;
        let domains = by_cdn(&mut *snapshot, &customer).await?;
        Ok((customer, domains))
    }

    /// Claims 1 to 1000 more domains for a customer, and maps it to the cdn; needs group 8. Answers all its
    /// domains. One that another customer holds exists already, and then nothing changes.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn add(
        &self,
        caller: &Caller,
        login_email: &str,
        cdn: &str,
        domains: &[String],
    ) -> Result<Vec<CdnDomains>> {
        self.0.require(caller, Group::Cdn)?;
        let cdns = [cdn.to_owned()];
        check_cdns("cdn", &cdns)?;
        let domains = check_domains(domains, 1)?;
        let mut work = self.0.write_as(caller).await?;
        let customer = lock_customer(&mut work, login_email).await?;
        work.lock(LockKey::Cdns).await?;
        let cdns = cdns_named(&mut *work, "cdn", &cdns).await?;
        let before = by_cdn(&mut *work, &customer).await?;
        self.claim(&mut *work, &customer, &cdns, &domains).await?;
        self.finish(work, &customer, "domain.add", &before).await
    }

    /// Makes up to 1000 domains the only ones a customer holds on each of the cdns, and maps it to them; needs group 8.
    /// Answers all its domains. `id`, where given, must be that of the one cdn named.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn replace(
        &self,
        caller: &Caller,
        login_email: &str,
        cdns: &[String],
        id: Option<CdnId>,
        domains: &[String],
    ) -> Result<Vec<CdnDomains>> {
        self.0.require(caller, Group::Cdn)?;
        check_cdns("cdns", cdns)?;
        let domains = check_domains(domains, 0)?;
        let mut work = self.0.write_as(caller).await?;
        let customer = lock_customer(&mut work, login_email).await?;
        work.lock(LockKey::Cdns).await?;
        let cdns = cdns_named(&mut *work, "cdns", cdns).await?;
        if id.is_some_and(|id| cdns.iter().any(|named| named.cdn.id != id)) {
            return Err(Error::invalid("id", "must be the id of the one cdn named"));
        }
        let before = by_cdn(&mut *work, &customer).await?;
        for NamedCdn { cdn, .. } in &cdns {
            let held = work.domains().of_account(customer.account_id, Some(cdn.id)).await?;
            let gone: Vec<_> = held.into_iter().filter(|held| !domains.contains(&held.name)).collect();
            self.0.release(&mut *work, &gone).await?;
        }
        self.claim(&mut *work, &customer, &cdns, &domains).await?;
        self.finish(work, &customer, "domain.replace", &before).await
    }

    /// Claims the domains on each of the cdns. Those that are served there, as is known without asking, are active at
    /// once.
    async fn claim(
        &self,
        work: &mut dyn UnitOfWork,
        customer: &Customer,
        cdns: &[NamedCdn<'_>],
        names: &[String],
    ) -> Result<()> {
        for named in cdns {
            let cdn = &named.cdn;
            work.customers().map(customer.account_id, cdn.id, named.alias()).await?;
            for name in names {
                if !work.domains().claim(customer.account_id, cdn.id, name).await? {
                    let whose = format!("the domain {name} of another customer on {}", cdn.name);
                    return Err(Error::exists(whose));
                }
            }
            self.0.activate_served(work, customer.account_id, cdn, names).await?;
            self.0.count_unregistered(work, cdn.id, names).await?;
        }
        Ok(())
    }

    async fn finish(
        &self,
        mut work: CallerTransaction<'_>,
        customer: &Customer,
        action: &'static str,
        before: &[CdnDomains],
    ) -> Result<Vec<CdnDomains>> {
        let after = by_cdn(&mut *work, customer).await?;
        let entry = Entry::new(action, &*customer.mail)
            .old(holding_digest(before))
            .new_digest(holding_digest(&after));
        work.record(entry).await?;
        work.commit().await?;
        Ok(after)
    }
}

/// The names as they are kept, each once, in the order given.
fn check_domains(domains: &[String], min: usize) -> Result<Vec<String>> {
    if !(min..=MAX_DOMAINS).contains(&domains.len()) {
        return Err(Error::invalid("domains", format!("must be {min} to {MAX_DOMAINS} host names")));
    }
    let names: Result<Vec<_>> = domains.iter().map(|domain| domain_name("domains", domain)).collect();
    let mut seen = HashSet::new();
    Ok(names?.into_iter().filter(|name| seen.insert(name.clone())).collect())
}

async fn by_cdn(repositories: &mut dyn Repositories, customer: &Customer) -> Result<Vec<CdnDomains>> {
    let cdns = repositories.customers().cdns(customer.account_id).await?;
    let mut held = repositories.domains().of_account(customer.account_id, None).await?;
    let mut result = Vec::new();
    for cdn in cdns {
        let (domains, rest) = held.into_iter().partition(|domain| domain.cdn_id == cdn.id);
        result.push(CdnDomains { cdn, domains });
        held = rest;
    }
    Ok(result)
}

fn holding_digest(held: &[CdnDomains]) -> String {
    let mut parts = Vec::new();
    for CdnDomains { cdn, domains } in held {
        parts.push(&*cdn.name);
        parts.extend(domains.iter().map(|domain| &*domain.name));
    }
    digest(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_are_host_names_in_lower_case() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        for name in
            ["cdn.exrqs.com", "CDN.Exrqs.com", "xn--fiqs8s.example", "a--b.1.test", "localhost", &longest]
        {
            assert_eq!(domain_name("domains", name).unwrap(), name.to_ascii_lowercase());
        }
        let too_long = format!("{label}.{label}.{label}.{}", "a".repeat(62));
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "*.a.test",
            "-a.test",
            "a-.test",
            "a_b.test",
            "a b.test",
            "中国.test",
            "a.test:80",
            "http://a.test",
            "a/b",
            "192.0.2.1",
            "[::1]",
            "a.test\0",
            &"a".repeat(64),
            &too_long,
        ] {
            assert_eq!(
                domain_name("domains", name).unwrap_err().kind(),
                crate::ErrorKind::Invalid,
                "{name:?}"
            );
        }
    }
}
