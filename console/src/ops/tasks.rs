//! `/tasks`: release tasks, newest first, and new ones.

use std::net::IpAddr;

use askama::Template;
use pilothouse_core::account::Group;
use pilothouse_core::ops::{NewFile, NewTask, Sha256Digest, Status, TaskFilter, TaskView};
use pilothouse_core::{Error, Listing, Order, Page as Rows};
use serde::Deserialize;

use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query, filled, part};
use crate::page::{Page, Visitor, html, html_again, last_of_full};

/// Tasks of one page.
const ROWS: i64 = 50;

/// Filter and part of the list.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    ip: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    text: String,
    before: Option<i64>,
    /// Content of a new task.
    #[serde(default)]
    sha256: String,
}

impl Shown {
    fn filter(&self) -> Result<TaskFilter, Error> {
        let status = |text: &str| text.parse().ok().and_then(Status::from_id);
        let wrong = || Error::invalid("status", "must be from 0 to 5");
        Ok(TaskFilter {
            ip: filled(&self.ip).map(|ip| address("ip", ip)).transpose()?,
            outcome: filled(&self.status).map(|text| status(text).ok_or_else(wrong)).transpose()?,
            action: None,
            batch: None,
            text: filled(&self.text).map(str::to_owned),
        })
    }
}

/// An address that was typed.
pub(super) fn address(field: &'static str, text: &str) -> Result<IpAddr, Error> {
    text.trim().parse().map_err(|_| Error::invalid(field, "must be an address"))
}

/// A task to be added.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    ip: String,
    action: String,
    content: String,
    description: String,
    /// Hash of an uploaded file that an agent puts in place; without one other agents carry the task out.
    #[serde(default)]
    sha256: String,
}

#[derive(Template)]
#[template(path = "tasks.html")]
struct TasksPage {
    page: Page,
    shown: Shown,
    rows: Vec<TaskView>,
    /// Query of the next page.
    next: Option<String>,
    statuses: [Status; 6],
    may_add: bool,
    typed: Add,
}

/// Statuses, by number.
const STATUSES: [Status; 6] =
    [Status::Pending, Status::Running, Status::Succeeded, Status::Failed, Status::Cancelled, Status::Unknown];

async fn list(visitor: &Visitor, shown: Shown, typed: Add) -> Result<TasksPage, Failure> {
    let rows = Rows { order: Order::Newest, ..Rows::at(0, ROWS).before(shown.before)? };
    let filter = shown.filter()?;
    let list = visitor.pilothouse().tasks().list_views(&visitor.caller, &filter, rows).await?;
    let Listing { rows, search_before, .. } = list;
    let last = last_of_full(&rows, ROWS).map(|last| last.task.id.0);
    let next = last.or(search_before).map(|before| {
        let [ip, status, text] = [&shown.ip, &shown.status, &shown.text].map(|text| part(text));
        format!("ip={ip}&status={status}&text={text}&before={before}")
    });
    let may_add = visitor.caller.holds(Group::WriteTasks);
    let page = visitor.page(visitor.t.tasks).await?;
    Ok(TasksPage { page, shown, rows, next, statuses: STATUSES, may_add, typed })
}

/// The list.
pub(crate) async fn get_tasks(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let typed = Add { sha256: shown.sha256.clone(), ..Add::default() };
    html(&list(&visitor, shown, typed).await?)
}

/// Adds a task, and leads to it.
pub(crate) async fn post_task(visitor: Visitor, Form(form): Form<Add>) -> Answer {
    match add(&visitor, &form).await {
        Ok(id) => Ok(visitor.done(&format!("/tasks/{id}"), "created")),
        Err(error) if is_correctable(&error) && visitor.caller.holds(Group::ReadTasks) => {
            let mut again = list(&visitor, Shown::default(), form).await?;
            again.page = again.page.with_problem(&error);
            html_again(&again, &error)
        }
        Err(error) => Err(error.into()),
    }
}

async fn add(visitor: &Visitor, form: &Add) -> Result<String, Error> {
    let sha256 = filled(&form.sha256).map(|text| Sha256Digest::parse("sha256", text)).transpose()?;
    let new = NewTask {
        ip: address("ip", &form.ip)?,
        action: form.action.clone(),
        content: form.content.clone(),
        description: form.description.clone(),
        file: sha256.map(|sha256| NewFile { sha256: Some(sha256), ..NewFile::default() }),
    };
    Ok(visitor.pilothouse().tasks().add(&visitor.caller, new).await?.to_string())
}
