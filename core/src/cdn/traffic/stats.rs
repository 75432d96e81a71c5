//! Statistics: all figures of a customer's domains over time, together or by domain or cdn, in steps of minutes to days.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Offset, Utc};
use chrono_tz::Tz;

use super::bucket::{BUCKET_SECONDS, BUCKETS_OF_DAY, Bucket, Figures};
use super::figure_scan::{FigureSink, scan};
use super::series::{MAX_DAYS, Traffic, TrafficQuery};
use super::vendor_figures::FigureSource;
use crate::account::{AccountId, Caller};
use crate::cdn::customers::{Domain, ids};
use crate::cdn::identifier::DomainId;
use crate::ports::Repositories;
use crate::{Error, Result};

/// The most figures of one answer: as many as 400 days have buckets, and some.
const MAX_FIGURES: i64 = (MAX_DAYS + 2) * BUCKETS_OF_DAY;

/// Dimension that the figures are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsBy {
    /// Names of domains; of one name on several cdns the figures are added up.
    Domain,
    /// Cdns, under the names that the customer is answered with.
    Cdn,
}

/// Length of a step of statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsStep {
    /// Five minutes, a bucket.
    #[default]
    Bucket,
    /// An hour of the server's zone.
    Hour,
    /// A day of the server's zone.
    Day,
}

impl StatsStep {
    /// Its length in seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Bucket => BUCKET_SECONDS,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// Step of a length. Refuses every other than 300, 3600 and 86400 seconds.
    pub fn of(seconds: i64) -> Result<Self> {
        let steps = [Self::Bucket, Self::Hour, Self::Day];
        let found = steps.into_iter().find(|step| step.seconds() == seconds);
        found.ok_or_else(|| Error::invalid("step", "must be 300, 3600 or 86400"))
    }

    /// Beginning of the step that holds a time. All steps have one length, so in a zone that changes its clocks the days
    /// after the change begin an hour off midnight.
    fn begin(self, time: i64, timezone: Tz) -> i64 {
        let at = DateTime::<Utc>::from_timestamp(time, 0).unwrap_or_default();
        let offset = i64::from(at.with_timezone(&timezone).offset().fix().local_minus_utc());
        let offset = offset - offset.rem_euclid(BUCKET_SECONDS);
        time - (time + offset).rem_euclid(self.seconds())
    }
}

/// Query of statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsQuery {
    /// Customer, domains and times; both times are rounded down to their step, which is included.
    pub traffic: TrafficQuery,
    /// Dimension that the figures are grouped by; one sum where there is none.
    pub by: Option<StatsBy>,
    /// Length of a step.
    pub step: StatsStep,
}

/// Figures of one domain or cdn, or of all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsGroup {
    /// Name of the domain or cdn; empty of all together.
    pub name: String,
    /// Figures of each step.
    pub figures: Vec<Figures>,
}

impl StatsGroup {
    /// Sum over all steps.
    pub fn total(&self) -> Figures {
        let mut total = Figures::default();
        self.figures.iter().for_each(|figures| total.add(*figures));
        total
    }
}

/// Statistics over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Beginning of the first step in unix seconds.
    pub begin: i64,
    /// Length of a step in seconds.
    pub step: i64,
    /// Groups by name; exactly one where nothing is told apart.
    pub groups: Vec<StatsGroup>,
    /// Sources of figures that vendors know, by cdn; none for own edges.
    pub sources: Vec<FigureSource>,
}

/// Sums of groups by step.
struct GroupSums {
    group_of: HashMap<DomainId, usize>,
    groups: Vec<StatsGroup>,
    first: Bucket,
    /// Buckets of a step.
    width: Bucket,
}

impl FigureSink for GroupSums {
    fn add(&mut self, domain_id: DomainId, bucket: Bucket, figures: Figures) {
        let Some(group) = self.group_of.get(&domain_id) else { return };
        let step = usize::try_from((bucket - self.first) / self.width).unwrap_or_default();
        self.groups[*group].figures[step].add(figures);
    }
}

