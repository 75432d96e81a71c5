//! Share of a customer: the part of a vendor's quota of a day that the URLs of one customer may use.
//!
//! A batch holds URLs of many customers, so each URL is charged to the customer that holds its domain, when it is put into a
//! batch. What the vendor did not do in the end stays charged.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::batch::{BatchItem, VendorBatch};
use super::cut::host;
use super::outcome::waits;
use super::speaker::Speaker;
use super::spending::VendorSpending;
use crate::Result;
use crate::account::AccountId;
use crate::ports::{Operation, Quota};
use crate::sync::lock;

/// Share of all customers together, which limits nobody.
const WHOLE: u8 = 100;
/// Shortest wait for a quota that should have begun anew already.
const SHORTEST_WAIT: TimeDelta = TimeDelta::seconds(1);

/// Customers of URLs, and what each may still use of the quotas that they spend.
#[derive(Debug, Default)]
pub(super) struct Shares {
    quotas: Vec<Quota>,
    /// Percent of each quota that one customer may use.
    percent: u8,
    /// Customers by the name of their domains.
    accounts: HashMap<String, AccountId>,
    /// Items of each quota, in their order, that a customer has used.
    used: HashMap<AccountId, Vec<i64>>,
}

/// Items that wait for a quota to begin anew, with the reason.
struct Beyond {
    until: DateTime<Utc>,
    reason: String,
}

impl Shares {
    /// Items of a quota that one customer may use; one at least, so that nobody waits for ever.
    fn allowance(&self, quota: &Quota) -> i64 {
        (quota.total.saturating_mul(i64::from(self.percent)) / 100).max(1)
    }

    /// Takes one item of a URL's customer from its share of each quota; where one is used up, why the URL waits.
    fn take(&mut self, url: &str) -> Option<Beyond> {
        let account = *self.accounts.get(&host(url))?;
        let quotas = self.quotas.len();
        let used = self.used.get(&account).cloned().unwrap_or_else(|| vec![0; quotas]);
        for (quota, used) in self.quotas.iter().zip(&used) {
            let allowance = self.allowance(quota);
            if *used >= allowance {
                let Quota { pool, total, resets_at: until, .. } = quota;
                let reason = format!(
                    "the customer's share of the quota of {pool}, {allowance} of {total}, is used up until {}",
                    until.format("%Y-%m-%d %H:%M UTC")
                );
                return Some(Beyond { until: *until, reason });
            }
        }
        self.used.insert(account, used.into_iter().map(|used| used + 1).collect());
        None
    }

    /// Spending of a batch, by customer and quota.
    pub(super) fn spending(&self, batch: &VendorBatch) -> Vec<VendorSpending> {
        let mut items: BTreeMap<AccountId, i64> = BTreeMap::new();
        for item in &batch.items {
            if let Some(account) = self.accounts.get(&host(&item.url)) {
                *items.entry(*account).or_default() += 1;
            }
        }
        let mut spending = Vec::new();
        for quota in &self.quotas {
            spending.extend(items.iter().map(|(&account_id, &items)| VendorSpending {
                cdn: batch.cdn.clone(),
                operation: batch.operation,
                pool: quota.pool.clone(),
                account_id,
                resets_at: quota.resets_at,
                items,
            }));
        }
        spending
    }
}

impl Speaker<'_> {
    /// Lets URLs of one group wait whose customers have used their share of its quotas; `None` where there were any, and what
    /// waits has changed.
    pub(super) async fn within_share(
        &self,
        operation: Operation,
        waiting: &[&VendorBatch],
        groups: &HashMap<String, String>,
    ) -> Result<Option<Shares>> {
        let mut shares = self.shares(operation, groups.values().next()).await?;
        let mut admitted: HashSet<&str> = HashSet::new();
        let mut beyond: HashMap<&str, Beyond> = HashMap::new();
        let urls = waiting.iter().flat_map(|row| &row.items).map(|item| item.url.as_str());
        for url in urls.filter(|url| groups.contains_key(*url)) {
            if admitted.contains(url) || beyond.contains_key(url) {
                continue;
            }
            match shares.take(url) {
                Some(why) => {
                    beyond.insert(url, why);
                }
                None => {
                    admitted.insert(url);
                }
            }
        }
        if beyond.is_empty() {
            return Ok(Some(shares));
        }
        for row in waiting {
            self.wait_for_share(row, &beyond).await?;
        }
        // Whether they did begin anew is read then.
        lock(self.memory).forget_quotas();
        Ok(None)
    }

    /// Puts the items of a row that are beyond their customer's share into a row that waits, and their jobs say why.
    async fn wait_for_share(&self, row: &VendorBatch, beyond: &HashMap<&str, Beyond>) -> Result<()> {
        let is_beyond = |item: &BatchItem| beyond.contains_key(item.url.as_str());
        let (late, rest): (Vec<_>, Vec<_>) = row.items.iter().cloned().partition(is_beyond);
        let Some(Beyond { until, reason }) = late.first().and_then(|item| beyond.get(item.url.as_str()))
        else {
            return Ok(());
        };
        let moment = self.moment().await?;
        let due = (*until).max(moment.now + SHORTEST_WAIT);
        let late = VendorBatch { id: moment.id(), due, tries: row.tries + 1, items: late, ..row.clone() };
        let mut effect = waits(&late, late.clone(), reason, moment.now);
        effect.next = Some(VendorBatch { items: rest, ..row.clone() }).filter(|row| !row.items.is_empty());
        effect.more.push(late);
        self.tell(reason);
        self.write(row, effect).await
    }

    /// Shares of the quotas that a group spends, as far as they are used; without any where there is no limit.
    async fn shares(&self, operation: Operation, group: Option<&String>) -> Result<Shares> {
        let percent = self.can().share_per_customer;
        let Some(group) = group.filter(|_| percent < WHOLE) else { return Ok(Shares::default()) };
        let quotas = lock(self.memory).quotas_of(operation, group);
        if quotas.is_empty() {
            return Ok(Shares::default());
        }
        let mut snapshot = self.calls.pilothouse.storage().read().await?;
        let mut accounts = HashMap::new();
        if let Some(cdn) = snapshot.cdns().by_name(self.cdn).await? {
            let domains = snapshot.domains().of_cdn(cdn.id).await?;
            accounts.extend(domains.into_iter().map(|domain| (domain.name, domain.account_id)));
        }
        let mut used: HashMap<AccountId, Vec<i64>> = HashMap::new();
        for row in snapshot.vendor_spending().of_cdn(self.cdn).await? {
            let is_of = |quota: &Quota| {
                row.operation == operation && quota.pool == row.pool && quota.resets_at == row.resets_at
            };
            if let Some(n) = quotas.iter().position(is_of) {
                used.entry(row.account_id).or_insert_with(|| vec![0; quotas.len()])[n] += row.items;
            }
        }
        Ok(Shares { quotas, percent, accounts, used })
    }
}
