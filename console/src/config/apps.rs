//! `/apps`: the apps that the caller has a grant on, and new ones.

use askama::Template;
use pilothouse_core::Error;
use pilothouse_core::account::Scope;
use pilothouse_core::config::{App, NewApp};
use serde::Deserialize;

use crate::failure::{Answer, is_correctable};
use crate::form::{Form, Query, filled};
use crate::page::{Page, Visitor, html, html_again};

/// Filter of the list.
#[derive(Deserialize)]
pub(crate) struct Filter {
    #[serde(default)]
    text: String,
}

#[derive(Template)]
#[template(path = "apps.html")]
struct AppsPage {
    page: Page,
    text: String,
    apps: Vec<App>,
    typed: Create,
}

/// An app to be created.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    app: String,
    name: String,
    charger: String,
}

async fn listed(visitor: &Visitor, text: &str) -> Result<Vec<App>, Error> {
    let mut apps = visitor.pilothouse().apps().list(&visitor.caller).await?;
    if let Some(text) = filled(text) {
        apps.retain(|app| app.app.contains(text) || app.name.contains(text) || app.charger.contains(text));
    }
    Ok(apps)
}

/// The list.
pub(crate) async fn get_apps(visitor: Visitor, Query(filter): Query<Filter>) -> Answer {
    if visitor.caller.scope == Scope::Cdn {
        return Err(Error::Forbidden.into());
    }
    let apps = listed(&visitor, &filter.text).await?;
    let page = visitor.page(visitor.t.apps).await?;
    html(&AppsPage { page, text: filter.text, apps, typed: Create::default() })
}

/// Creates an app, which its creator manages.
pub(crate) async fn post_app(visitor: Visitor, Form(form): Form<Create>) -> Answer {
    let Create { app, name, charger } = &form;
    let new = NewApp { app: app.clone(), app_type: 0, name: name.clone(), charger: charger.clone() };
    match visitor.pilothouse().apps().create(&visitor.caller, new).await {
        Ok(_) => Ok(visitor.done(&format!("/apps/{app}"), "created")),
        Err(error) if is_correctable(&error) => {
            let apps = listed(&visitor, "").await?;
            let page = visitor.page(visitor.t.apps).await?.with_problem(&error);
            html_again(&AppsPage { page, text: String::new(), apps, typed: form }, &error)
        }
        Err(error) => Err(error.into()),
    }
}
