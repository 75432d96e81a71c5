//! `/login`, `/logout`, `/language` and `/theme`: a session begins and ends; language and colours are chosen.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use pilothouse_core::ErrorKind;
use pilothouse_core::account::Access;
use serde::Deserialize;

use crate::authenticator::{proof_cookie, session_cookie};
use crate::failure::{Answer, status_of};
use crate::form::{Form, Query};
use crate::language::{CHOICE, Language};
use crate::page::{Page, Visit, Visitor, html};
use crate::state::ConsoleState;
use crate::theme::{self, Theme};

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
    let next = own_path(&form.next, &console.settings.prefix);
    Ok((begun_with(&console, &access), Redirect::to(next)).into_response())
}

/// Cookies of a session that begins with a password, which is not asked again at once.
pub(super) fn begun_with(
    console: &ConsoleState,
    access: &Access,
) -> AppendHeaders<[(HeaderName, String); 2]> {
    let is_encrypted = console.settings.is_encrypted();
    let proof = console.pilothouse.console_sessions().prove(access);
    let (session, proof) = (session_cookie(&access.token, is_encrypted), proof_cookie(&proof, is_encrypted));
    AppendHeaders([(header::SET_COOKIE, session), (header::SET_COOKIE, proof)])
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
    Ok(chosen(&console, CHOICE, language.tag(), &form.next))
}

/// Keeps a choice for a year, and leads back to the page on which it was made.
fn chosen(console: &ConsoleState, name: &str, value: &str, next: &str) -> Response {
    let path = if console.settings.prefix.is_empty() { "/" } else { &console.settings.prefix };
    let cookie = format!("{name}={value}; Path={path}; Max-Age=31536000; HttpOnly; SameSite=Lax");
    let next = own_path(next, &console.settings.prefix);
    let set: [(HeaderName, String); 1] = [(header::SET_COOKIE, cookie)];
    (set, Redirect::to(next)).into_response()
}

/// Colours, and the page on which they were chosen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThemeChoice {
    theme: String,
    #[serde(default)]
    next: String,
}

/// Chooses the colours.
pub(crate) async fn post_theme(State(console): State<ConsoleState>, Form(form): Form<ThemeChoice>) -> Answer {
    let theme: Theme = form.theme.parse()?;
    Ok(chosen(&console, theme::CHOICE, theme.name(), &form.next))
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
