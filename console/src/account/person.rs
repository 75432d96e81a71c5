//! `/admin/accounts/account?name=`: an account with its rights, sessions and tokens.

use askama::Template;
use pilothouse_core::Error;
use pilothouse_core::account::{Account, Changeable, Group, Token, TokenId};
use serde::Deserialize;

use crate::failure::Answer;
use crate::form::{Form, Query, part};
use crate::page::{Page, Visitor, html};

/// An account, by its name.
#[derive(Deserialize)]
pub(crate) struct Named {
    name: String,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    page: Page,
    account: Account,
    groups: Vec<&'static str>,
    changeable: Changeable,
    /// Sessions and tokens that are open, for whoever may end them.
    tokens: Option<Vec<Token>>,
    is_own: bool,
    may_read_audit: bool,
}

/// The page.
pub(crate) async fn get_account(visitor: Visitor, Query(named): Query<Named>) -> Answer {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    if !caller.holds(Group::ReadAccounts) {
        return Err(Error::Forbidden.into());
    }
    let account = pilothouse.accounts().find(caller, &named.name).await?;
    let changeable = pilothouse.accounts().changeable(caller, std::slice::from_ref(&account)).await?;
    let changeable = changeable.into_iter().next().ok_or_else(|| Error::not_found("the account"))?;
    let now = pilothouse.clock().now();
    let is_own = account.id == caller.id;
    let mut tokens = None;
    // Whoever would be refused does not ask: a refusal is a row of the audit trail.
    if caller.token.is_some() && (is_own || changeable.account) {
        let all = pilothouse.tokens().list(caller, Some(&account.name)).await?;
        tokens = Some(all.into_iter().filter(|token| token.expires > now).collect());
    }
    let groups = Group::ALL.into_iter().filter(|group| account.groups.holds(*group));
    let groups = groups.map(|group| visitor.t.group(group)).collect();
    let may_read_audit = caller.holds(Group::ReadAudit);
    let page = visitor.page(format!("{} {}", visitor.t.account, account.name)).await?;
    html(&AccountPage { page, account, groups, changeable, tokens, is_own, may_read_audit })
}

/// Whether an account is to be disabled.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disable {
    name: String,
    disabled: bool,
}

/// Disables an account, or enables it again.
pub(crate) async fn post_disable(visitor: Visitor, Form(form): Form<Disable>) -> Answer {
    visitor.pilothouse().accounts().set_disabled(&visitor.caller, &form.name, form.disabled).await?;
    Ok(visitor.done(&format!("/admin/accounts/account?name={}", part(&form.name)), "saved"))
}

/// A token of an account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndToken {
    name: String,
    id: i64,
}

/// Ends a session or token of an account.
pub(crate) async fn post_token_end(visitor: Visitor, Form(form): Form<EndToken>) -> Answer {
    visitor.pilothouse().tokens().revoke(&visitor.caller, Some(&form.name), TokenId(form.id)).await?;
    Ok(visitor.done(&format!("/admin/accounts/account?name={}", part(&form.name)), "ended"))
}
