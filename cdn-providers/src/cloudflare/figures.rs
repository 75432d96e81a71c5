//! Traffic of Cloudflare's zones, by 5 minutes and by country. The vendor estimates it from samples.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use pilothouse_core::ports::{AreaFigure, AreaLevel, Figure, Figures, ProviderError};
use serde_json::json;

use super::Cloudflare;
use super::answer::{DataSetLimits, Group};
use crate::vendor::{buckets_end, lock, unreadable};

/// Time after which the traffic of 5 minutes is complete. The vendor names none.
const LAG: TimeDelta = TimeDelta::minutes(10);
/// Length of a bucket.
const BUCKET: TimeDelta = TimeDelta::minutes(5);
/// Time for which the limits of the data set are used.
const CACHE: Duration = Duration::from_hours(24);
/// Most hosts of one question.
const HOSTS_PER_CALL: usize = 50;
/// Most countries of one question, more than there are.
const COUNTRIES: i64 = 500;

/// Limits of what the account may ask of its traffic, and the moment they were told, by the clock that is never set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    limits: DataSetLimits,
    at: Duration,
}

impl Cloudflare {
    pub(super) async fn traffic(
        &self,
        domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        let known_until = buckets_end(self.clock.now() - LAG).min(to);
        let mut by_zone: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for (domain, zone) in domains.iter().zip(self.zones_of(domains).await?) {
            by_zone.entry(zone?).or_default().push(domain);
        }
        let mut rows = Vec::new();
        for (zone, domains) in by_zone {
            let limits = self.limits(&zone).await?;
            for hosts in domains.chunks(HOSTS_PER_CALL) {
                for (begin, end) in slices(from, known_until, hosts.len(), limits) {
                    let arguments = arguments(limits.max_page_size, hosts, begin, end);
                    let dimensions = "datetimeFiveMinutes clientRequestHTTPHost";
                    for group in self.groups_of(&zone, &arguments, dimensions).await? {
                        rows.push(figure(group)?);
                    }
                }
            }
        }
        Ok(Figures { rows, known_until, estimated: true })
    }

