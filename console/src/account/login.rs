//! `/login`, `/logout` and `/language`: a session begins and ends, and a language is chosen.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{Html, IntoResponse, Redirect};
use pilothouse_core::ErrorKind;
use serde::Deserialize;

use crate::authenticator::session_cookie;
use crate::failure::{Answer, status_of};
use crate::form::{Form, Query};
use crate::language::{CHOICE, Language};
use crate::page::{Page, Visit, Visitor, html};
use crate::state::ConsoleState;

/// A page to come back to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
    #[serde(default)]
    customer: bool,
}

/// Credentials.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogIn {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
    #[serde(default)]
    customer: bool,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LogInPage {
    page: Page,
    next: String,
    typed: String,
    is_customer: bool,
}

/// The form.
pub(crate) async fn get_login(visit: Visit, Query(query): Query<Next>) -> Answer {
    let page = visit.page(visit.language.texts().log_in).await?;
    html(&LogInPage { page, next: query.next, typed: String::new(), is_customer: query.customer })
}

/// Begins a session.
pub(crate) async fn post_login(
    State(console): State<ConsoleState>,
    visit: Visit,
    Form(form): Form<LogIn>,
) -> Answer {
    let sessions = console.pilothouse.console_sessions();
    let begun = if form.customer {
        sessions.begin_cdn(&form.name, &form.password, visit.address).await
    } else {
        sessions.begin(&form.name, &form.password, visit.address).await
    };
    let t = visit.language.texts();
    let access = match begun {
        Ok(access) => access,
        Err(error) => {
            let problem = match error.kind() {
                ErrorKind::Unauthenticated => t.wrong_password.to_owned(),
                ErrorKind::TooMany => t.fail_too_many.to_owned(),
                ErrorKind::Invalid => error.to_string(),
                _ => return Err(error.into()),
            };
            let status = status_of(error.kind());
            let page = Page { problem, ..visit.page(t.log_in).await? };
            let again = LogInPage { page, next: form.next, typed: form.name, is_customer: form.customer };
            return Ok((status, Html(again.render()?)).into_response());
        }
    };
    let cookie = session_cookie(&access.token, console.settings.is_encrypted());
    let next = own_path(&form.next, &console.settings.prefix);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response())
}

/// The page to come back to, if it is one of the console's own: another would make a log-in lead wherever a link says.
fn own_path<'a>(next: &'a str, prefix: &'a str) -> &'a str {
    let rest = next.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') && !next.starts_with("//");
    if rest.is_some() && plain { next } else { prefix }
}

/// A form without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

/// Ends the session.
pub(crate) async fn post_logout(
    State(console): State<ConsoleState>,
    visitor: Visitor,
    Form(Empty {}): Form<Empty>,
) -> Answer {
    if visitor.caller.token.is_some() {
        console.pilothouse.tokens().logout(&visitor.caller).await?;
    }
    let cookie = session_cookie("", console.settings.is_encrypted());
    let login = console.authenticator.login_url();
    let login = login.unwrap_or_else(|| format!("{}/login", console.settings.prefix));
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&login)).into_response())
}

/// A language, and the page on which it was chosen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    language: String,
    #[serde(default)]
    next: String,
}

/// Chooses the language.
pub(crate) async fn post_language(State(console): State<ConsoleState>, Form(form): Form<Choice>) -> Answer {
    let language: Language = form.language.parse()?;
    let path = if console.settings.prefix.is_empty() { "/" } else { &console.settings.prefix };
    let cookie =
        format!("{CHOICE}={}; Path={path}; Max-Age=31536000; HttpOnly; SameSite=Lax", language.tag());
    let next = own_path(&form.next, &console.settings.prefix);
    let set: [(HeaderName, String); 1] = [(header::SET_COOKIE, cookie)];
    Ok((set, Redirect::to(next)).into_response())
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn a_log_in_leads_to_own_pages_alone() {
        for own in ["/console", "/console/apps?x=1", "/console?x"] {
            assert_eq!(own_path(own, "/console"), own);
        }
        for foreign in
            ["", "//evil.example", "/consoles", "https://evil.example/console", "/console/\r\nx", "/\\evil"]
        {
            assert_eq!(own_path(foreign, "/console"), "/console", "{foreign}");
        }
    }
}
