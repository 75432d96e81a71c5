//! `…/text`: all items of a profile as one text, whose changes are one change set.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use askama::Template;
use axum::response::Response;
use pilothouse_config_exchange::{Entry, properties};
use pilothouse_core::config::{Change, ContentChange, HistoryQuery, Item, ItemChange, NewChangeSet};
use pilothouse_core::{Error, Result};
use serde::Deserialize;

use crate::config::Place;
use crate::config::planned::{Planned, planned};
use crate::config::write::unix_lines;
use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Segments};
use crate::page::{Page, Visitor, html, html_again};

/// The longest text that is shown to be edited.
const SHOWN: usize = 2 << 20;

/// The text, as it was edited.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextForm {
    text: String,
    #[serde(default)]
    title: String,
    /// Version and key of each item that the text was made of, one a line.
    #[serde(default)]
    base: String,
    /// `save`; else only what that would do is shown.
    #[serde(default)]
    then: String,
}

#[derive(Template)]
#[template(path = "text.html")]
struct TextPage {
    page: Page,
    place: Place,
    form: TextForm,
    /// Whether the items are too long to be shown as one text.
    is_too_long: bool,
    planned: Option<Planned>,
    dropped: Vec<String>,
}

fn entry(item: &Item) -> Entry {
    let content = &item.current.content;
    Entry { key: item.key.clone(), value: content.value.clone(), description: content.description.clone() }
}

/// Items as a text, and what it was made of.
fn written(items: &[Item]) -> (String, String) {
    let entries: Vec<Entry> = items.iter().map(entry).collect();
    let base = items.iter().fold(String::new(), |mut base, item| {
        // Writing to a string does not fail.
        let _ = writeln!(base, "{} {}", item.current.version, item.key);
        base
    });
    (properties::write_readable(&entries), base)
}

async fn page_of(visitor: &Visitor, place: Place, form: TextForm) -> Result<TextPage, Failure> {
    let title = format!("{} / {} · {}", place.app, place.profile, visitor.t.config().text_mode);
    let page = visitor.page(title).await?;
    Ok(TextPage { page, place, form, is_too_long: false, planned: None, dropped: Vec::new() })
}

/// The items as one text.
pub(crate) async fn get_text(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    if !place.develops {
        return Err(Error::Forbidden.into());
    }
    let mut items = visitor.pilothouse().items().list(&visitor.caller, &place.app, &place.profile).await?;
    items.sort_by(|one, other| one.key.cmp(&other.key));
    let (text, base) = written(&items);
    let is_too_long = text.len() > SHOWN;
    let form = if is_too_long { TextForm::default() } else { TextForm { text, base, ..TextForm::default() } };
    html(&TextPage { is_too_long, ..page_of(&visitor, place, form).await? })
}

/// Shows what the text changes, or makes it a change set.
pub(crate) async fn post_text(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Form(form): Form<TextForm>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    if !place.develops {
        return Err(Error::Forbidden.into());
    }
    match edit(&visitor, &place, &form).await {
        Ok(Edit::Saved(response)) => Ok(response),
        Ok(Edit::Shown { planned, dropped, refusal }) => {
            let mut shown = page_of(&visitor, place, form).await?;
            (shown.planned, shown.dropped) = (Some(planned), dropped);
            match refusal {
                None => html(&shown),
                Some(error) => {
                    shown.page = shown.page.with_problem(&error);
                    html_again(&shown, &error)
                }
            }
        }
        Err(Failure::Domain(error)) if matches!(*error, Error::Forbidden) => {
            // To whoever may change items only a deletion is refused, and what was typed is not lost by that.
            let mut shown = page_of(&visitor, place, form).await?;
            visitor.t.config().may_not_delete.clone_into(&mut shown.page.problem);
            html_again(&shown, &error)
        }
        Err(Failure::Domain(error)) if is_correctable(&error) => {
            let mut shown = page_of(&visitor, place, form).await?;
            shown.page = shown.page.with_problem(&error);
            html_again(&shown, &error)
        }
        Err(failure) => Err(failure),
    }
}

/// Outcome of an edited text.
enum Edit {
    Saved(Response),
    Shown { planned: Planned, dropped: Vec<String>, refusal: Option<Error> },
}

