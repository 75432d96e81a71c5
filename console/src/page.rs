//! Frame of every page: navigation by what the caller may, language, notices.

use std::borrow::Borrow;
use std::net::IpAddr;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use pilothouse_core::account::{AccountId, Caller, Group, Scope};
use pilothouse_core::{Error, ErrorKind, error_chain};

use crate::assets;
use crate::failure::{Answer, Failure, status_of};
use crate::language::Language;
use crate::state::ConsoleState;
use crate::texts::Texts;
use crate::theme::Theme;

/// A request: who asks, and in which language.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) console: ConsoleState,
    pub(crate) caller: Option<Caller>,
    pub(crate) language: Language,
    pub(crate) theme: Theme,
    pub(crate) address: Option<IpAddr>,
    /// Path and query of the request.
    pub(crate) here: String,
    /// Path and query of the page to come back to: this one, or that of the form which was sent.
    pub(crate) back: String,
}

impl Visit {
    pub(crate) fn new(console: ConsoleState, headers: &HeaderMap, address: Option<IpAddr>) -> Self {
        let language = Language::of(headers, console.settings.language);
        let theme = Theme::of(headers);
        Self { console, caller: None, language, theme, address, here: String::new(), back: String::new() }
    }

    /// The frame of a page.
    pub(crate) async fn page(&self, title: impl Into<String>) -> Result<Page, Failure> {
        let t = self.language.texts();
        let prefix = self.console.settings.prefix.clone();
        let mut nav = Vec::new();
        if let Some(caller) = &self.caller {
            let is_customer = self.console.pilothouse.customers().own(caller).await?.is_some();
            nav = navigation(caller, is_customer, t);
            let here = self.here.split('?').next().unwrap_or_default();
            for link in &mut nav {
                let whole = format!("{prefix}{}", link.path);
                link.is_current =
                    here == whole || (!link.path.is_empty() && here.starts_with(&format!("{whole}/")));
            }
        }
        let is_near = self.address.is_none_or(|address| address.is_loopback());
        Ok(Page {
            t,
            lang: self.language.tag(),
            theme: self.theme,
            prefix,
            title: title.into(),
            nav,
            name: self.caller.as_ref().map(|caller| caller.name.clone()).unwrap_or_default(),
            here: self.here.clone(),
            back: self.back.clone(),
            is_unencrypted: !self.console.settings.is_encrypted() && !is_near,
            notice: notice(&self.here, t),
            problem: String::new(),
            timezone: self.console.pilothouse.settings().timezone,
        })
    }
}

/// The caller of a page that is not public.
pub(crate) struct Visitor {
    pub(crate) visit: Visit,
    pub(crate) caller: Caller,
    pub(crate) t: &'static Texts,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let visit = parts.extensions.get::<Visit>().cloned();
        let visit = visit.ok_or_else(|| Error::Internal("a page without the guard".to_owned()))?;
        let caller = visit.caller.clone().ok_or(Error::Unauthenticated)?;
        let t = visit.language.texts();
        Ok(Self { visit, caller, t })
    }
}

/// A request to a public page.
impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let visit = parts.extensions.get::<Self>().cloned();
        visit.ok_or_else(|| Error::Internal("a page without the guard".to_owned()).into())
    }
}

impl Visitor {
    pub(crate) async fn page(&self, title: impl Into<String>) -> Result<Page, Failure> {
        self.visit.page(title).await
    }

    pub(crate) fn pilothouse(&self) -> &pilothouse_core::Pilothouse {
        &self.visit.console.pilothouse
    }

    /// Leads to a page after a form was done, with a notice there.
    pub(crate) fn done(&self, path: &str, notice: &str) -> Response {
        let mark = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{mark}notice={notice}", self.visit.console.settings.prefix);
        axum::response::Redirect::to(&url).into_response()
    }
}

/// A link of the navigation.
pub(crate) struct NavLink {
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
    /// Heading above it; empty of all but the first of a family.
    pub(crate) heading: &'static str,
    pub(crate) is_current: bool,
}

