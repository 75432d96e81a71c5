//! `/admin/audit`: the audit trail, newest first.

use askama::Template;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use pilothouse_core::account::{AuditFilter, AuditRow};
use pilothouse_core::{Error, Listing, Order, Page as Rows};
use serde::Deserialize;

use crate::failure::Answer;
use crate::form::{Query, filled, part};
use crate::page::{Page, Visitor, html, last_of_full};

/// Rows of one page.
const ROWS: i64 = 100;

/// Filter and part of the trail.
#[derive(Deserialize)]
pub(crate) struct AuditQuery {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    page: Page,
    query: AuditQuery,
    rows: Vec<AuditRow>,
    /// Query of the next page.
    next: Option<String>,
}

/// Beginning of a day in the server's zone.
pub(crate) fn midnight(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    let begin = midnight.and_local_timezone(zone).earliest();
    begin.map_or_else(|| midnight.and_utc(), |begin| begin.to_utc())
}

/// A day that was typed.
pub(crate) fn day(field: &'static str, text: &str) -> Result<Option<NaiveDate>, Error> {
    let parse = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d");
    let wrong = |_| Error::invalid(field, "must be a day as YYYY-MM-DD");
    filled(text).map(parse).transpose().map_err(wrong)
}

/// The page.
pub(crate) async fn get_audit(visitor: Visitor, Query(query): Query<AuditQuery>) -> Answer {
    let zone = visitor.pilothouse().settings().timezone;
    let until = day("until", &query.until)?.and_then(|day| day.succ_opt());
    let filter = AuditFilter {
        actor: filled(&query.actor).map(str::to_owned),
        object: filled(&query.object).map(str::to_owned),
        since: day("since", &query.since)?.map(|day| midnight(day, zone)),
        until: until.map(|day| midnight(day, zone)),
    };
    let rows = Rows { order: Order::Newest, ..Rows::at(0, ROWS).before(query.before)? };
    let list = visitor.pilothouse().audit_trail().list(&visitor.caller, &filter, rows).await?;
    let Listing { rows, .. } = list;
    let AuditQuery { actor, object, since, until, .. } = &query;
    let next = last_of_full(&rows, ROWS).map(|last| {
        let [actor, object, since, until] = [actor, object, since, until].map(|text| part(text));
        format!("actor={actor}&object={object}&since={since}&until={until}&before={}", last.id)
    });
    let page = visitor.page(visitor.t.audit).await?;
    html(&AuditPage { page, query, rows, next })
}
