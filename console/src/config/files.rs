//! `…/files`: a profile as a file: export, and import with a dry run before.

use std::borrow::Borrow;

use askama::Template;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pilothouse_config_exchange::{Entry, Format, Profile, Target};
use pilothouse_core::config::{Change, ContentChange, ExportedProfile, ItemChange, NewChangeSet};
use pilothouse_core::{Error, Result};
use serde::Deserialize;

use crate::config::Place;
use crate::config::planned::{Planned, planned};
use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Query, Segments, Upload};
use crate::page::{Page, Visitor, html, html_again};

/// The longest file that the page after a dry run holds, so that it need not be chosen again.
const HELD: usize = 4 << 20;

/// Name of a format for people.
fn format_name(format: impl Borrow<Format>) -> &'static str {
    match format.borrow() {
        Format::Properties => ".properties",
        Format::Yaml => "YAML",
        Format::Json => "JSON",
        Format::Apollo => "Apollo (zip)",
        Format::Nacos => "Nacos (zip)",
    }
}

/// Fields that were filled in, without the file.
#[derive(Default)]
struct Typed {
    format: String,
    env: String,
    title: String,
    /// The file of the dry run before, in Base64.
    content: String,
}

#[derive(Template)]
#[template(path = "files.html")]
struct FilesPage {
    page: Page,
    place: Place,
    typed: Typed,
    planned: Option<Planned>,
    dropped: Vec<String>,
}

async fn page_of(visitor: &Visitor, place: Place, typed: Typed) -> Result<FilesPage, Failure> {
    let title = format!("{} / {} · {}", place.app, place.profile, visitor.t.config().files);
    let page = visitor.page(title).await?;
    Ok(FilesPage { page, place, typed, planned: None, dropped: Vec::new() })
}

/// The page.
pub(crate) async fn get_files(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    visitor.pilothouse().items().list(&visitor.caller, &place.app, &place.profile).await?;
    html(&page_of(&visitor, place, Typed::default()).await?)
}

/// An import as it was sent.
struct Import {
    typed: Typed,
    file: Vec<u8>,
    is_applied: bool,
}

impl Import {
    fn of(fields: Vec<(String, Vec<u8>)>) -> Result<Self, Failure> {
        let mut import = Self { typed: Typed::default(), file: Vec::new(), is_applied: false };
        let mut pasted = Vec::new();
        for (name, value) in fields {
            let text = |value: Vec<u8>| {
                let wrong = |_| Failure::Unreadable(format!("{name}: must be UTF-8"));
                String::from_utf8(value).map_err(wrong)
            };
            match &*name {
                "file" => import.file = value,
                "text" => pasted = value,
                "format" => import.typed.format = text(value)?,
                "env" => import.typed.env = text(value)?,
                "title" => import.typed.title = text(value)?,
                "content" => import.typed.content = text(value)?,
                "then" => import.is_applied = value == b"apply",
                _ => return Err(Failure::Unreadable(format!("unknown field `{name}`"))),
            }
        }
        if import.file.is_empty() {
            import.file = pasted;
        }
        if import.file.is_empty() && !import.typed.content.is_empty() {
            let held = STANDARD.decode(&import.typed.content);
            import.file = held.map_err(|_| Failure::Unreadable("content: must be Base64".to_owned()))?;
        }
        import.typed.content = String::new();
        Ok(import)
    }

    /// The file's profile as changes of that place, and what was left out of it.
    fn changes(&self, place: &Place) -> Result<(Vec<Change>, Vec<String>)> {
        let Typed { format, env, .. } = &self.typed;
        let format = Format::from_name(format)
            .ok_or_else(|| Error::invalid("format", "must be properties, yaml, json, apollo or nacos"))?;
        if self.file.is_empty() {
            return Err(Error::invalid("file", "must be chosen, or its text pasted"));
        }
        let env = Some(env.trim()).filter(|env| !env.is_empty() && format == Format::Apollo);
        let target = Target { app: Some(&place.app), profile: Some(&place.profile), env };
        let read = format.read("file", &self.file, target);
        let (profiles, dropped) = read.map_err(|failure| Error::invalid(failure.place, failure.reason))?;
        let changes = profiles.into_iter().flat_map(|profile| profile.entries).map(change).collect();
        Ok((changes, dropped.into_texts()))
    }
}