async fn edit(visitor: &Visitor, place: &Place, form: &TextForm) -> Result<Edit, Failure> {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let text = unix_lines(&form.text);
    let read = properties::read("text", text.as_bytes());
    let read = read.map_err(|failure| Error::invalid(failure.place, failure.reason))?;
    let items = pilothouse.items().list(caller, &place.app, &place.profile).await?;
    let changes = changes(visitor, place, &form.base, (read.entries, &items)).await?;
    if changes.is_empty() {
        let (planned, dropped) = (Planned::default(), read.dropped.into_texts());
        return Ok(Edit::Shown { planned, dropped, refusal: None });
    }
    let new = NewChangeSet {
        app: place.app.clone(),
        profile: place.profile.clone(),
        changes: changes.clone(),
        title: form.title.trim().to_owned(),
        ..NewChangeSet::default()
    };
    let sets = pilothouse.change_sets();
    let mut refusal = None;
    if form.then == "save" {
        match sets.apply(caller, new.clone()).await {
            Ok(applied) => {
                let path = match applied.change_set {
                    Some(id) => format!("{}/changesets/{id}", place.path()),
                    // Only what was never released is deleted without a set.
                    None => place.path(),
                };
                return Ok(Edit::Saved(visitor.done(&path, "saved")));
            }
            Err(error) if is_correctable(&error) => refusal = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    let applied = sets.apply(caller, NewChangeSet { dry_run: true, ..new }).await?;
    let planned = planned(applied, changes, items).await?;
    Ok(Edit::Shown { planned, dropped: read.dropped.into_texts(), refusal })
}

/// The changes between what the text was made of and what it says. What was changed elsewhere meanwhile, and not here, stays.
async fn changes(
    visitor: &Visitor,
    place: &Place,
    base: &str,
    (entries, items): (Vec<Entry>, &[Item]),
) -> Result<Vec<Change>> {
    let wrong = || Error::invalid("base", "must be a version and a key in each line");
    let mut seen: HashMap<&str, i64> = HashMap::new();
    for line in base.lines().filter(|line| !line.is_empty()) {
        let (version, key) = line.split_once(' ').ok_or_else(wrong)?;
        seen.insert(key, version.parse().map_err(|_| wrong())?);
    }
    let current: HashMap<&str, &Item> = items.iter().map(|item| (&*item.key, item)).collect();
    let mut changes = Vec::new();
    let mut kept: HashSet<String> = HashSet::new();
    for entry in entries {
        kept.insert(entry.key.clone());
        let version = seen.get(&*entry.key).copied().unwrap_or(0);
        let before = match current.get(&*entry.key) {
            Some(item) if item.current.version == version => Some(shown(self::entry(item))),
            _ if version > 0 => old(visitor, place, &entry.key, version).await?.map(shown),
            _ => None,
        };
        if before.as_ref() == Some(&entry) {
            continue;
        }
        let is_described = before.is_none_or(|before| before.description != entry.description);
        let Entry { key, value, description } = entry;
        let description = Some(description).filter(|_| is_described);
        let content = ContentChange { value: Some(value), description, ..ContentChange::default() };
        changes.push(Change { key, seen: Some(version), item: ItemChange::Content(content) });
    }
    let mut gone: Vec<(&str, i64)> = seen.into_iter().filter(|(key, _)| !kept.contains(*key)).collect();
    gone.retain(|(key, _)| current.contains_key(key));
    gone.sort_unstable();
    changes.extend(gone.into_iter().map(|(key, version)| Change {
        key: key.to_owned(),
        seen: Some(version),
        item: ItemChange::Delete,
    }));
    Ok(changes)
}

/// An entry as it is read from the text that shows it: a comment knows one kind of line end.
fn shown(entry: Entry) -> Entry {
    let written = properties::write_readable(std::slice::from_ref(&entry));
    let read =
        properties::read("text", written.as_bytes()).ok().and_then(|read| read.entries.into_iter().next());
    read.unwrap_or(entry)
}

/// Entry as a version had it.
async fn old(visitor: &Visitor, place: &Place, key: &str, version: i64) -> Result<Option<Entry>> {
    let query = HistoryQuery { before: Some(version + 1), count: Some(1), has_values: true };
    let rows = match visitor.pilothouse().items().history(&visitor.caller, &place.item(key), query).await {
        Ok(list) => list.rows,
        Err(Error::NotFound(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let found = rows.into_iter().find(|row| row.version == version);
    Ok(found.map(|row| Entry {
        key: key.to_owned(),
        value: row.content.value,
        description: row.content.description,
    }))
}
