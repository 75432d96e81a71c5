//! Sums and bills over all customers, for operators: customer by customer, so that memory holds the traffic of one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::billing::{Bill, Billing, BillingRule, CountedMonth, bill_of};
use super::bucket::{Bucket, Figures};
use super::figure_scan::{FigureSink, scan};
use super::month::Month;
use super::series::{MAX_DAYS, Traffic, TrafficQuery};
use crate::account::{Caller, Group};
use crate::cdn::customers::{CustomerOverview, Domain};
use crate::cdn::identifier::DomainId;
use crate::ports::Repositories;
use crate::{Page, Pilothouse, Result};

/// The most domains whose figures of a month are in memory at once.
const DOMAINS_AT_ONCE: usize = 32;

/// Traffic of a customer on a cdn, summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalRow {
    /// Name of the cdn.
    pub cdn: String,
    /// Mail of the customer.
    pub mail: String,
    /// Bytes, bytes of hits, requests, hits and answers by class.
    pub figures: Figures,
}

/// Bill of a name of a customer for a month, with its traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerBill {
    /// Mail of the customer.
    pub mail: String,
    /// Name of the domain; on several cdns it is billed together.
    pub domain: String,
    /// The bill, as [`Billing::bill`] answers it for this name alone.
    pub bill: Bill,
    /// Bytes of the time that the bill counts.
    pub flux: i64,
    /// Requests of the time that the bill counts.
    pub requests: i64,
}

/// Sums by domain.
#[derive(Default)]
struct DomainSums(HashMap<DomainId, Figures>);

impl FigureSink for DomainSums {
    fn add(&mut self, domain_id: DomainId, _: Bucket, figures: Figures) {
        self.0.entry(domain_id).or_default().add(figures);
    }
}

/// Bytes by bucket and the number of requests of names, each on all its cdns.
struct NameSeries {
    name_of: HashMap<DomainId, usize>,
    first: Bucket,
    fluxs: Vec<Vec<i64>>,
    requests: Vec<i64>,
}

impl FigureSink for NameSeries {
    fn add(&mut self, domain_id: DomainId, bucket: Bucket, figures: Figures) {
        let Some(&name) = self.name_of.get(&domain_id) else { return };
        let place = usize::try_from(bucket - self.first).unwrap_or_default();
        let flux = &mut self.fluxs[name][place];
        *flux = flux.saturating_add(figures.flux);
        self.requests[name] = self.requests[name].saturating_add(figures.requests);
    }
}

/// The customers after an account id, some at a time.
async fn next_customers(repositories: &mut dyn Repositories, start: i64) -> Result<Vec<CustomerOverview>> {
    Ok(repositories.customers().list(Page::at(start, Page::MAX)).await?)
}

impl Traffic<'_> {
    /// Sums of the domains that customers hold now, by cdn and customer, without those that had no traffic; needs group 8.
    /// Both times are rounded down to their bucket, which is included; at most 400 days.
    pub async fn totals(&self, caller: &Caller, start_time: i64, end_time: i64) -> Result<Vec<TotalRow>> {
        self.0.require(caller, Group::Cdn)?;
        let query = TrafficQuery { start_time, end_time, ..TrafficQuery::default() };
        let buckets = query.buckets(MAX_DAYS)?;
        let mut snapshot = self.0.storage().read().await?;
        let cdns = snapshot.cdns().list().await?;
        let cdns: HashMap<_, _> = cdns.into_iter().map(|cdn| (cdn.id, cdn.name)).collect();
        let mut totals: BTreeMap<(String, String), Figures> = BTreeMap::new();
        let mut customers = next_customers(&mut *snapshot, 0).await?;
        while let Some(last) = customers.last().map(|row| row.customer.account_id.0) {
            for CustomerOverview { customer, .. } in customers {
                let domains = snapshot.domains().of_account(customer.account_id, None).await?;
                let ids: Vec<_> = domains.iter().map(|domain| domain.id).collect();
                let mut sums = DomainSums::default();
                scan(&mut *snapshot, &ids, buckets.clone(), &mut sums).await?;
                for domain in &domains {
                    let Some(figures) = sums.0.get(&domain.id) else { continue };
                    let cdn = cdns.get(&domain.cdn_id).cloned().unwrap_or_default();
                    totals.entry((cdn, customer.mail.clone())).or_default().add(*figures);
                }
            }
            customers = next_customers(&mut *snapshot, last + 1).await?;
        }
        let row = |((cdn, mail), figures)| TotalRow { cdn, mail, figures };
        Ok(totals.into_iter().map(row).collect())
    }
}

