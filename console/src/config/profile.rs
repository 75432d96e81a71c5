//! `/apps/{app}/profiles/{profile}`: the table of items, one of which may be edited in place.

use askama::Template;
use pilothouse_core::Error;
use pilothouse_core::config::Item;
use serde::Deserialize;

use crate::config::Place;
use crate::failure::{Answer, Failure};
use crate::form::{Query, Segments, filled, part};
use crate::page::{Names, Page, Visitor, html, html_again};

/// Items of one page.
const ROWS: usize = 1000;
/// The most characters of a value in the table.
const SHOWN: usize = 300;

/// Part of the table that is shown.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    /// `changed` or `unapproved`; else all.
    #[serde(default)]
    show: String,
    #[serde(default)]
    text: String,
    /// Key of the item that is edited.
    #[serde(default)]
    edit: String,
    /// Number of rows before those of the page.
    #[serde(default)]
    start: usize,
}

/// Fields of an item that is created or changed.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Typed {
    pub(crate) key: String,
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) validator: String,
    #[serde(default)]
    pub(crate) description: String,
    /// Version that was seen; none of a new one.
    #[serde(default)]
    pub(crate) version: String,
    /// `publish`: to the publish sheet next.
    #[serde(default)]
    pub(crate) then: String,
}

/// An item in the table.
struct Row {
    item: Item,
    /// Key as a value of a URL's query.
    query: String,
    who: String,
    state: ItemState,
    /// Whether the caller may approve it; not their own under four-eyes.
    may_approve: bool,
    may_publish: bool,
    /// The fields, where it is edited.
    typed: Option<Typed>,
    /// Value that somebody else saved meanwhile.
    theirs: Option<String>,
}

/// State of an item's current version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemState {
    Published,
    Approved,
    Unapproved,
}

impl ItemState {
    fn of(item: &Item) -> Self {
        if item.current.version == item.published_version {
            Self::Published
        } else if item.current.approver.is_some() {
            Self::Approved
        } else {
            Self::Unapproved
        }
    }
}

impl Row {
    fn of(item: Item, place: &Place, visitor: &Visitor, names: &Names) -> Self {
        let state = ItemState::of(&item);
        let own = item.current.modifier == visitor.caller.id;
        let may_approve = place.manages && state == ItemState::Unapproved && !(place.four_eyes && own);
        Self {
            who: names.name(item.current.modifier),
            may_approve,
            may_publish: place.manages && (state == ItemState::Approved || may_approve),
            state,
            query: part(&item.key),
            item,
            typed: None,
            theirs: None,
        }
    }

    fn edit(&mut self) {
        let content = &self.item.current.content;
        self.typed = Some(Typed {
            key: self.item.key.clone(),
            value: content.value.clone(),
            validator: content.validator.clone(),
            description: content.description.clone(),
            version: self.item.current.version.to_string(),
            then: String::new(),
        });
    }
}

/// Language in which the editor shows a value, by its validator or the end of its key; empty where neither says one.
pub(super) fn language(key: &str, validator: &str) -> &'static str {
    let named = validator.split(':').next().unwrap_or_default();
    let named = if named == "jsonschema" { "json" } else { named };
    let end = key.rsplit_once('.').map_or("", |(_, end)| end);
    let known = |name: &str| match name {
        "json" => Some("json"),
        "yaml" | "yml" => Some("yaml"),
        "toml" => Some("toml"),
        "xml" => Some("xml"),
        "properties" => Some("properties"),
        _ => None,
    };
    known(named).or_else(|| known(end)).unwrap_or_default()
}

/// Beginning of a value.
pub(super) fn short(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

#[derive(Template)]
#[template(path = "profile.html")]
struct ProfilePage {
    page: Page,
    place: Place,
    shown: Shown,
    rows: Vec<Row>,
    all: usize,
    /// Number of items that pass the filter.
    passing: usize,
    /// Start of the next page.
    next: Option<usize>,
    create: Typed,
    is_creating: bool,
}

/// The table.
pub(crate) async fn get_profile(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Query(shown): Query<Shown>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    html(&table(&visitor, place, shown).await?)
}

async fn table(visitor: &Visitor, place: Place, shown: Shown) -> Result<ProfilePage, Failure> {
    let items = visitor.pilothouse().items().list(&visitor.caller, &place.app, &place.profile).await?;
    let names = Names::of(visitor, items.iter().map(|item| item.current.modifier).collect()).await?;
    let all = items.len();
    let text = filled(&shown.text);
    let passes = |row: &Row| match &*shown.show {
        _ if row.item.key == shown.edit => true,
        "changed" => row.state != ItemState::Published,
        "unapproved" => row.state == ItemState::Unapproved,
        _ => true,
    };
    let holds = |item: &Item| {
        text.is_none_or(|text| item.key.contains(text) || item.current.content.value.contains(text))
    };
    let items = items.into_iter().filter(holds);
    let mut rows: Vec<Row> =
        items.map(|item| Row::of(item, &place, visitor, &names)).filter(passes).collect();
    rows.sort_by(|one, other| one.item.key.cmp(&other.item.key));
    let passing = rows.len();
    // What is edited is on the page, wherever that begins.
    let edited = rows.iter_mut().position(|row| row.item.key == shown.edit);
    let start = edited.map_or(shown.start, |at| at / ROWS * ROWS);
    if let Some(at) = edited {
        rows[at].edit();
    }
    rows = rows.into_iter().skip(start).take(ROWS).collect();
    let next = Some(start.saturating_add(ROWS)).filter(|next| *next < passing);
    let page = visitor.page(format!("{} / {}", place.app, place.profile)).await?;
    let is_creating = all == 0;
    Ok(ProfilePage { page, place, shown, rows, all, passing, next, create: Typed::default(), is_creating })
}

/// The table again, with the form that was not done. Where somebody else was faster, it shows both texts, and the version
/// that is now seen.
pub(super) async fn again(visitor: &Visitor, place: Place, typed: Typed, error: &Error) -> Answer {
    let shown = Shown { edit: typed.key.clone(), ..Shown::default() };
    let mut table = table(visitor, place, shown).await?;
    table.page = table.page.with_problem(error);
    let edited = table.rows.iter_mut().find(|row| row.item.key == typed.key && !typed.version.is_empty());
    match edited {
        Some(row) => {
            let current = row.item.current.version.to_string();
            if typed.version != current {
                row.theirs = Some(row.item.current.content.value.clone());
            }
            row.typed = Some(Typed { version: current, ..typed });
        }
        None => {
            for row in &mut table.rows {
                row.typed = None;
            }
            table.create = typed;
            table.is_creating = true;
        }
    }
    html_again(&table, error)
}
