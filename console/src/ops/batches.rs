//! `/batches`: updates of many machines, newest first, and new ones.

use askama::Template;
use pilothouse_core::account::Group;
use pilothouse_core::ops::{BatchId, BatchOverview, BatchState, NewBatch, NewFile, Sha256Digest, Targets};
use pilothouse_core::{Error, ErrorKind};
use serde::Deserialize;

use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query, filled};
use crate::ops::tasks::address;
use crate::page::{Page, Visitor, html, html_again};

/// Batches of the list.
const ROWS: usize = 100;
/// One more, which says whether there is another page.
const ASKED: i64 = 101;

/// Filter of the list.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    state: String,
    /// The last batch of the page before; empty on the first page.
    #[serde(default)]
    after: String,
}

#[derive(Template)]
#[template(path = "batches.html")]
struct BatchesPage {
    page: Page,
    shown: Shown,
    rows: Vec<BatchOverview>,
    /// The last batch, where a page is behind it.
    next: Option<BatchId>,
    states: &'static [BatchState],
    may_add: bool,
}

/// The list.
pub(crate) async fn get_batches(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let wrong = || Error::invalid("state", "is not that of a batch");
    let state = filled(&shown.state).map(|name| BatchState::from_name(name).ok_or_else(wrong)).transpose()?;
    let after = filled(&shown.after).map(str::parse).transpose()?;
    let mut rows = visitor.pilothouse().batches().list(&visitor.caller, state, after, ASKED).await?;
    let is_more = rows.len() > ROWS;
    rows.truncate(ROWS);
    let next = rows.last().filter(|_| is_more).map(|last| last.batch.batch_id);
    let may_add = visitor.caller.holds(Group::WriteTasks);
    let page = visitor.page(visitor.t.ops().batches).await?;
    html(&BatchesPage { page, shown, rows, next, states: BatchState::ALL, may_add })
}

/// A batch to be added.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// `names`, `usage`, `location`, `addresses` or `all`.
    targets: String,
    /// Names or addresses, one a line; a usage or a location.
    #[serde(default)]
    which: String,
    action: String,
    content: String,
    description: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    expect_sha256: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    check: String,
    #[serde(default)]
    reload: String,
    #[serde(default)]
    confirm_seconds: String,
}

#[derive(Template)]
#[template(path = "batch_new.html")]
struct NewPage {
    page: Page,
    typed: New,
    kinds: [TargetKind; 5],
}

/// Way to name machines.
struct TargetKind {
    name: &'static str,
    text: &'static str,
}

async fn form(visitor: &Visitor, typed: New) -> Result<NewPage, Failure> {
    if !visitor.caller.holds(Group::WriteTasks) {
        return Err(Error::Forbidden.into());
    }
    let o = visitor.t.ops();
    let kinds = [
        TargetKind { name: "names", text: o.machines_by_name },
        TargetKind { name: "usage", text: o.machines_by_usage },
        TargetKind { name: "location", text: o.machines_by_location },
        TargetKind { name: "addresses", text: o.machines_by_address },
        TargetKind { name: "all", text: o.machines_all },
    ];
    let page = visitor.page(o.new_batch).await?;
    Ok(NewPage { page, typed, kinds })
}

/// Fields that a link fills in.
#[derive(Deserialize)]
pub(crate) struct Prefilled {
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    machine: String,
}

/// The form of a new batch.
pub(crate) async fn get_new(visitor: Visitor, Query(prefilled): Query<Prefilled>) -> Answer {
    let Prefilled { sha256, machine } = prefilled;
    let typed = New { sha256, which: machine, action: "update".to_owned(), ..New::default() };
    html(&form(&visitor, typed).await?)
}

/// Adds a batch, and leads to it.
pub(crate) async fn post_batch(visitor: Visitor, Form(new): Form<New>) -> Answer {
    match add(&visitor, &new).await {
        Ok(id) if visitor.caller.holds(Group::ReadTasks) => {
            Ok(visitor.done(&format!("/batches/{id}"), "created"))
        }
        Ok(_) => Ok(visitor.done("/batches/new", "created")),
        Err(error) if is_correctable(&error) || error.kind() == ErrorKind::Unavailable => {
            let mut again = form(&visitor, new).await?;
            again.page = again.page.with_problem(&error);
            html_again(&again, &error)
        }
        Err(error) => Err(error.into()),
    }
}

async fn add(visitor: &Visitor, new: &New) -> Result<String, Error> {
    let batch = NewBatch {
        targets: targets(new)?,
        action: new.action.clone(),
        content: new.content.clone(),
        description: new.description.clone(),
        file: file(new)?,
    };
    Ok(visitor.pilothouse().batches().add(&visitor.caller, batch, None).await?.batch_id.to_string())
}

fn targets(new: &New) -> Result<Targets, Error> {
    let lines = || new.which.lines().filter_map(filled);
    let one = || filled(&new.which).map(str::to_owned).ok_or_else(|| Error::invalid("which", "is required"));
    match &*new.targets {
        "names" => Ok(Targets::Names(lines().map(str::to_owned).collect())),
        "usage" => Ok(Targets::Usage(one()?)),
        "location" => Ok(Targets::Location(one()?)),
        "addresses" => {
            Ok(Targets::Addresses(lines().map(|ip| address("which", ip)).collect::<Result<_, _>>()?))
        }
        "all" => Ok(Targets::All),
        _ => Err(Error::invalid("targets", "must be names, usage, location, addresses or all")),
    }
}

fn file(new: &New) -> Result<NewFile, Error> {
    let digest = |field, text| filled(text).map(|text| Sha256Digest::parse(field, text)).transpose();
    let given = |text: &str| filled(text).map(str::to_owned);
    let wrong = |_| Error::invalid("confirm_seconds", "must be 0, or from 30 to 3600");
    Ok(NewFile {
        sha256: digest("sha256", &new.sha256)?,
        expect_sha256: digest("expect_sha256", &new.expect_sha256)?,
        mode: given(&new.mode),
        owner: given(&new.owner),
        group: given(&new.group),
        check: given(&new.check),
        reload: given(&new.reload),
        confirm_seconds: filled(&new.confirm_seconds).map_or(Ok(0), str::parse).map_err(wrong)?,
        ..NewFile::default()
    })
}
