//! `/cdn/traffic`: bandwidth, requests and status classes over time, as charts, table and CSV.

use std::fmt::Write;

use askama::Template;
use axum::http::header;
use axum::response::IntoResponse;
use pilothouse_core::cdn::{
    BillingQuery, BillingRule, FigureSource, Figures, Stats, StatsQuery, TrafficQuery,
};
use pilothouse_core::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::json;

use crate::cdn::figure::{percent, scaled};
use crate::cdn::span::Span;
use crate::cdn::whose::Whose;
use crate::failure::{Answer, Failure};
use crate::form::{Query, filled, part};
use crate::page::{Page, Visitor, html};

/// Customer, domain and time.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    pub(crate) customer: String,
    #[serde(default)]
    pub(crate) domain: String,
    #[serde(default)]
    pub(crate) range: String,
    #[serde(default)]
    pub(crate) start: String,
    #[serde(default)]
    pub(crate) end: String,
}

impl Shown {
    /// The same as the query of a URL.
    fn query(&self) -> String {
        let Self { customer, domain, range, start, end } = self;
        let [customer, domain, range, start, end] =
            [customer, domain, range, start, end].map(|text| part(text));
        format!("customer={customer}&domain={domain}&range={range}&start={start}&end={end}")
    }
}

/// Figures of a step.
struct Row {
    time: i64,
    figures: Figures,
    bandwidth: i64,
}

#[derive(Template)]
#[template(path = "traffic.html")]
struct TrafficPage {
    page: Page,
    whose: Whose,
    shown: Shown,
    bills: Vec<BillRow>,
    rows: Vec<Row>,
    total: Figures,
    peak: i64,
    bandwidth_chart: String,
    request_chart: String,
    hit_chart: String,
    sources: Vec<FigureSource>,
    /// Query of the same figures as CSV.
    query: String,
}

/// A billing rule's bandwidth of the month in which the shown time ends.
struct BillRow {
    rule: BillingRule,
    bandwidth: i64,
}

/// Hits of requests in percent; nothing without requests.
fn hit_ratio(figures: &Figures) -> String {
    percent(figures.hits, figures.requests)
}

/// Bytes of hits of all bytes in percent; nothing without bytes.
fn byte_hit_ratio(figures: &Figures) -> String {
    percent(figures.hit_flux, figures.flux)
}

/// Answers of a class of status codes.
struct ClassRow {
    name: &'static str,
    count: i64,
}

/// Answers by class.
fn classes(total: &Figures) -> [ClassRow; 4] {
    let [two, three, four, five] = total.classes;
    [
        ClassRow { name: "2xx", count: two },
        ClassRow { name: "3xx", count: three },
        ClassRow { name: "4xx", count: four },
        ClassRow { name: "5xx", count: five },
    ]
}

/// Query of the pages of traffic.
struct Asked {
    whose: Whose,
    query: TrafficQuery,
    span: Span,
}

async fn asked(visitor: &Visitor, shown: &Shown) -> Result<Asked, Failure> {
    let whose = Whose::of(visitor, &shown.customer).await?;
    let pilothouse = visitor.pilothouse();
    let zone = pilothouse.settings().timezone;
    let span = Span::of(&shown.range, &shown.start, &shown.end, pilothouse.clock().now(), zone)?;
    let query = TrafficQuery {
        login_email: Some(whose.mail.clone()),
        domains: filled(&shown.domain).map(str::to_owned).into_iter().collect(),
        start_time: span.start,
        end_time: span.end,
    };
    Ok(Asked { whose, query, span })
}

/// Figures of a time, and what they are worth.
#[derive(Default)]
struct Shares {
    rows: Vec<Row>,
    total: Figures,
    /// Vendors among the sources.
    sources: Vec<FigureSource>,
}

async fn shares(visitor: &Visitor, asked: &Asked) -> Result<Shares, Failure> {
    if asked.whose.mail.is_empty() {
        return Ok(Shares::default());
    }
    let query = StatsQuery { traffic: asked.query.clone(), by: None, step: asked.span.step() };
    let Stats { begin, step, groups, sources } =
        visitor.pilothouse().traffic().stats(&visitor.caller, &query).await?;
    let Some(group) = groups.into_iter().next() else { return Ok(Shares { sources, ..Shares::default() }) };
    let total = group.total();
    let row = |(figures, n): (Figures, i64)| {
        let bits = (i128::from(figures.flux) * 8 + i128::from(step) / 2) / i128::from(step);
        Row { time: begin + n * step, figures, bandwidth: i64::try_from(bits).unwrap_or(i64::MAX) }
    };
    Ok(Shares { rows: group.figures.into_iter().zip(0..).map(row).collect(), total, sources })
}