/// Changes of an entry: what it does not say stays.
fn change(entry: Entry) -> Change {
    let Entry { key, value, description } = entry;
    let description = Some(description).filter(|description| !description.is_empty());
    let content = ContentChange { value: Some(value), description, ..ContentChange::default() };
    Change { key, seen: None, item: ItemChange::Content(content) }
}

/// Shows what a file would change, or makes it a change set.
pub(crate) async fn post_file(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Upload(fields): Upload,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let sets = visitor.pilothouse().change_sets();
    sets.check_caller(&visitor.caller, Some(&place.app), Some(&place.profile)).await?;
    let import = Import::of(fields)?;
    // Unpacking and reading 64 MiB takes long enough to keep others waiting.
    let read = tokio::task::spawn_blocking(move || {
        let changes = import.changes(&place);
        (import, place, changes)
    });
    let (import, place, read) = read.await.map_err(|error| Error::Internal(format!("an import: {error}")))?;
    let (changes, dropped) = match read {
        Ok(read) => read,
        Err(error) => return again(&visitor, place, import.typed, &error).await,
    };
    let new = NewChangeSet {
        app: place.app.clone(),
        profile: place.profile.clone(),
        changes: changes.clone(),
        title: import.typed.title.trim().to_owned(),
        dry_run: !import.is_applied,
        ..NewChangeSet::default()
    };
    let applied = match sets.apply(&visitor.caller, new).await {
        Ok(applied) => applied,
        Err(error) if is_correctable(&error) => return again(&visitor, place, import.typed, &error).await,
        Err(error) => return Err(error.into()),
    };
    if let Some(id) = applied.change_set {
        return Ok(visitor.done(&format!("{}/changesets/{id}", place.path()), "saved"));
    }
    let items = visitor.pilothouse().items().list(&visitor.caller, &place.app, &place.profile).await?;
    let planned = planned(applied, changes, items).await?;
    let Import { mut typed, file, .. } = import;
    if file.len() <= HELD {
        typed.content = STANDARD.encode(&file);
    }
    let shown = page_of(&visitor, place, typed).await?;
    html(&FilesPage { planned: Some(planned), dropped, ..shown })
}

/// The page with what is wrong.
async fn again(visitor: &Visitor, place: Place, typed: Typed, error: &Error) -> Answer {
    let mut shown = page_of(visitor, place, typed).await?;
    shown.page = shown.page.with_problem(error);
    html_again(&shown, error)
}

/// Format of an export.
#[derive(Deserialize)]
pub(crate) struct Export {
    format: String,
}

/// The current values of the profile as a file.
pub(crate) async fn get_export(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Query(export): Query<Export>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let format = Format::from_name(&export.format).filter(|format| Format::WRITTEN.contains(format));
    let format =
        format.ok_or_else(|| Error::invalid("format", "must be properties, yaml, json or apollo"))?;
    let items = visitor.pilothouse().items();
    let exported = items.export(&visitor.caller, &place.app, Some(&place.profile)).await?;
    let name = format!("{}-{}.{}", place.app, place.profile, format.extension());
    let written = tokio::task::spawn_blocking(move || format.write(&profiles(&place.app, exported))).await;
    let written = written.map_err(|error| Error::Internal(format!("an export: {error}")))?;
    let written = written.map_err(|failure| Error::Internal(failure.to_string()))?;
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let disposition = disposition.map_err(|error| Error::Internal(format!("a file name: {error}")))?;
    let kind = HeaderValue::from_static(format.content_type());
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)];
    let response: Response = (headers, written).into_response();
    Ok(response)
}

fn profiles(app: &str, exported: Vec<ExportedProfile>) -> Vec<Profile> {
    let profiles = exported.into_iter().map(|ExportedProfile { profile, items }| {
        let entries = items.into_iter().map(|item| {
            let content = item.current.content;
            Entry { key: item.key, value: content.value, description: content.description }
        });
        Profile { app: app.to_owned(), profile, entries: entries.collect() }
    });
    profiles.collect()
}