impl Billing<'_> {
    /// Bills of all customers for a month, one per name of a domain, by account id and name; needs group 8. Refuses a month
    /// that has not begun, and figures of vendors as [`Billing::bill`] does.
    pub async fn bills(&self, caller: &Caller, month: Month, rule: BillingRule) -> Result<Vec<CustomerBill>> {
        self.0.require(caller, Group::Cdn)?;
        let mut snapshot = self.0.storage().read().await?;
        let mut vendors = Vec::new();
        for (cdn, _) in self.0.providers().iter() {
            if let Some(cdn) = snapshot.cdns().by_name(cdn).await? {
                vendors.extend(snapshot.domains().of_cdn(cdn.id).await?);
            }
        }
        let sources = self.0.figure_sources(&mut *snapshot, &vendors).await?;
        let counted = self.counted(month)?.known(&sources)?;
        let mut bills = Vec::new();
        let mut customers = next_customers(&mut *snapshot, 0).await?;
        while let Some(last) = customers.last().map(|row| row.customer.account_id.0) {
            for CustomerOverview { customer, .. } in customers {
                let domains = snapshot.domains().of_account(customer.account_id, None).await?;
                let names = by_name(domains).into_iter().collect::<Vec<_>>();
                for names in names.chunks(DOMAINS_AT_ONCE) {
                    let series = series(&mut *snapshot, names, counted.buckets.clone()).await?;
                    bills.extend(billed_names(self.0, &counted, rule, &customer.mail, names, series));
                }
            }
            customers = next_customers(&mut *snapshot, last + 1).await?;
        }
        Ok(bills)
    }
}

/// Ids of each name's domains, by name.
fn by_name(domains: Vec<Domain>) -> BTreeMap<String, Vec<DomainId>> {
    let mut names: BTreeMap<String, Vec<DomainId>> = BTreeMap::new();
    for domain in domains {
        names.entry(domain.name).or_default().push(domain.id);
    }
    names
}

/// Reads the traffic of some names of one customer.
async fn series(
    repositories: &mut dyn Repositories,
    names: &[(String, Vec<DomainId>)],
    Range { start, end }: Range<Bucket>,
) -> Result<NameSeries> {
    let length = usize::try_from(end - start).unwrap_or_default();
    let numbered = names.iter().enumerate();
    let name_of: HashMap<_, _> =
        numbered.flat_map(|(n, (_, ids))| ids.iter().map(move |id| (*id, n))).collect();
    let ids: Vec<_> = names.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    let fluxs = vec![vec![0; length]; names.len()];
    let mut series = NameSeries { name_of, first: start, fluxs, requests: vec![0; names.len()] };
    if start < end {
        scan(repositories, &ids, start..=end - 1, &mut series).await?;
    }
    Ok(series)
}

/// Bills of names of one customer.
fn billed_names(
    pilothouse: &Pilothouse,
    counted: &CountedMonth,
    rule: BillingRule,
    mail: &str,
    names: &[(String, Vec<DomainId>)],
    series: NameSeries,
) -> Vec<CustomerBill> {
    let timezone = pilothouse.settings().timezone;
    let mut bills = Vec::with_capacity(names.len());
    for (((domain, _), fluxs), requests) in names.iter().zip(series.fluxs).zip(series.requests) {
        let flux = fluxs.iter().fold(0_i64, |sum, flux| sum.saturating_add(*flux));
        let bill = bill_of(counted, fluxs, rule, timezone);
        bills.push(CustomerBill { mail: mail.to_owned(), domain: domain.clone(), bill, flux, requests });
    }
    bills
}
