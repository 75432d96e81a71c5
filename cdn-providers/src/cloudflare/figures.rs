//! Traffic of Cloudflare's zones, by 5 minutes and by country. The vendor estimates it from samples.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use pilothouse_core::ports::{AreaFigure, AreaLevel, Figure, Figures, ProviderError};
use serde_json::json;

use super::Cloudflare;
use super::answer::{DataSetLimits, Group, ZoneFigures};
use crate::vendor::{buckets_end, lock, of_reading, unreadable};

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
/// Dimensions of a series.
const BY_HOST: &str = "datetimeFiveMinutes clientRequestHTTPHost";
/// Cache statuses of answers from the cache, as they count for own edges.
const HITS: &str = r#"["hit", "stale", "updating", "revalidated"]"#;

/// Rows by bucket and host.
type Rows = BTreeMap<(DateTime<Utc>, String), Figure>;

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
        let mut refusal = None;
        let mut rows = Rows::new();
        for (zone, domains) in by_zone {
            let limits = self.limits(&zone).await?;
            for hosts in domains.chunks(HOSTS_PER_CALL) {
                for (begin, end) in slices(from, known_until, hosts.len(), limits) {
                    let choice = Choice { limit: limits.max_page_size, hosts, from: begin, to: end };
                    self.add_traffic(&zone, &choice, &mut refusal, &mut rows).await?;
                }
            }
        }
        if let Some(error) = &refusal {
            let (cdn, error) = (&self.capabilities.edges[0], error as &dyn StdError);
            tracing::warn!(cdn, error, "a vendor did not tell some hits and status classes");
        }
        Ok(Figures { rows: rows.into_values().collect(), known_until, estimated: true })
    }

    /// Adds the traffic of some hosts. Hits and classes of status come with the same question; where it is refused, bytes and
    /// requests are asked for alone, from then on in the whole pull.
    async fn add_traffic(
        &self,
        zone: &str,
        choice: &Choice<'_>,
        refusal: &mut Option<ProviderError>,
        rows: &mut Rows,
    ) -> Result<(), ProviderError> {
        let all = choice.groups("groups", "", BY_HOST);
        if refusal.is_none() {
            match self.zone_figures(zone, &format!("{all} {}", choice.details())).await {
                Ok(figures) => return add(figures, true, rows),
                Err(error @ (ProviderError::Refused(_) | ProviderError::NotYours(_))) => {
                    *refusal = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        add(self.zone_figures(zone, &all).await?, false, rows)
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
            let limit = COUNTRIES.min(limits.max_page_size);
            let choice = Choice { limit, hosts: &[&domain], from: begin, to: end };
            let fields = choice.groups("groups", "", "clientCountryName");
            let figures = self.zone_figures(&zone, &fields).await?;
            for group in figures.into_iter().flat_map(|zone| zone.groups) {
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
        let figures = self.zone_figures(zone, fields).await?;
        let mut settings = figures.into_iter().flat_map(|zone| zone.settings.into_values());
        let limits = settings.next().ok_or_else(|| unreadable(200))?;
        *lock(&self.range) = Some(Range { limits, at: now });
        Ok(limits)
    }

    /// Asks for fields of a zone.
    async fn zone_figures(&self, zone: &str, fields: &str) -> Result<Vec<ZoneFigures>, ProviderError> {
        let body = json!({ "query": query(zone, fields) });
        Ok(self.api.graphql(&body, self.clock.now()).await?.viewer.zones)
    }
}

fn query(zone: &str, fields: &str) -> String {
    format!("{{ viewer {{ zones(filter: {{zoneTag: {}}}) {{ {fields} }} }} }}", json!(zone))
}

/// Choice of what visitors asked of hosts, from `from` on and before `to`.
struct Choice<'a> {
    /// Most groups that are answered.
    limit: i64,
    hosts: &'a [&'a String],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Choice<'_> {
    /// Field of the groups that a filter leaves, under a name, by dimensions.
    fn groups(&self, name: &str, filter: &str, dimensions: &str) -> String {
        let time = |at: DateTime<Utc>| json!(at.to_rfc3339_opts(SecondsFormat::Secs, true));
        format!(
            "{name}: httpRequestsAdaptiveGroups(limit: {}, filter: {{datetime_geq: {}, datetime_lt: {}, \
             clientRequestHTTPHost_in: {}, requestSource: \"eyeball\"{filter}}}) \
             {{ dimensions {{ {dimensions} }} sum {{ edgeResponseBytes }} count }}",
            self.limit,
            time(self.from),
            time(self.to),
            json!(self.hosts)
        )
    }

    /// Fields of hits and of each class of status. As groups of their own they have as many rows as there are buckets and hosts,
    /// so a page holds them; by status and cache status they would have many more.
    fn details(&self) -> String {
        let mut fields = self.groups("hits", &format!(", cacheStatus_in: {HITS}"), BY_HOST);
        for class in 2..=5 {
            let range =
                format!(", edgeResponseStatus_geq: {class}00, edgeResponseStatus_lt: {}00", class + 1);
            fields.push(' ');
            fields.push_str(&self.groups(&format!("class{class}"), &range, BY_HOST));
        }
        fields
    }
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

/// Adds groups by bucket and host. Each group is estimated from samples of its own, so a part may come out above the whole, and
/// then is the whole.
fn add(zones: Vec<ZoneFigures>, has_details: bool, rows: &mut Rows) -> Result<(), ProviderError> {
    for zone in zones {
        for group in zone.groups {
            let key = group.key()?;
            let mut row = Figure::new(key.1.clone(), key.0, group.sum.edge_response_bytes);
            row.requests = Some(group.count);
            if has_details {
                (row.hit_bytes, row.hits, row.classes) = (Some(0), Some(0), Some([0; 4]));
            }
            rows.insert(key, row);
        }
        for group in zone.hits {
            if let Some(row) = rows.get_mut(&group.key()?) {
                row.hit_bytes = Some(group.sum.edge_response_bytes.min(row.bytes));
                row.hits = Some(group.count.min(row.requests.unwrap_or(0)));
            }
        }
        let classes = [zone.class2, zone.class3, zone.class4, zone.class5];
        for (class, groups) in classes.into_iter().enumerate() {
            for group in groups {
                if let Some(row) = rows.get_mut(&group.key()?)
                    && let Some(counts) = &mut row.classes
                {
                    counts[class] = group.count.min(row.requests.unwrap_or(0));
                }
            }
        }
    }
    Ok(())
}

impl Group {
    /// Bucket and host.
    fn key(&self) -> Result<(DateTime<Utc>, String), ProviderError> {
        match (self.dimensions.datetime_five_minutes, &self.dimensions.host) {
            (Some(bucket), Some(host)) => Ok((bucket, host.to_ascii_lowercase())),
            _ => Err(of_reading(unreadable(200))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

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
        let (from, to) = (at("2026-07-25T00:00:00Z"), at("2026-07-25T01:00:00Z"));
        let field = Choice { limit: 10, hosts: &[&host], from, to }.groups("all", ", x: 1", "a b");
        assert_eq!(
            field,
            "all: httpRequestsAdaptiveGroups(limit: 10, filter: {datetime_geq: \"2026-07-25T00:00:00Z\", \
             datetime_lt: \"2026-07-25T01:00:00Z\", clientRequestHTTPHost_in: [\"a.example.com\\\"}) { x }\"], \
             requestSource: \"eyeball\", x: 1}) { dimensions { a b } sum { edgeResponseBytes } count }"
        );
    }

    #[test]
    fn a_part_is_never_more_than_the_whole() {
        let group = |bytes, count| {
            json!({"dimensions": {"datetimeFiveMinutes": "2026-07-25T00:00:00Z", "clientRequestHTTPHost": "A.test"},
                "sum": {"edgeResponseBytes": bytes}, "count": count})
        };
        let zone = json!({"groups": [group(100, 10)], "hits": [group(110, 8)], "class2": [group(1, 12)],
            "class4": [group(1, 1)]});
        let zones = vec![ZoneFigures::deserialize(&zone).unwrap()];
        let bucket = at("2026-07-25T00:00:00Z");
        let mut rows = Rows::new();
        add(zones, true, &mut rows).unwrap();
        let known = Figure {
            hit_bytes: Some(100),
            requests: Some(10),
            hits: Some(8),
            classes: Some([10, 0, 1, 0]),
            ..Figure::new("a.test", bucket, 100)
        };
        assert_eq!(rows.into_values().collect::<Vec<_>>(), [known]);

        let mut rows = Rows::new();
        let alone = json!({"groups": [group(100, 10)]});
        add(vec![ZoneFigures::deserialize(&alone).unwrap()], false, &mut rows).unwrap();
        let unknown = Figure { requests: Some(10), ..Figure::new("a.test", bucket, 100) };
        assert_eq!(rows.into_values().collect::<Vec<_>>(), [unknown]);
    }
}