/// Bandwidth by each rule of the month in which a time is.
async fn bills(visitor: &Visitor, asked: &Asked) -> Result<Vec<BillRow>, Failure> {
    if asked.whose.mail.is_empty() {
        return Ok(Vec::new());
    }
    let zone = visitor.pilothouse().settings().timezone;
    let end = chrono::DateTime::from_timestamp(asked.span.end, 0);
    let end = end.ok_or_else(|| Error::invalid("end", "must be a time"))?;
    let month = end.with_timezone(&zone).format("%Y%m").to_string().parse()?;
    let mut rows = Vec::new();
    for rule in BillingRule::ALL {
        let query = BillingQuery {
            login_email: asked.query.login_email.clone(),
            domains: asked.query.domains.clone(),
            month,
            rule,
        };
        match visitor.pilothouse().billing().bill(&visitor.caller, &query).await {
            Ok(bill) => rows.push(BillRow { rule, bandwidth: bill.bandwidth }),
            // A vendor does not know the month yet, or only estimates it; the page says so beside the figures.
            Err(error) if error.kind() == ErrorKind::Conflict => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rows)
}

/// The page.
pub(crate) async fn get_traffic(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let asked = asked(&visitor, &shown).await?;
    let Shares { rows, total, sources } = shares(&visitor, &asked).await?;
    let bills = bills(&visitor, &asked).await?;
    let (t, zone) = (visitor.t, visitor.pilothouse().settings().timezone.name());
    let times: Vec<_> = rows.iter().map(|row| row.time).collect();
    let column = |value: fn(&Row) -> i64| rows.iter().map(value).collect::<Vec<_>>();
    let line = |bill: &BillRow| json!({"name": t.billing_rule(bill.rule), "value": bill.bandwidth});
    let bandwidth_chart = json!({
        "times": times, "names": [t.bandwidth], "values": [column(|row| row.bandwidth)],
        "lines": bills.iter().map(line).collect::<Vec<_>>(), "unit": "bit/s", "zone": zone,
    });
    let request_chart = json!({
        "times": times,
        "names": [t.requests, t.hits, "4xx", "5xx"],
        "values": [
            column(|row| row.figures.requests), column(|row| row.figures.hits),
            column(|row| row.figures.classes[2]), column(|row| row.figures.classes[3]),
        ],
        "lines": [], "unit": "", "zone": zone,
    });
    let ratio = |figures: &Figures| (figures.requests > 0).then(|| figures.hits * 100 / figures.requests);
    let hit_chart = json!({
        "times": times, "names": [t.hit_ratio],
        "values": [rows.iter().map(|row| ratio(&row.figures)).collect::<Vec<_>>()],
        "lines": [], "unit": "%", "zone": zone,
    });
    let peak = rows.iter().map(|row| row.bandwidth).max().unwrap_or_default();
    let query = Shown { customer: asked.whose.mail.clone(), ..shown.clone() }.query();
    let page = visitor.page(t.traffic).await?;
    html(&TrafficPage {
        page,
        whose: asked.whose,
        shown,
        bills,
        total,
        peak,
        bandwidth_chart: bandwidth_chart.to_string(),
        request_chart: request_chart.to_string(),
        hit_chart: hit_chart.to_string(),
        sources,
        query,
        rows,
    })
}

/// The same figures as CSV, a line per step.
pub(crate) async fn get_csv(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let asked = asked(&visitor, &shown).await?;
    let Shares { rows, .. } = shares(&visitor, &asked).await?;
    let mut text = String::from("time,bandwidth,bytes,requests,hits,2xx,3xx,4xx,5xx,hit_bytes\n");
    for Row { time, figures, bandwidth } in rows {
        let Figures { flux, hit_flux, requests, hits, classes: [two, three, four, five] } = figures;
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "{time},{bandwidth},{flux},{requests},{hits},{two},{three},{four},{five},{hit_flux}"
        );
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"traffic.csv\""),
    ];
    Ok((headers, text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_in_percent() {
        let figures = Figures { flux: 8, hit_flux: 1, requests: 3, hits: 2, ..Figures::default() };
        assert_eq!((&*hit_ratio(&figures), &*byte_hit_ratio(&figures)), ("66.6 %", "12.5 %"));
        assert_eq!(hit_ratio(&Figures::default()), "–");
    }
}
