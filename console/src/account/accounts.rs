//! `/admin/accounts`: everybody's account.

use askama::Template;
use pilothouse_core::account::{Account, Changeable, Group, Groups, NewAccount, UpdateAccount};
use pilothouse_core::{Error, Listing, Page as Rows};
use serde::Deserialize;

use crate::failure::Answer;
use crate::form::{Form, Query, filled};
use crate::page::{Page, Visitor, html, last_of_full};

/// Accounts of one page.
const ROWS: i64 = 100;

/// Part of the list.
#[derive(Deserialize)]
pub(crate) struct Part {
    #[serde(default)]
    start: i64,
    #[serde(default)]
    edit: String,
}

/// An account, and what the caller may change of it.
struct Row {
    account: Account,
    changeable: Changeable,
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage {
    page: Page,
    rows: Vec<Row>,
    total: u64,
    next: Option<i64>,
    may_write: bool,
    edit: String,
}

/// A group, and whether an account has it.
struct GroupRow {
    id: u8,
    text: &'static str,
    is_held: bool,
}

impl AccountsPage {
    /// All groups, each with whether the account has it.
    fn groups(&self, account: &Account) -> Vec<GroupRow> {
        let row = |group: Group| GroupRow {
            id: group.id(),
            text: self.page.t.group(group),
            is_held: account.groups.holds(group),
        };
        Group::ALL.into_iter().map(row).collect()
    }
}

/// The list.
pub(crate) async fn get_accounts(visitor: Visitor, Query(part): Query<Part>) -> Answer {
    if !visitor.caller.holds(Group::ReadAccounts) {
        return Err(Error::Forbidden.into());
    }
    let rows = Rows { total: true, ..Rows::new(Some(part.start), Some(ROWS))? };
    let list = visitor.pilothouse().accounts().list(&visitor.caller, None, rows).await?;
    let Listing { rows, total, .. } = list;
    let next = last_of_full(&rows, ROWS).map(|last| last.id.0 + 1);
    let changeable = visitor.pilothouse().accounts().changeable(&visitor.caller, &rows).await?;
    let rows = rows.into_iter().zip(changeable).map(|(account, changeable)| Row { account, changeable });
    let rows = rows.collect();
    let may_write = visitor.caller.holds(Group::WriteAccounts);
    let page = visitor.page(visitor.t.accounts).await?;
    html(&AccountsPage { page, rows, total: total.unwrap_or_default(), next, may_write, edit: part.edit })
}

/// An account to be added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    name: String,
    mail: String,
    password: String,
    #[serde(default)]
    department: String,
    #[serde(default)]
    permissions: String,
}

/// Adds an account.
pub(crate) async fn post_account(visitor: Visitor, Form(form): Form<Add>) -> Answer {
    let groups: Groups = form.permissions.trim().parse()?;
    let Add { name, mail, password: passwd, department, .. } = form;
    let new = NewAccount { name, mail, passwd, department, groups };
    visitor.pilothouse().accounts().add(&visitor.caller, new).await?;
    Ok(visitor.done("/admin/accounts", "created"))
}

/// A change of an account: each group that it is to have is a field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    name: String,
    department: String,
    #[serde(default)]
    password: String,
    permissions: String,
}

/// Changes department, groups and, where one is typed, the password.
pub(crate) async fn post_update(visitor: Visitor, Form(form): Form<Change>) -> Answer {
    let change = UpdateAccount {
        name: Some(form.name),
        department: Some(form.department),
        groups: Some(form.permissions.trim().parse()?),
        new_passwd: filled(&form.password).map(str::to_owned),
        ..UpdateAccount::default()
    };
    visitor.pilothouse().accounts().update(&visitor.caller, change).await?;
    Ok(visitor.done("/admin/accounts", "saved"))
}

/// An account to be deleted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    name: String,
}

/// Deletes an account with its grants, tokens and cdn access.
pub(crate) async fn post_delete(visitor: Visitor, Form(form): Form<Delete>) -> Answer {
    visitor.pilothouse().accounts().delete(&visitor.caller, &form.name).await?;
    Ok(visitor.done("/admin/accounts", "deleted"))
}
