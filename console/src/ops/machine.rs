//! `/machines/machine?name=`: a machine with the facts of its agent, its orders and its history; enrolment of the agent.

use askama::Template;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use chrono::{DateTime, Utc};
use pilothouse_core::account::Group;
use pilothouse_core::ops::{MachineView, TaskFilter, TaskView};
use pilothouse_core::{Error, Order, Page as Rows};
use serde::Deserialize;

use crate::failure::Answer;
use crate::form::{Form, Query, part};
use crate::page::{Page, Visitor, html};

/// Tasks of the history.
const ROWS: i64 = 50;

/// A machine, by its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    name: String,
}

/// A machine, and what a redirect to its page says.
#[derive(Deserialize)]
pub(crate) struct Shown {
    name: String,
}

/// One-time code for the machine's agent.
struct Enrolment {
    command: String,
    server: String,
    expires: DateTime<Utc>,
}

#[derive(Template)]
#[template(path = "machine.html")]
struct MachinePage {
    page: Page,
    view: MachineView,
    enrolment: Option<Enrolment>,
    /// Newest tasks for its address, for a holder of group 1.
    history: Option<Vec<TaskView>>,
    may_write: bool,
    may_add_tasks: bool,
}

async fn show(visitor: &Visitor, name: &str, enrolment: Option<Enrolment>) -> Answer {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let view = pilothouse.agents().machine(caller, name).await?;
    let mut history = None;
    if caller.holds(Group::ReadTasks) {
        let filter = TaskFilter { ip: Some(view.machine.inside_ip), ..TaskFilter::default() };
        let newest = Rows { order: Order::Newest, ..Rows::at(0, ROWS) };
        history = Some(pilothouse.tasks().list_views(caller, &filter, newest).await?.rows);
    }
    let may_write = caller.holds(Group::WriteMachines);
    let may_add_tasks = caller.holds(Group::WriteTasks);
    let page = visitor.page(format!("{} {name}", visitor.t.machine)).await?;
    html(&MachinePage { page, view, enrolment, history, may_write, may_add_tasks })
}

/// The page.
pub(crate) async fn get_machine(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    show(&visitor, &shown.name, None).await
}

/// Makes a one-time code and shows it, this once, with the command that uses it.
pub(crate) async fn post_enroll(visitor: Visitor, headers: HeaderMap, Form(form): Form<Named>) -> Answer {
    // Whoever could not be shown the code makes none.
    if !visitor.caller.holds(Group::ReadMachines) {
        return Err(Error::Forbidden.into());
    }
    let made = visitor.pilothouse().agents().enroll(&visitor.caller, &form.name).await?;
    let settings = &visitor.visit.console.settings;
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if settings.is_encrypted() { "https" } else { "http" };
    let server = settings.public_url.clone().unwrap_or_else(|| format!("{scheme}://{host}"));
    let command = format!("pilothouse-agent enroll --code {}", made.code);
    show(&visitor, &form.name, Some(Enrolment { command, server, expires: made.expires })).await
}

/// Ends the machine's agent.
pub(crate) async fn post_revoke(visitor: Visitor, Form(form): Form<Named>) -> Answer {
    visitor.pilothouse().agents().revoke(&visitor.caller, &form.name).await?;
    Ok(visitor.done(&format!("/machines/machine?name={}", part(&form.name)), "ended"))
}
