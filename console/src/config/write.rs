//! Forms that change an item: create, update, approve, delete, roll back.

use axum::response::{IntoResponse, Redirect, Response};
use pilothouse_core::config::{Content, ContentChange};
use pilothouse_core::{Error, Result};
use serde::Deserialize;

use crate::config::Place;
use crate::config::profile::{Typed, again};
use crate::failure::{Answer, is_correctable};
use crate::form::{Form, Segments, part};
use crate::page::Visitor;

/// Value of [`Typed::then`] that leads to the publish sheet.
const PUBLISH: &str = "publish";

/// Leads to the publish sheet of an item.
fn sheet(visitor: &Visitor, place: &Place, key: &str) -> Response {
    let prefix = &visitor.visit.console.settings.prefix;
    Redirect::to(&format!("{prefix}{}/publish?key={}", place.path(), part(key))).into_response()
}

/// Browsers send line ends as CR LF, whatever was there.
pub(super) fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// A version that was seen.
fn seen(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::invalid("version", "must be the version that was seen"))
}

/// Creates an item.
pub(crate) async fn post_create(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Form(form): Form<Typed>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let content = Content {
        value: unix_lines(&form.value),
        validator: unix_lines(&form.validator),
        description: unix_lines(&form.description),
    };
    let created = visitor.pilothouse().items().create(&visitor.caller, &place.item(&form.key), content).await;
    match created {
        Ok(_) if form.then == PUBLISH => Ok(sheet(&visitor, &place, &form.key)),
        Ok(_) => Ok(visitor.done(&place.path(), "created")),
        Err(error) if is_correctable(&error) => {
            again(&visitor, place, Typed { version: String::new(), ..form }, &error).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Saves a new version of an item, unless somebody else did since it was seen.
pub(crate) async fn post_update(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Form(form): Form<Typed>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let version = seen(&form.version)?;
    let name = place.item(&form.key);
    let change = ContentChange {
        id: None,
        value: Some(unix_lines(&form.value)),
        validator: Some(unix_lines(&form.validator)),
        description: Some(unix_lines(&form.description)),
    };
    match visitor.pilothouse().items().update(&visitor.caller, &name, change, Some(version)).await {
        Ok(()) if form.then == PUBLISH => Ok(sheet(&visitor, &place, &form.key)),
        Ok(()) => Ok(visitor.done(&place.path(), "saved")),
        Err(error) if is_correctable(&error) => again(&visitor, place, form, &error).await,
        Err(error) => Err(error.into()),
    }
}

/// An item's version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    key: String,
    version: i64,
}

/// Approves the version that was seen.
pub(crate) async fn post_approve(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Form(form): Form<Version>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let name = place.item(&form.key);
    visitor.pilothouse().items().approve(&visitor.caller, &name, Some(form.version)).await?;
    Ok(visitor.done(&place.path(), "approved"))
}

/// An item, by its key typed again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    key: String,
    again: String,
    version: i64,
}

/// Deletes an item; its nodes drop it.
pub(crate) async fn post_delete(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Form(form): Form<Delete>,
) -> Answer {
    if form.again != form.key {
        return Err(Error::invalid("again", "must be the key, typed again").into());
    }
    let place = Place::of(&visitor, app, profile).await?;
    let name = place.item(&form.key);
    visitor.pilothouse().items().delete(&visitor.caller, &name, Some(form.version)).await?;
    Ok(visitor.done(&place.path(), "deleted"))
}

/// Makes a new version with what an old one says.
pub(crate) async fn post_rollback(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Form(form): Form<Version>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let name = place.item(&form.key);
    visitor.pilothouse().items().roll_back(&visitor.caller, &name, form.version).await?;
    Ok(visitor.done(&format!("{}/item?key={}", place.path(), part(&form.key)), "saved"))
}
