//! `/cdn/top`: the most requested URLs.

use askama::Template;
use pilothouse_core::Error;
use pilothouse_core::cdn::{TopUrl, TopUrlsAnswer, TrafficQuery};

use crate::cdn::span::Span;
use crate::cdn::traffic::Shown;
use crate::cdn::whose::Whose;
use crate::failure::{Answer, is_correctable};
use crate::form::{Query, filled};
use crate::page::{Page, Visitor, html, html_again};

/// URLs of the page.
const ROWS: usize = 100;

#[derive(Template)]
#[template(path = "top.html")]
struct TopPage {
    page: Page,
    whose: Whose,
    shown: Shown,
    urls: Vec<TopUrl>,
    missed: i64,
    /// Requests of the first.
    most: i64,
}

/// The page.
pub(crate) async fn get_top(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let whose = Whose::of(&visitor, &shown.customer).await?;
    let pilothouse = visitor.pilothouse();
    let zone = pilothouse.settings().timezone;
    let span = Span::of(&shown.range, &shown.start, &shown.end, pilothouse.clock().now(), zone)?;
    let mut problem = None;
    let mut answer = TopUrlsAnswer { urls: Vec::new(), missed: 0 };
    if !whose.mail.is_empty() {
        let query = TrafficQuery {
            login_email: Some(whose.mail.clone()),
            domains: filled(&shown.domain).map(str::to_owned).into_iter().collect(),
            start_time: span.start,
            end_time: span.end,
        };
        match pilothouse.traffic().top_urls(&visitor.caller, &query, ROWS).await {
            Ok(found) => answer = found,
            Err(error) if is_correctable(&error) => problem = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    let TopUrlsAnswer { urls, missed } = answer;
    let most = urls.first().map_or(1, |url| url.count.requests);
    let page = visitor.page(visitor.t.delivery().top_urls).await?;
    shown_with(TopPage { page, whose, shown, urls, missed, most }, problem)
}

fn shown_with(mut page: TopPage, problem: Option<Error>) -> Answer {
    let Some(error) = problem else { return html(&page) };
    page.page = page.page.with_problem(&error);
    html_again(&page, &error)
}
