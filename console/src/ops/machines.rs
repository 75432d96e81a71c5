//! `/machines`: the inventory.

use askama::Template;
use pilothouse_core::account::Group;
use pilothouse_core::ops::{Machine, MachineFilter, MachineNumber, UpdateMachine};
use pilothouse_core::{Error, Listing, Page as Rows};
use serde::Deserialize;

use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query, filled, part};
use crate::ops::tasks::address;
use crate::page::{Page, Visitor, html, html_again, last_of_full};

/// Machines of one page.
const ROWS: i64 = 200;

/// Filter and part of the list, and the machine that is edited.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    text: String,
    #[serde(default)]
    start: i64,
    #[serde(default)]
    edit: String,
}

/// Fields of a machine.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    name: String,
    inside_ip: String,
    #[serde(default)]
    outside_ip: String,
    usage: String,
    location: String,
    #[serde(default)]
    initialised: bool,
}

#[derive(Template)]
#[template(path = "machines.html")]
struct MachinesPage {
    page: Page,
    shown: Shown,
    rows: Vec<Machine>,
    total: u64,
    /// Query of the next page.
    next: Option<String>,
    may_write: bool,
    may_add_tasks: bool,
    typed: Fields,
}

async fn list(visitor: &Visitor, shown: Shown, typed: Fields) -> Result<MachinesPage, Failure> {
    let rows = Rows { total: true, ..Rows::new(Some(shown.start), Some(ROWS))? };
    let filter = MachineFilter { text: filled(&shown.text).map(str::to_owned), ..MachineFilter::default() };
    let list = visitor.pilothouse().machines().list(&visitor.caller, &filter, rows).await?;
    let Listing { rows, total, .. } = list;
    let last = last_of_full(&rows, ROWS);
    let next = last.map(|last| format!("text={}&start={}", part(&shown.text), last.id.0 + 1));
    let may_write = visitor.caller.holds(Group::WriteMachines);
    let may_add_tasks = visitor.caller.holds(Group::ReadTasks);
    let page = visitor.page(visitor.t.machines).await?;
    let total = total.unwrap_or_default();
    Ok(MachinesPage { page, shown, rows, total, next, may_write, may_add_tasks, typed })
}

/// The list.
pub(crate) async fn get_machines(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    html(&list(&visitor, shown, Fields::default()).await?)
}

/// Adds a machine.
pub(crate) async fn post_machine(visitor: Visitor, Form(form): Form<Fields>) -> Answer {
    match add(&visitor, &form).await {
        Ok(()) => Ok(visitor.done("/machines", "created")),
        Err(error) if is_correctable(&error) && visitor.caller.holds(Group::ReadMachines) => {
            let mut again = list(&visitor, Shown::default(), form).await?;
            again.page = again.page.with_problem(&error);
            html_again(&again, &error)
        }
        Err(error) => Err(error.into()),
    }
}

async fn add(visitor: &Visitor, form: &Fields) -> Result<(), Error> {
    let machine = Machine {
        id: MachineNumber::UNSAVED,
        machine_name: form.name.clone(),
        inside_ip: address("inside_ip", &form.inside_ip)?,
        outside_ip: filled(&form.outside_ip).map(|ip| address("outside_ip", ip)).transpose()?,
        usage: form.usage.clone(),
        is_initialized: form.initialised,
        location: form.location.clone(),
    };
    visitor.pilothouse().machines().add(&visitor.caller, machine).await
}

/// Changes a machine.
pub(crate) async fn post_update(visitor: Visitor, Form(form): Form<Fields>) -> Answer {
    let change = UpdateMachine {
        id: None,
        inside_ip: Some(address("inside_ip", &form.inside_ip)?),
        outside_ip: Some(filled(&form.outside_ip).map(|ip| address("outside_ip", ip)).transpose()?),
        machine_name: form.name,
        usage: Some(form.usage),
        is_initialized: Some(form.initialised),
        location: Some(form.location),
    };
    visitor.pilothouse().machines().update(&visitor.caller, change).await?;
    Ok(visitor.done("/machines", "saved"))
}

/// A machine, by its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    name: String,
}

/// Deletes a machine for which no task waits.
pub(crate) async fn post_delete(visitor: Visitor, Form(form): Form<Delete>) -> Answer {
    visitor.pilothouse().machines().delete(&visitor.caller, &form.name, &[]).await?;
    Ok(visitor.done("/machines", "deleted"))
}
