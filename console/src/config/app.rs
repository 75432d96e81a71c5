//! `/apps/{app}`: its profiles, members and keys.

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use pilothouse_core::Error;
use pilothouse_core::account::Group;
use pilothouse_core::config::{AppKey, Grant, Item, Permission};
use serde::Deserialize;

use crate::failure::{Answer, Failure};
use crate::form::{Form, Query, Segments, part};
use crate::page::{Page, Visitor, html};

/// A profile with how much there is to do in it.
struct ProfileRow {
    profile: String,
    items: usize,
    changed: usize,
    unapproved: usize,
}

impl ProfileRow {
    fn of(profile: String, items: &[Item]) -> Self {
        let is_changed = |item: &&Item| item.current.version != item.published_version;
        let changed = items.iter().filter(is_changed);
        let unapproved = changed.clone().filter(|item| item.current.approver.is_none()).count();
        Self { profile, items: items.len(), changed: changed.count(), unapproved }
    }
}

#[derive(Template)]
#[template(path = "app.html")]
struct AppPage {
    page: Page,
    app: String,
    profiles: Vec<ProfileRow>,
    grants: Vec<Grant>,
    keys: Vec<AppKey>,
    manages: bool,
    /// Whether accounts can be named here: whoever may not see them gives numbers.
    sees_accounts: bool,
    /// A key that was just made.
    secret: String,
}

/// The page; with `secret`, what is shown this once.
pub(crate) async fn show(visitor: &Visitor, app: String, secret: String) -> Answer {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let names = pilothouse.items().profiles(caller, &app).await?;
    let mut profiles = Vec::new();
    for profile in names {
        let items = pilothouse.items().list(caller, &app, &profile).await?;
        profiles.push(ProfileRow::of(profile, &items));
    }
    let held = pilothouse.grants().held(caller, &app, None).await?;
    let mut grants = match held {
        Some(_) => pilothouse.grants().list(caller, &app).await?,
        None => Vec::new(),
    };
    grants.extend(pilothouse.grants().of_profiles(caller, &app).await?);
    let manages = held == Some(Permission::Manage);
    let keys = if manages { pilothouse.app_keys().list(caller, &app).await? } else { Vec::new() };
    let sees_accounts = caller.holds(Group::ReadAccounts);
    let page = visitor.page(app.clone()).await?;
    html(&AppPage { page, app, profiles, grants, keys, manages, sees_accounts, secret })
}

/// The page.
pub(crate) async fn get_app(visitor: Visitor, Segments(app): Segments<String>) -> Answer {
    show(&visitor, app, String::new()).await
}

/// A profile by its name.
#[derive(Deserialize)]
pub(crate) struct Named {
    profile: String,
}

/// Leads to a profile, also to one without items: the first one begins it.
pub(crate) async fn get_profile(
    visitor: Visitor,
    Segments(app): Segments<String>,
    Query(query): Query<Named>,
) -> Answer {
    let prefix = &visitor.visit.console.settings.prefix;
    let (app, profile) = (part(&app), part(&query.profile));
    Ok(Redirect::to(&format!("{prefix}/apps/{app}/profiles/{profile}")).into_response())
}

/// Name of the app that is to be deleted, typed again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    app: String,
}

/// Deletes an app without items.
pub(crate) async fn post_delete(
    visitor: Visitor,
    Segments(app): Segments<String>,
    Form(form): Form<Delete>,
) -> Answer {
    if form.app != app {
        return Err(Failure::from(Error::invalid("app", "must be the app's name, typed again")));
    }
    visitor.pilothouse().apps().delete(&visitor.caller, &app).await?;
    Ok(visitor.done("/apps", "deleted"))
}
