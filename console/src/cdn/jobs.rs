//! `/cdn/jobs`: URLs to be refreshed or preloaded, and the requests so far.

use askama::Template;
use axum::response::{Html, IntoResponse};
use pilothouse_core::cdn::{Job, JobKind, JobQuery, JobRequest, JobState, JobUrls};
use pilothouse_core::{Error, ErrorKind, Order, Page as Rows};
use serde::Deserialize;

use crate::cdn::whose::Whose;
use crate::failure::{Answer, Failure, is_correctable, status_of};
use crate::form::{Form, Query, filled, part};
use crate::page::{Page, Visitor, html, last_of_full};

/// Requests of one page.
const ROWS: i64 = 50;

/// Customer and kind.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    customer: String,
    #[serde(default)]
    kind: String,
    /// State, domain and text are filters of an operator's list.
    #[serde(default)]
    state: String,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    text: String,
    before: Option<i64>,
}

impl Shown {
    /// Query of the same list.
    fn query(&self) -> String {
        let Self { customer, kind, state, domain, text, .. } = self;
        let [customer, kind, state, domain, text] =
            [customer, kind, state, domain, text].map(|text| part(text));
        format!("customer={customer}&kind={kind}&state={state}&domain={domain}&text={text}")
    }
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    page: Page,
    whose: Whose,
    kind: JobKind,
    typed: String,
    rows: Vec<JobRequest>,
    filter: Filter,
    /// Query of the next page.
    next: Option<String>,
}

/// Filter of an operator's list, as it was typed.
struct Filter {
    state: String,
    domain: String,
    text: String,
}

async fn list(visitor: &Visitor, shown: &Shown, typed: String) -> Result<JobsPage, Failure> {
    let whose = Whose::of(visitor, &shown.customer).await?;
    let kind = if shown.kind == "preload" { JobKind::Preload } else { JobKind::Refresh };
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let rows_wanted = Rows { order: Order::Newest, ..Rows::at(0, ROWS).before(shown.before)? };
    let mut search_before = None;
    let rows = if whose.is_operator {
        let login_email = filled(&shown.customer).map(str::to_owned);
        let given = |text: &str| filled(text).map(str::to_owned);
        let query = JobQuery {
            login_email,
            state: filled(&shown.state).map(JobState::from_listed_name).transpose()?,
            domain: given(&shown.domain),
            text: given(&shown.text),
        };
        let found = pilothouse.jobs().list_all(caller, &query, rows_wanted).await?;
        search_before = found.search_before;
        found.rows
    } else {
        pilothouse.jobs().list_own(caller, rows_wanted).await?
    };
    let before = last_of_full(&rows, ROWS).map(|last| last.id.0).or(search_before);
    let next = before.map(|before| format!("{}&before={before}", shown.query()));
    let page = visitor.page(visitor.t.purge_preload).await?;
    let Shown { state, domain, text, .. } = shown;
    let filter = Filter { state: state.clone(), domain: domain.clone(), text: text.clone() };
    Ok(JobsPage { page, whose, kind, typed, rows, filter, next })
}

/// Form and list.
pub(crate) async fn get_jobs(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    html(&list(&visitor, &shown, String::new()).await?)
}

/// URLs, one a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Urls {
    #[serde(default)]
    customer: String,
    kind: String,
    urls: String,
}

/// Queues jobs, and leads to the first, which shows the others of the request too.
pub(crate) async fn post_jobs(visitor: Visitor, Form(form): Form<Urls>) -> Answer {
    let error = match add(&visitor, &form).await {
        Ok(jobs) => {
            let path = jobs.first().map_or_else(String::new, |job| format!("/{}", job.task_id));
            return Ok(visitor.done(&format!("/cdn/jobs{path}"), "queued"));
        }
        Err(error) => error,
    };
    let is_foreign = error.kind() == ErrorKind::Forbidden;
    if !is_foreign && !is_correctable(&error) && error.kind() != ErrorKind::Unavailable {
        return Err(error.into());
    }
    let shown = Shown { customer: form.customer, kind: form.kind, ..Shown::default() };
    let mut again = list(&visitor, &shown, form.urls).await?;
    // A host that is not the customer's: whether or not it exists, nothing more is said.
    again.page.problem = if is_foreign { visitor.t.foreign_domain.to_owned() } else { error.to_string() };
    let kind = if is_foreign { ErrorKind::Invalid } else { error.kind() };
    Ok((status_of(kind), Html(again.render()?)).into_response())
}

async fn add(visitor: &Visitor, form: &Urls) -> Result<Vec<Job>, Error> {
    let kind = match &*form.kind {
        "refresh" => JobKind::Refresh,
        "preload" => JobKind::Preload,
        _ => return Err(Error::invalid("kind", "must be refresh or preload")),
    };
    // A bar parts URLs in a list, and is escaped within one.
    let urls: Vec<_> = form.urls.lines().filter_map(filled).map(|url| url.replace('|', "%7C")).collect();
    let urls = JobUrls::parse(kind, &urls.join("|"))?;
    let mail = filled(&form.customer).unwrap_or(&visitor.caller.mail);
    visitor.pilothouse().jobs().add(&visitor.caller, mail, &urls).await
}