    pub(super) async fn countries(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<AreaFigure>, ProviderError> {
        let domain = domain.to_owned();
        let zones = self.zones_of(std::slice::from_ref(&domain)).await?;
        let zone = zones.into_iter().next().ok_or_else(|| unreadable(200))??;
        let limits = self.limits(&zone).await?;
        let until = buckets_end(self.clock.now() - LAG).min(to);
        let mut bytes: BTreeMap<String, i64> = BTreeMap::new();
        for (begin, end) in slices(from, until, 1, limits) {
            let arguments = arguments(COUNTRIES.min(limits.max_page_size), &[&domain], begin, end);
            for group in self.groups_of(&zone, &arguments, "clientCountryName").await? {
                let country = group.dimensions.client_country_name.ok_or_else(|| unreadable(200))?;
                *bytes.entry(country).or_default() += group.sum.edge_response_bytes;
            }
        }
        let area = |(name, bytes)| AreaFigure { name, level: AreaLevel::Country, bytes };
        Ok(bytes.into_iter().map(area).collect())
    }

    /// Limits of the data set by the account's plan.
    async fn limits(&self, zone: &str) -> Result<DataSetLimits, ProviderError> {
        let now = self.clock.monotonic();
        let known = *lock(&self.range);
        if let Some(range) = known.filter(|range| now.saturating_sub(range.at) < CACHE) {
            return Ok(range.limits);
        }
        let fields = "settings { httpRequestsAdaptiveGroups { maxDuration notOlderThan maxPageSize } }";
        let body = json!({ "query": query(zone, fields) });
        let data = self.api.graphql(&body, self.clock.now()).await?;
        let mut settings = data.viewer.zones.into_iter().flat_map(|zone| zone.settings.into_values());
        let limits = settings.next().ok_or_else(|| unreadable(200))?;
        *lock(&self.range) = Some(Range { limits, at: now });
        Ok(limits)
    }

    async fn groups_of(
        &self,
        zone: &str,
        arguments: &str,
        dimensions: &str,
    ) -> Result<Vec<Group>, ProviderError> {
        let fields = format!(
            "groups: httpRequestsAdaptiveGroups({arguments}) \
             {{ dimensions {{ {dimensions} }} sum {{ edgeResponseBytes }} count }}"
        );
        let body = json!({ "query": query(zone, &fields) });
        let data = self.api.graphql(&body, self.clock.now()).await?;
        Ok(data.viewer.zones.into_iter().flat_map(|zone| zone.groups).collect())
    }
}

fn query(zone: &str, fields: &str) -> String {
    format!("{{ viewer {{ zones(filter: {{zoneTag: {}}}) {{ {fields} }} }} }}", json!(zone))
}

/// Arguments that choose what visitors asked of hosts, from `from` on and before `to`.
fn arguments(limit: i64, hosts: &[&String], from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let time = |at: DateTime<Utc>| json!(at.to_rfc3339_opts(SecondsFormat::Secs, true));
    format!(
        "limit: {limit}, filter: {{datetime_geq: {}, datetime_lt: {}, clientRequestHTTPHost_in: {}, \
         requestSource: \"eyeball\"}}",
        time(from),
        time(to),
        json!(hosts)
    )
}

/// Parts of a range that the vendor answers at once: neither too long, nor with more rows than a page has.
fn slices(
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    hosts: usize,
    limits: DataSetLimits,
) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let hosts = i64::try_from(hosts).unwrap_or(i64::MAX).max(1);
    let bucket = BUCKET.num_seconds();
    let buckets = (limits.max_page_size / hosts).min(limits.max_duration / bucket).clamp(1, 31 * 288);
    let length = TimeDelta::seconds(buckets * bucket);
    let mut slices = Vec::new();
    let mut begin = from;
    while begin < to {
        let end = (begin + length).min(to);
        slices.push((begin, end));
        begin = end;
    }
    slices
}

fn figure(group: Group) -> Result<Figure, ProviderError> {
    let (bucket, host) = (group.dimensions.datetime_five_minutes, group.dimensions.host);
    let (Some(bucket), Some(host)) = (bucket, host) else { return Err(unreadable(200)) };
    let (domain, bytes) = (host.to_ascii_lowercase(), group.sum.edge_response_bytes);
    Ok(Figure { requests: Some(group.count), ..Figure::new(domain, bucket, bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_cut_by_time_and_by_rows() {
        let (from, to) = (at("2026-07-25T00:00:00Z"), at("2026-07-25T01:00:00Z"));
        let limits =
            |max_duration, max_page_size| DataSetLimits { max_duration, not_older_than: 0, max_page_size };
        for (hosts, limits, expected) in [
            (1, limits(86400, 10_000), 1),
            (1, limits(1800, 10_000), 2),
            (1, limits(1000, 10_000), 4),
            (5, limits(86400, 10), 6),
            (50, limits(86400, 10), 12),
        ] {
            let slices = slices(from, to, hosts, limits);
            assert_eq!(slices.len(), expected, "{hosts} {limits:?}");
            assert_eq!((slices[0].0, slices[expected - 1].1), (from, to));
            assert!(slices.windows(2).all(|pair| pair[0].1 == pair[1].0));
        }
        assert!(slices(to, from, 1, limits(86400, 10_000)).is_empty());
    }

    #[test]
    fn hosts_are_quoted() {
        let host = "a.example.com\"}) { x }".to_owned();
        let arguments = arguments(10, &[&host], at("2026-07-25T00:00:00Z"), at("2026-07-25T01:00:00Z"));
        assert_eq!(
            arguments,
            "limit: 10, filter: {datetime_geq: \"2026-07-25T00:00:00Z\", datetime_lt: \"2026-07-25T01:00:00Z\", \
             clientRequestHTTPHost_in: [\"a.example.com\\\"}) { x }\"], requestSource: \"eyeball\"}"
        );
    }
}