/// The pages of which the caller may see something. What it may not is not shown.
fn navigation(caller: &Caller, is_customer: bool, t: &Texts) -> Vec<NavLink> {
    let account = caller.scope != Scope::Cdn;
    let holds = |group| caller.holds(group);
    let operator = holds(Group::Cdn);
    let customer = operator || is_customer;
    let companies = holds(Group::ReadAccounts) || holds(Group::WriteAccounts);
    let link = |is_shown: bool, heading, path, text| {
        is_shown.then_some(NavLink { path, text, heading, is_current: false })
    };
    let links = [
        link(true, "", "", t.overview),
        link(account, t.configuration, "/apps", t.apps),
        link(account, t.configuration, "/inbox", t.config().inbox),
        link(account, t.configuration, "/search", t.config().search),
        link(customer, t.cdn, "/cdn/jobs", t.purge_preload),
        link(customer, t.cdn, "/cdn/traffic", t.traffic),
        link(customer, t.cdn, "/cdn/top", t.delivery().top_urls),
        link(customer, t.cdn, "/cdn/areas", t.delivery().regions),
        link(customer, t.cdn, "/cdn/alarms", t.delivery().alarms),
        link(customer, t.cdn, "/cdn/thresholds", t.delivery().thresholds),
        link(customer, t.cdn, "/cdn/billing", t.billing),
        link(customer, t.cdn, "/cdn/logs", t.logs),
        link(customer, t.cdn, "/cdn/domains", t.domains),
        link(operator, t.cdn, "/cdn/bills", t.delivery().bills),
        link(operator, t.cdn, "/cdn/edges", t.edges),
        link(operator, t.cdn, "/cdn/hosts", t.delivery().hosts),
        link(operator, t.cdn, "/cdn/customers", t.customers),
        link(holds(Group::ReadTasks), t.operations, "/tasks", t.tasks),
        link(holds(Group::ReadTasks), t.operations, "/batches", t.ops().batches),
        link(holds(Group::WriteTasks), t.operations, "/files", t.ops().files),
        link(holds(Group::ReadMachines), t.operations, "/machines", t.machines),
        link(holds(Group::ReadAccounts), t.administration, "/admin/accounts", t.accounts),
        link(companies, t.administration, "/admin/companies", t.admin().companies),
        link(holds(Group::ReadAudit), t.administration, "/admin/audit", t.audit),
        link(holds(Group::ReadAudit), t.administration, "/admin/system", t.admin().system),
    ];
    let mut shown: Vec<NavLink> = links.into_iter().flatten().collect();
    let mut above = "";
    for link in &mut shown {
        if link.heading == above {
            link.heading = "";
        } else {
            above = link.heading;
        }
    }
    shown
}

/// The notice that the query of a URL asks for; one of these and no other text.
fn notice(here: &str, t: &Texts) -> &'static str {
    let query = here.split_once('?').map_or("", |(_, query)| query);
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("notice="));
    match asked.unwrap_or_default() {
        "saved" => t.notice_saved,
        "created" => t.notice_created,
        "deleted" => t.notice_deleted,
        "approved" => t.notice_approved,
        "queued" => t.notice_queued,
        "ended" => t.notice_ended,
        _ => "",
    }
}

/// Frame of a page.
pub(crate) struct Page {
    pub(crate) t: &'static Texts,
    pub(crate) lang: &'static str,
    pub(crate) theme: Theme,
    pub(crate) prefix: String,
    pub(crate) title: String,
    pub(crate) nav: Vec<NavLink>,
    /// Name of the caller; empty of nobody.
    pub(crate) name: String,
    pub(crate) here: String,
    /// Page to come back to, which opens by a link.
    pub(crate) back: String,
    /// Whether passwords go over a network as they are.
    pub(crate) is_unencrypted: bool,
    pub(crate) notice: &'static str,
    /// Reason why a form was not done; empty where nothing is wrong.
    pub(crate) problem: String,
    pub(crate) timezone: Tz,
}

impl Page {
    /// The page with what is wrong with the form that was sent.
    pub(crate) fn with_problem(mut self, error: &Error) -> Self {
        self.problem = error.to_string();
        self
    }

