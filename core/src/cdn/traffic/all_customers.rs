//! Sums and bills over all customers, for operators: customer by customer and page by page, so that memory holds the traffic of
//! some domains and the rows of one page, however many customers there are.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Range, RangeInclusive};

use super::billing::{Bill, Billing, BillingRule, CountedMonth, bill_of};
use super::bucket::{BUCKET_SECONDS, Bucket, Figures};
use super::figure_scan::{FigureSink, scan};
use super::month::Month;
use super::series::{MAX_DAYS, Traffic, TrafficQuery};
use crate::account::{Caller, Group};
use crate::cdn::customers::{Cdn, CustomerOverview, Domain, domains_since, ids};
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
    /// Rule that it is billed by.
    pub rule: BillingRule,
    /// The bill, as [`Billing::bill`] answers it for this name alone.
    pub bill: Bill,
    /// Bytes of the time that the bill counts.
    pub flux: i64,
    /// Requests of the time that the bill counts.
    pub requests: i64,
}

/// Sum of everything; none where there is nothing.
#[derive(Default)]
struct Sum(Option<Figures>);

impl FigureSink for Sum {
    fn add(&mut self, _: DomainId, _: Bucket, figures: Figures) {
        self.0.get_or_insert_default().add(figures);
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

/// Rows after which a page ends.
const PAGE_ROWS: usize = 256;
/// Customers that one read brings.
const CUSTOMERS_AT_ONCE: i64 = 100;

/// The customers from an account id on, some at a time.
async fn next_customers(repositories: &mut dyn Repositories, start: i64) -> Result<Vec<CustomerOverview>> {
    Ok(repositories.customers().list(Page::at(start, CUSTOMERS_AT_ONCE)).await?)
}

/// Sums of all customers, page by page.
#[derive(Debug)]
pub struct TotalRun {
    pilothouse: Pilothouse,
    buckets: RangeInclusive<Bucket>,
    /// Cdns that are yet to come, the next one last.
    cdns: Vec<Cdn>,
    /// First account id of the present cdn that is yet to come.
    start: i64,
}

impl TotalRun {
    /// The next rows, by name of the cdn and account id; `None` at the end. Each page is of the moment it is asked for.
    pub async fn next_sums(&mut self) -> Result<Option<Vec<TotalRow>>> {
        let mut snapshot = self.pilothouse.storage().read().await?;
        let mut rows = Vec::new();
        while let Some(cdn) = self.cdns.last().cloned() {
            let customers = next_customers(&mut *snapshot, self.start).await?;
            if customers.is_empty() {
                self.cdns.pop();
                self.start = 0;
            }
            for CustomerOverview { customer, .. } in customers {
                self.start = customer.account_id.0 + 1;
                let since = self.buckets.start() * BUCKET_SECONDS;
                let mut domains = domains_since(&mut *snapshot, customer.account_id, since).await?;
                domains.retain(|domain| domain.cdn_id == cdn.id);
                let mut sum = Sum::default();
                scan(&mut *snapshot, &ids(&domains), self.buckets.clone(), &mut sum).await?;
                if let Some(figures) = sum.0 {
                    rows.push(TotalRow { cdn: cdn.name.clone(), mail: customer.mail, figures });
                }
                if rows.len() >= PAGE_ROWS {
                    return Ok(Some(rows));
                }
            }
        }
        Ok((!rows.is_empty()).then_some(rows))
    }
}

/// Bills of all customers for a month, page by page.
#[derive(Debug)]
pub struct BillRun {
    pilothouse: Pilothouse,
    counted: CountedMonth,
    rule: BillingRule,
    /// First account id that is yet to come.
    start: i64,
    /// Last name of that account which is billed already.
    after: Option<String>,
    is_over: bool,
}

impl BillRun {
    /// The next bills, by account id and name; `None` at the end. All count the same time.
    pub async fn next_bills(&mut self) -> Result<Option<Vec<CustomerBill>>> {
        let mut snapshot = self.pilothouse.storage().read().await?;
        let mut bills = Vec::new();
        while !self.is_over {
            let customers = next_customers(&mut *snapshot, self.start).await?;
            self.is_over = customers.is_empty();
            for CustomerOverview { customer, .. } in customers {
                let begin = self.counted.begin();
                let domains = domains_since(&mut *snapshot, customer.account_id, begin).await?;
                // The account may be another one by now.
                let after = self.after.take().filter(|_| customer.account_id.0 == self.start);
                self.start = customer.account_id.0;
                let names = by_name(domains).into_iter();
                let names: Vec<_> = names.filter(|(name, _)| Some(name) > after.as_ref()).collect();
                for names in names.chunks(DOMAINS_AT_ONCE) {
                    if bills.len() >= PAGE_ROWS {
                        return Ok(Some(bills));
                    }
                    let series = series(&mut *snapshot, names, self.counted.buckets.clone()).await?;
                    bills.extend(billed_names(self, &customer.mail, names, series));
                    self.after = names.last().map(|(name, _)| name.clone());
                }
                self.after = None;
                self.start = customer.account_id.0 + 1;
            }
        }
        Ok((!bills.is_empty()).then_some(bills))
    }
}

impl Traffic<'_> {
    /// Sums of the domains that customers held since the begin, by cdn and customer, without those that had no traffic; needs
    /// group 8. Both times are rounded down to their bucket, which is included; at most 400 days.
    pub async fn totals(&self, caller: &Caller, start_time: i64, end_time: i64) -> Result<TotalRun> {
        self.0.require(caller, Group::Cdn)?;
        let query = TrafficQuery { start_time, end_time, ..TrafficQuery::default() };
        let buckets = query.buckets(MAX_DAYS)?;
        let mut cdns = self.0.storage().read().await?.cdns().list().await?;
        cdns.sort_unstable_by(|one, other| other.name.cmp(&one.name));
        Ok(TotalRun { pilothouse: self.0.clone(), buckets, cdns, start: 0 })
    }
}

impl Billing<'_> {
    /// Bills of all customers for a month, one per name of a domain; needs group 8. Refuses a month that has not begun, and
    /// figures of vendors as [`Billing::bill`] does.
    pub async fn bills(&self, caller: &Caller, month: Month, rule: BillingRule) -> Result<BillRun> {
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
        Ok(BillRun { pilothouse: self.0.clone(), counted, rule, start: 0, after: None, is_over: false })
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
    run: &BillRun,
    mail: &str,
    names: &[(String, Vec<DomainId>)],
    series: NameSeries,
) -> Vec<CustomerBill> {
    let timezone = run.pilothouse.settings().timezone;
    let mut bills = Vec::with_capacity(names.len());
    for (((domain, _), fluxs), requests) in names.iter().zip(series.fluxs).zip(series.requests) {
        let flux = fluxs.iter().fold(0_i64, |sum, flux| sum.saturating_add(*flux));
        let bill = bill_of(&run.counted, fluxs, run.rule, timezone);
        let (mail, domain, rule) = (mail.to_owned(), domain.clone(), run.rule);
        bills.push(CustomerBill { mail, domain, rule, bill, flux, requests });
    }
    bills
}
