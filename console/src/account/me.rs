//! `/me`: one's own password, sessions and API tokens.

use askama::Template;
use pilothouse_core::Error;
use pilothouse_core::account::{Group, NewApiToken, Scope, Token, TokenId, TokenLimits, UpdateAccount};
use serde::Deserialize;

use crate::failure::Answer;
use crate::form::{Form, filled};
use crate::page::{Page, Visitor, html};

#[derive(Template)]
#[template(path = "me.html")]
struct Me {
    page: Page,
    mail: String,
    groups: Vec<&'static str>,
    /// Tokens, where the caller logged in to the whole account.
    tokens: Option<Vec<TokenRow>>,
    /// An API token that was just made.
    issued: String,
}

struct TokenRow {
    token: Token,
    is_this: bool,
    scope: &'static str,
}

async fn show(visitor: &Visitor, issued: String) -> Answer {
    let (caller, t) = (&visitor.caller, visitor.t);
    let mut tokens = None;
    if caller.scope == Scope::Account && caller.token.is_some() {
        let now = visitor.pilothouse().clock().now();
        let all = visitor.pilothouse().tokens().list(caller, None).await?;
        let open = all.into_iter().filter(|token| token.expires > now);
        let row = |token: Token| TokenRow {
            is_this: caller.token == Some(token.id),
            scope: t.token_scope(token.scope),
            token,
        };
        tokens = Some(open.map(row).collect());
    }
    let groups = Group::ALL.into_iter().filter(|group| caller.holds(*group));
    let groups = groups.map(|group| t.group(group)).collect();
    let page = visitor.page(t.my_account).await?;
    html(&Me { page, mail: caller.mail.clone(), groups, tokens, issued })
}

/// The page.
pub(crate) async fn get_me(visitor: Visitor) -> Answer {
    show(&visitor, String::new()).await
}

/// A change of one's own password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Password {
    old: String,
    new: String,
    again: String,
}

/// Changes the password; every session ends with it, this one too.
pub(crate) async fn post_password(visitor: Visitor, Form(form): Form<Password>) -> Answer {
    if form.new != form.again {
        return Err(Error::invalid("again", "is not the same as new").into());
    }
    let change =
        UpdateAccount { old_passwd: Some(form.old), new_passwd: Some(form.new), ..UpdateAccount::default() };
    if visitor.caller.scope != Scope::Account {
        return Err(Error::Forbidden.into());
    }
    match visitor.pilothouse().accounts().update(&visitor.caller, change).await {
        Err(Error::Forbidden) => return Err(Error::invalid("old", "is not the present password").into()),
        changed => changed?,
    }
    Ok(visitor.done("/login", "saved"))
}

/// An API token to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    name: String,
    days: i64,
    #[serde(default)]
    permissions: String,
    #[serde(default)]
    apps: String,
    #[serde(default)]
    profiles: String,
    #[serde(default)]
    cdn: bool,
}

/// Names separated by commas; of an asterisk all there are.
fn names(text: &str) -> Option<Vec<String>> {
    (text.trim() != "*").then(|| text.split(',').filter_map(filled).map(str::to_owned).collect())
}

/// Makes an API token and shows it, this once.
pub(crate) async fn post_token(visitor: Visitor, Form(form): Form<NewToken>) -> Answer {
    let limits = TokenLimits {
        groups: form.permissions.trim().parse()?,
        apps: names(&form.apps),
        profiles: filled(&form.profiles).and_then(names),
        cdn: form.cdn,
    };
    let new = NewApiToken { name: form.name, limits, days: form.days };
    let issued = visitor.pilothouse().tokens().issue(&visitor.caller, new).await?;
    show(&visitor, issued.token).await
}

/// A token to be ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndToken {
    id: i64,
}

/// Ends one of one's own tokens or sessions.
pub(crate) async fn post_token_end(visitor: Visitor, Form(form): Form<EndToken>) -> Answer {
    visitor.pilothouse().tokens().revoke(&visitor.caller, None, TokenId(form.id)).await?;
    Ok(visitor.done("/me", "ended"))
}
