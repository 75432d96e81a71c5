//! `/setup`: the first account, by the link that the server printed.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use pilothouse_core::Error;
use serde::Deserialize;

use crate::account::login::begun_with;
use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query};
use crate::page::{Page, Visit, html, html_again};
use crate::state::ConsoleState;

/// Code of the link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Code {
    code: String,
}

/// The first account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    code: String,
    name: String,
    mail: String,
    password: String,
    again: String,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    page: Page,
    code: String,
    name: String,
    mail: String,
}

/// The form, for whoever has the link.
pub(crate) async fn get_setup(
    State(console): State<ConsoleState>,
    visit: Visit,
    Query(query): Query<Code>,
) -> Answer {
    if !console.is_setup_code(&query.code) || console.pilothouse.accounts().any().await? {
        return Err(Failure::NoPage);
    }
    let page = visit.page(visit.language.texts().setup).await?;
    html(&SetupPage { page, code: query.code, name: String::new(), mail: String::new() })
}

/// Makes the account and logs it in. The code is taken first, so that of two who have it one makes an account.
pub(crate) async fn post_setup(
    State(console): State<ConsoleState>,
    visit: Visit,
    Form(form): Form<Setup>,
) -> Answer {
    if !console.take_setup_code(&form.code) || console.pilothouse.accounts().any().await? {
        return Err(Failure::NoPage);
    }
    if let Err(error) = make(&console, &form).await {
        console.return_setup_code(form.code.clone());
        if !is_correctable(&error) {
            return Err(error.into());
        }
        let page = visit.page(visit.language.texts().setup).await?.with_problem(&error);
        let again = SetupPage { page, code: form.code, name: form.name, mail: form.mail };
        return html_again(&again, &error);
    }
    let sessions = console.pilothouse.console_sessions();
    let access = sessions.begin(&form.name, &form.password, visit.address).await?;
    Ok((begun_with(&console, &access), Redirect::to(&console.settings.prefix)).into_response())
}

async fn make(console: &ConsoleState, form: &Setup) -> Result<(), Error> {
    if form.password != form.again {
        return Err(Error::invalid("again", "is not the same as password"));
    }
    console.pilothouse.accounts().create_superuser(&form.name, &form.mail, &form.password).await.map(|_| ())
}
