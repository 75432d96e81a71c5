//! `/cdn/areas`: cities, provinces and countries that traffic went to, as bars.

use askama::Template;
use pilothouse_core::Error;
use pilothouse_core::cdn::{RegionRow, Regions, TrafficQuery};

use crate::cdn::figure::{percent, scaled};
use crate::cdn::span::Span;
use crate::cdn::traffic::Shown;
use crate::cdn::whose::Whose;
use crate::failure::{Answer, is_correctable};
use crate::form::{Query, filled};
use crate::page::{Page, Visitor, html, html_again};

/// The most regions that are shown.
const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "areas.html")]
struct AreasPage {
    page: Page,
    whose: Whose,
    shown: Shown,
    regions: Regions,
    more: usize,
    /// Bytes of the greatest, and of all.
    most: i64,
    total: i64,
}

impl AreasPage {
    /// Name of a region in the language of the page.
    fn name<'a>(&self, row: &'a RegionRow) -> &'a str {
        if self.page.lang == "en" { &row.name } else { &row.name_cn }
    }
}

/// The page. Vendors are asked now, so it is one of its own.
pub(crate) async fn get_areas(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let whose = Whose::of(&visitor, &shown.customer).await?;
    let pilothouse = visitor.pilothouse();
    let zone = pilothouse.settings().timezone;
    let span = Span::of(&shown.range, &shown.start, &shown.end, pilothouse.clock().now(), zone)?;
    let mut problem = None;
    let mut regions = Regions::default();
    if !whose.mail.is_empty() {
        let query = TrafficQuery {
            login_email: Some(whose.mail.clone()),
            domains: filled(&shown.domain).map(str::to_owned).into_iter().collect(),
            start_time: span.start,
            end_time: span.end,
        };
        match pilothouse.traffic().regions(&visitor.caller, &query).await {
            Ok(found) => regions = found,
            Err(error) if is_correctable(&error) => problem = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    let most = regions.rows.first().map_or(1, |row| row.flux);
    let total = regions.rows.iter().fold(0_i64, |sum, row| sum.saturating_add(row.flux));
    let more = regions.rows.len().saturating_sub(ROWS);
    regions.rows.truncate(ROWS);
    let page = visitor.page(visitor.t.delivery().regions).await?;
    shown_with(AreasPage { page, whose, shown, regions, more, most, total }, problem)
}

fn shown_with(mut page: AreasPage, problem: Option<Error>) -> Answer {
    let Some(error) = problem else { return html(&page) };
    page.page = page.page.with_problem(&error);
    html_again(&page, &error)
}
