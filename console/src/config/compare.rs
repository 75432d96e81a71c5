//! `/compare`: two profiles, of one app or of two, side by side; and a copy of chosen keys as a change set.

use std::collections::HashSet;

use askama::Template;
use axum::response::Response;
use pilothouse_core::config::{Copy, ItemDifference, Permission, Side};
use pilothouse_core::{Error, Result};
use serde::Deserialize;

use crate::config::Place;
use crate::config::diff::{DiffLine, between};
use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query, filled};
use crate::page::{Page, Visitor, html, html_again};

/// Keys of one page.
const ROWS: usize = 200;
/// The longest value that is shown whole beside another; longer ones are shown as their difference.
const SHOWN: usize = 200;
/// The most bytes of values of a page that are compared, which bounds the time it takes.
const COMPARED: usize = 4 << 20;

/// The profiles that are compared: from the left one to the other.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct Sides {
    #[serde(default)]
    app: String,
    #[serde(default)]
    profile: String,
    #[serde(default)]
    with_app: String,
    #[serde(default)]
    with_profile: String,
    #[serde(default)]
    start: usize,
}

impl Sides {
    fn left(&self) -> Side<'_> {
        Side { app: self.app.trim(), profile: self.profile.trim() }
    }

    /// The other profile; of the same app where no other is named.
    fn right(&self) -> Side<'_> {
        let app = filled(&self.with_app).unwrap_or(self.app.trim());
        Side { app, profile: self.with_profile.trim() }
    }

    fn is_whole(&self) -> bool {
        [&self.app, &self.profile, &self.with_profile].iter().all(|name| filled(name).is_some())
    }
}

/// A key whose values differ.
struct Row {
    key: String,
    left: Option<String>,
    right: Option<String>,
    /// Difference of long values, in place of them.
    diff: Vec<DiffLine>,
    is_chosen: bool,
}

#[derive(Default)]
struct Comparison {
    rows: Vec<Row>,
    differing: usize,
    only_left: usize,
    only_right: usize,
    /// Start of the next page.
    next: Option<usize>,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    page: Page,
    sides: Sides,
    compared: Option<Comparison>,
    title: String,
    may_copy: bool,
}

/// The page. Without both sides nothing is compared yet.
pub(crate) async fn get_compare(visitor: Visitor, Query(sides): Query<Sides>) -> Answer {
    visitor.pilothouse().change_sets().check_caller(&visitor.caller, None, None).await?;
    if !sides.is_whole() {
        let page = visitor.page(visitor.t.compare).await?;
        return html(&ComparePage { page, sides, compared: None, title: String::new(), may_copy: false });
    }
    match compare(&visitor, &sides, HashSet::new()).await {
        Ok(shown) => html(&shown),
        Err(Failure::Domain(error)) if is_correctable(&error) || matches!(*error, Error::Forbidden) => {
            // Names that were typed wrongly are refused like foreign ones, and can be corrected.
            let page = visitor.page(visitor.t.compare).await?.with_problem(&error);
            let shown = ComparePage { page, sides, compared: None, title: String::new(), may_copy: false };
            html_again(&shown, &error)
        }
        Err(failure) => Err(failure),
    }
}

async fn compare(visitor: &Visitor, sides: &Sides, chosen: HashSet<String>) -> Result<ComparePage, Failure> {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let (left, right) = (sides.left(), sides.right());
    let differences = pilothouse.items().compare(caller, left, right).await?;
    let held = pilothouse.grants().held(caller, right.app, Some(right.profile)).await?;
    let start = sides.start;
    let compared = tokio::task::spawn_blocking(move || comparison(differences, start, &chosen)).await;
    let compared = compared.map_err(|error| Error::Internal(format!("comparing values: {error}")))?;
    let title = format!("{} / {} → {} / {}", left.app, left.profile, right.app, right.profile);
    let page = visitor.page(format!("{} {title}", visitor.t.compare)).await?;
    let may_copy = held >= Some(Permission::Develop);
    Ok(ComparePage { page, sides: sides.clone(), compared: Some(compared), title, may_copy })
}

fn comparison(differences: Vec<ItemDifference>, start: usize, chosen: &HashSet<String>) -> Comparison {
    let mut compared = Comparison::default();
    let mut bytes = 0;
    for (n, ItemDifference { key, left, right }) in differences.into_iter().enumerate() {
        match (&left, &right) {
            (Some(_), None) => compared.only_left += 1,
            (None, Some(_)) => compared.only_right += 1,
            _ => compared.differing += 1,
        }
        if n < start {
            continue;
        }
        if compared.rows.len() >= ROWS {
            compared.next = Some(start.saturating_add(ROWS));
            continue;
        }
        let lengths = [&left, &right].map(|value| value.as_ref().map_or(0, String::len));
        let is_long = lengths.iter().any(|length| *length > SHOWN);
        bytes += lengths.iter().sum::<usize>();
        let diff = if is_long && bytes <= COMPARED {
            between(left.as_deref().unwrap_or_default(), right.as_deref().unwrap_or_default())
        } else {
            Vec::new()
        };
        let is_chosen = chosen.contains(&key);
        compared.rows.push(Row { key, left, right, diff, is_chosen });
    }
    compared
}

/// Copies the chosen keys from the left profile to the other, as one change set there.
pub(crate) async fn post_copy(visitor: Visitor, Form(pairs): Form<Vec<(String, String)>>) -> Answer {
    let (mut sides, mut title, mut keys) = (Sides::default(), String::new(), Vec::new());
    for (name, value) in pairs {
        match &*name {
            "app" => sides.app = value,
            "profile" => sides.profile = value,
            "with_app" => sides.with_app = value,
            "with_profile" => sides.with_profile = value,
            "title" => title = value,
            "key" => keys.push(value),
            _ => return Err(Failure::Unreadable(format!("unknown field `{name}`"))),
        }
    }
    match copy(&visitor, &sides, &keys, &title).await {
        Ok(response) => Ok(response),
        Err(error) if is_correctable(&error) && sides.is_whole() => {
            let mut shown = compare(&visitor, &sides, keys.into_iter().collect()).await?;
            shown.title = title;
            shown.page = shown.page.with_problem(&error);
            html_again(&shown, &error)
        }
        Err(error) => Err(error.into()),
    }
}

async fn copy(visitor: &Visitor, sides: &Sides, keys: &[String], title: &str) -> Result<Response> {
    if keys.is_empty() {
        return Err(Error::invalid("key", "at least one must be chosen"));
    }
    let copy = Copy { keys, title: title.trim(), dry_run: false };
    let (left, right) = (sides.left(), sides.right());
    let applied = visitor.pilothouse().change_sets().copy(&visitor.caller, left, right, copy).await?;
    let place = Place::with(visitor, right.app.to_owned(), right.profile.to_owned(), None);
    let path = match applied.change_set {
        Some(id) => format!("{}/changesets/{id}", place.path()),
        None => place.path(),
    };
    Ok(visitor.done(&path, "saved"))
}
