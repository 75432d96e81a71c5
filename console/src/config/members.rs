//! Members and keys of an app.

use pilothouse_core::Error;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{AppKeyId, GrantId, NewGrant, Permission};
use serde::Deserialize;

use crate::config::app::show;
use crate::failure::Answer;
use crate::form::{Form, Segments, filled};
use crate::page::Visitor;

/// A grant to be given, to an account by its name or number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    account: String,
    permission: i64,
    /// Profile that it is for; empty for the app as a whole.
    #[serde(default)]
    profile: String,
}

/// Gives a grant.
pub(crate) async fn post_member(
    visitor: Visitor,
    Segments(app): Segments<String>,
    Form(form): Form<Member>,
) -> Answer {
    let permission = Permission::from_id(form.permission);
    let permission = permission.ok_or_else(|| Error::invalid("permission", "must be 0, 1 or 9"))?;
    let name = form.account.trim();
    let (account, uname) = match name.parse::<i64>() {
        Ok(id) => (AccountId(id), String::new()),
        Err(_) => {
            let found = visitor.pilothouse().accounts().find(&visitor.caller, name).await?;
            (found.id, found.name)
        }
    };
    let profile = filled(&form.profile).map(str::to_owned);
    let new = NewGrant { app: app.clone(), profile, account, uname, permission };
    visitor.pilothouse().grants().create(&visitor.caller, new).await?;
    Ok(visitor.done(&format!("/apps/{app}"), "saved"))
}

/// A grant or key, by its number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Numbered {
    id: i64,
}

/// Takes a grant away.
pub(crate) async fn post_member_delete(
    visitor: Visitor,
    Segments(app): Segments<String>,
    Form(form): Form<Numbered>,
) -> Answer {
    visitor.pilothouse().grants().delete(&visitor.caller, GrantId(form.id)).await?;
    Ok(visitor.done(&format!("/apps/{app}"), "deleted"))
}

/// A form without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

/// Makes an app key and shows it, this once.
pub(crate) async fn post_key(
    visitor: Visitor,
    Segments(app): Segments<String>,
    Form(Empty {}): Form<Empty>,
) -> Answer {
    let secret = visitor.pilothouse().app_keys().create(&visitor.caller, &app).await?;
    show(&visitor, app, secret.text).await
}

/// Deletes an app key; watches that it opened end.
pub(crate) async fn post_key_delete(
    visitor: Visitor,
    Segments(app): Segments<String>,
    Form(form): Form<Numbered>,
) -> Answer {
    visitor.pilothouse().app_keys().delete(&visitor.caller, AppKeyId(form.id)).await?;
    Ok(visitor.done(&format!("/apps/{app}"), "deleted"))
}
