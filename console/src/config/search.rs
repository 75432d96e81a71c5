//! `/search?q=`: items by a text in their keys and values, in all apps that the caller may read.

use askama::Template;
use pilothouse_core::account::Scope;
use pilothouse_core::config::{Found, FoundIn, SearchFilter, SearchResult};
use pilothouse_core::{Error, Page as CorePage};
use serde::Deserialize;

use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Query, filled, part};
use crate::page::{Page, Visitor, html, html_again, last_of_full};

/// Items of one page.
const ROWS: i64 = 100;

/// Text of the search, and its scope.
#[derive(Default, Deserialize)]
pub(crate) struct SearchQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    app: String,
    #[serde(default)]
    profile: String,
    #[serde(default)]
    start: i64,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    page: Page,
    query: SearchQuery,
    rows: Vec<Found>,
    /// Whether something was looked for.
    is_asked: bool,
    /// Query with which the search goes on.
    next: Option<String>,
}

/// The page. Without a text nothing is looked for yet.
pub(crate) async fn get_search(visitor: Visitor, Query(query): Query<SearchQuery>) -> Answer {
    if visitor.caller.scope == Scope::Cdn {
        return Err(Error::Forbidden.into());
    }
    let page = visitor.page(visitor.t.config().search).await?;
    if query.q.is_empty() {
        return html(&SearchPage { page, query, rows: Vec::new(), is_asked: false, next: None });
    }
    match search(&visitor, &query).await {
        Ok((rows, next)) => html(&SearchPage { page, query, rows, is_asked: true, next }),
        Err(Failure::Domain(error)) if is_correctable(&error) => {
            let page = page.with_problem(&error);
            let shown = SearchPage { page, query, rows: Vec::new(), is_asked: false, next: None };
            html_again(&shown, &error)
        }
        Err(failure) => Err(failure),
    }
}

async fn search(visitor: &Visitor, query: &SearchQuery) -> Result<(Vec<Found>, Option<String>), Failure> {
    let SearchQuery { q, app, profile, start } = query;
    let filter = SearchFilter {
        text: q.clone(),
        app: filled(app).map(str::to_owned),
        profile: filled(profile).map(str::to_owned),
    };
    let rows = CorePage::new(Some(*start), Some(ROWS))?;
    let SearchResult { found, search_start } =
        visitor.pilothouse().items().search(&visitor.caller, &filter, rows).await?;
    let after_last = last_of_full(&found, ROWS).map(|last| last.id.0 + 1);
    let next = search_start.or(after_last).map(|start| {
        let [q, app, profile] = [q, app, profile].map(|text| part(text));
        format!("q={q}&app={app}&profile={profile}&start={start}")
    });
    Ok((found, next))
}