impl Traffic<'_> {
    /// All figures of a customer's domains by step, as [`Traffic::fluxs`] does for the bytes. At most 400 days, and of many
    /// groups no more figures than the buckets of one in that time.
    pub async fn stats(&self, caller: &Caller, query: &StatsQuery) -> Result<Stats> {
        let StatsQuery { traffic, by, step } = query;
        let mut snapshot = self.0.storage().read().await?;
        let (domains, _) = self.asked(&mut *snapshot, caller, traffic, MAX_DAYS).await?;
        let begin = step.begin(traffic.start_time, self.0.settings().timezone);
        let steps = (traffic.end_time - begin) / step.seconds() + 1;
        let names = names(&mut *snapshot, &domains, *by).await?;
        let mut sums = group_sums(names, steps, *by)?;
        sums.first = begin.div_euclid(BUCKET_SECONDS);
        sums.width = step.seconds() / BUCKET_SECONDS;
        let last = sums.first + steps * sums.width - 1;
        scan(&mut *snapshot, &ids(&domains), sums.first..=last, &mut sums).await?;
        let sources = self.0.figure_sources(&mut *snapshot, &domains).await?;
        Ok(Stats { begin, step: step.seconds(), groups: sums.groups, sources })
    }
}

/// The name of each domain's group.
async fn names(
    repositories: &mut dyn Repositories,
    domains: &[Domain],
    by: Option<StatsBy>,
) -> Result<Vec<(DomainId, String)>> {
    let mut cdns = HashMap::new();
    if by == Some(StatsBy::Cdn) {
        cdns.extend(repositories.cdns().list().await?.into_iter().map(|cdn| (cdn.id, cdn.name)));
        let account_id = domains.first().map_or(AccountId::UNSAVED, |domain| domain.account_id);
        let own = repositories.customers().cdns(account_id).await?;
        cdns.extend(own.into_iter().map(|cdn| (cdn.id, cdn.name)));
    }
    let name = |domain: &Domain| match by {
        None => String::new(),
        Some(StatsBy::Domain) => domain.name.clone(),
        Some(StatsBy::Cdn) => cdns.get(&domain.cdn_id).cloned().unwrap_or_default(),
    };
    Ok(domains.iter().map(|domain| (domain.id, name(domain))).collect())
}

/// Empty sums of the groups with these names. Refuses more figures than one answer may have.
fn group_sums(names: Vec<(DomainId, String)>, steps: i64, by: Option<StatsBy>) -> Result<GroupSums> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    if by.is_none() {
        places.insert(String::new(), 0);
    }
    for (_, name) in &names {
        places.entry(name.clone()).or_default();
    }
    for (n, place) in places.values_mut().enumerate() {
        *place = n;
    }
    if i64::try_from(places.len()).unwrap_or(i64::MAX).saturating_mul(steps) > MAX_FIGURES {
        let reason = format!("must be longer: {} groups of {steps} steps are too many figures", places.len());
        return Err(Error::invalid("step", reason));
    }
    let group_of = names.into_iter().filter_map(|(id, name)| Some((id, *places.get(&name)?))).collect();
    let figures = vec![Figures::default(); usize::try_from(steps).unwrap_or_default()];
    let groups = places.into_keys().map(|name| StatsGroup { name, figures: figures.clone() }).collect();
    Ok(GroupSums { group_of, groups, first: 0, width: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_begin_in_the_servers_zone() {
        // 2016-09-13 15:44:07 in Shanghai.
        let time = 1_473_752_647;
        let begin = |step: StatsStep, zone| step.begin(time, zone);
        assert_eq!(begin(StatsStep::Bucket, Tz::Asia__Shanghai), time - 247);
        assert_eq!(begin(StatsStep::Hour, Tz::Asia__Shanghai), time - (44 * 60 + 7));
        assert_eq!(begin(StatsStep::Day, Tz::Asia__Shanghai), time - (15 * 3600 + 44 * 60 + 7));
        assert_eq!(begin(StatsStep::Hour, Tz::Asia__Kolkata), time - (14 * 60 + 7));
        assert_eq!(StatsStep::Day.begin(0, Tz::Asia__Shanghai), -8 * 3600);
        assert!(StatsStep::of(600).is_err());
    }
}