    pub(crate) fn asset(&self, name: &str) -> String {
        format!("{}{}", self.prefix, assets::path(name))
    }

    /// A time in the server's zone.
    pub(crate) fn time(&self, time: &DateTime<Utc>) -> String {
        time.with_timezone(&self.timezone).format("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// A time in unix seconds, in the server's zone; nothing for 0.
    pub(crate) fn seconds(&self, seconds: impl Borrow<i64>) -> String {
        let seconds = *seconds.borrow();
        let time = DateTime::from_timestamp(seconds, 0).filter(|_| seconds != 0);
        time.map(|time| self.time(&time)).unwrap_or_default()
    }
}

/// Last of the rows of a list where they are as many as were asked for, so that more may follow.
pub(crate) fn last_of_full<T>(rows: &[T], count: i64) -> Option<&T> {
    rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|length| length == count))
}

/// A page, as HTML.
pub(crate) fn html(template: &impl Template) -> Answer {
    Ok(Html(template.render()?).into_response())
}

/// A page that shows a form again, with the status of what is wrong with it.
pub(crate) fn html_again(template: &impl Template, error: &Error) -> Answer {
    Ok((status_of(error.kind()), Html(template.render()?)).into_response())
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    page: Page,
    heading: &'static str,
    why: String,
}

/// A failure as a page. Nothing internal is shown: causes are in the log.
pub(crate) async fn failure_page(visit: &Visit, failure: &Failure) -> Response {
    let t = visit.language.texts();
    let (heading, why) = match failure {
        Failure::Unreadable(why) => (t.fail_invalid, why.clone()),
        Failure::NoPage => (t.fail_no_page, String::new()),
        Failure::Foreign => (t.fail_foreign, String::new()),
        Failure::TimedOut => (t.fail_busy, String::new()),
        Failure::Domain(error) => match error.kind() {
            ErrorKind::Invalid => (t.fail_invalid, error.to_string()),
            ErrorKind::Unauthenticated => (t.fail_unauthenticated, String::new()),
            ErrorKind::Forbidden => (t.fail_forbidden, String::new()),
            ErrorKind::NotFound => (t.fail_not_found, error.to_string()),
            ErrorKind::AlreadyExists | ErrorKind::Conflict => (t.fail_conflict, error.to_string()),
            ErrorKind::Unavailable => (t.fail_unavailable, error.to_string()),
            ErrorKind::TooMany => (t.fail_too_many, String::new()),
            kind => {
                tracing::error!(error = error_chain(&**error), "a page failed");
                (if kind == ErrorKind::Internal { t.fail_internal } else { t.fail_busy }, String::new())
            }
        },
    };
    let Ok(page) = visit.page(heading).await else { return failure.status().into_response() };
    let rendered = FailurePage { page, heading, why }.render();
    let mut response = match rendered {
        Ok(text) => (failure.status(), Html(text)).into_response(),
        Err(_) => failure.status().into_response(),
    };
    if let Failure::Domain(error) = failure
        && let Error::TooMany { retry_after } = &**error
    {
        let seconds = axum::http::HeaderValue::from(retry_after.as_secs().max(1));
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds);
    }
    response
}

/// Most accounts whose names are asked for at once.
const NAMED: usize = 100;

/// Names of accounts by id; of those that are gone the number is all there is.
pub(crate) struct Names(std::collections::HashMap<AccountId, String>);

impl Names {
    /// The names of some accounts, which every account may know.
    pub(crate) async fn of(visitor: &Visitor, mut ids: Vec<AccountId>) -> Result<Self, Failure> {
        ids.sort_unstable();
        ids.dedup();
        let mut names = std::collections::HashMap::new();
        for ids in ids.chunks(NAMED) {
            let known = visitor.pilothouse().accounts().names(&visitor.caller, ids).await?;
            names.extend(known.into_iter().map(|known| (known.id, known.name)));
        }
        Ok(Self(names))
    }

    pub(crate) fn name(&self, id: impl Borrow<AccountId>) -> String {
        let id = *id.borrow();
        self.0.get(&id).cloned().unwrap_or_else(|| format!("#{id}"))
    }
}
