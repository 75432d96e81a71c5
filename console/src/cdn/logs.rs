//! `/cdn/logs`: kept logs of a domain by day, and their download.

use askama::Template;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{Days, NaiveDate};
use futures_util::StreamExt;
use pilothouse_core::cdn::{LogDay, LogLink};
use serde::Deserialize;

use crate::account::day;
use crate::cdn::whose::Whose;
use crate::failure::{Answer, Failure};
use crate::form::{Query, filled};
use crate::page::{Page, Visitor, html};

/// Days before the last one that are shown where nobody chose.
const SHOWN: Days = Days::new(13);

/// Customer, domain and days.
#[derive(Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    customer: String,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    start: String,
    #[serde(default)]
    end: String,
}

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage {
    page: Page,
    whose: Whose,
    domain: String,
    start: NaiveDate,
    end: NaiveDate,
    days: Vec<LogDay>,
}

/// The list.
pub(crate) async fn get_logs(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let whose = Whose::of(&visitor, &shown.customer).await?;
    let pilothouse = visitor.pilothouse();
    let today = pilothouse.clock().now().with_timezone(&pilothouse.settings().timezone).date_naive();
    let end = day("end", &shown.end)?.unwrap_or(today);
    let start = day("start", &shown.start)?.unwrap_or(end - SHOWN);
    let domain = filled(&shown.domain).map(str::to_owned).or_else(|| whose.domains.first().cloned());
    let domain = domain.unwrap_or_default();
    let mut days = Vec::new();
    if !domain.is_empty() {
        let logs = pilothouse.log_downloads();
        days = logs.logs(&visitor.caller, Some(&whose.mail), &domain, start..=end).await?;
        days.retain(|day| day.link.is_some());
        days.reverse();
    }
    let page = visitor.page(visitor.t.logs).await?;
    html(&LogsPage { page, whose, domain, start, end, days })
}

/// A signed link, as the list has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    file: String,
    expires: String,
    sig: String,
}

/// A day's log.
pub(crate) async fn get_download(visitor: Visitor, Query(link): Query<Signed>) -> Result<Response, Failure> {
    let link = LogLink { file: link.file, expires: link.expires, sig: link.sig };
    let log = visitor.pilothouse().log_downloads().open_log(&link).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (header::CONTENT_LENGTH, log.size.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", log.name)),
    ];
    let content = log.content.map(|piece| piece.map(axum::body::Bytes::from));
    Ok((headers, Body::from_stream(content)).into_response())
}
