//! `…/publish?key=`: what changes, for which nodes, and the publish itself.

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use pilothouse_core::config::{Item, Node, Percent, Preview, Selector};
use pilothouse_core::{Error, Result};
use serde::Deserialize;

use crate::config::Place;
use crate::config::diff::{DiffLine, all_added, lines};
use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query, Segments, filled};
use crate::page::{Page, Visitor, html, html_again};

/// The most nodes that are offered by name.
pub(super) const NODES: usize = 200;

/// Item and nodes, as they are chosen in the form.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    key: String,
    #[serde(default)]
    version: String,
    /// `all`, `percent`, `labels` or `nodes`.
    #[serde(default)]
    to: String,
    #[serde(default)]
    percent: String,
    #[serde(default)]
    labels: String,
    #[serde(default)]
    nodes: String,
}

impl Choice {
    fn selector(&self) -> Result<Selector> {
        let Self { to, percent, labels, nodes, .. } = self;
        Chosen { to, percent, labels, nodes }.selector()
    }
}

/// Choice of nodes, as it is typed.
pub(super) struct Chosen<'a> {
    pub(super) to: &'a str,
    pub(super) percent: &'a str,
    pub(super) labels: &'a str,
    pub(super) nodes: &'a str,
}

impl Chosen<'_> {
    /// The nodes that are meant; what was typed for another choice is not.
    pub(super) fn selector(&self) -> Result<Selector> {
        let mut selector = Selector { stays_grey: true, ..Selector::default() };
        match self.to {
            "" | "all" => selector.stays_grey = false,
            "percent" => {
                let share: i64 = self
                    .percent
                    .trim()
                    .parse()
                    .map_err(|_| Error::invalid("percent", "must be from 1 to 100"))?;
                selector.percent = Some(Percent::try_from(share)?);
            }
            "labels" => selector.labels = Some(self.labels.parse()?),
            "nodes" => {
                // A list is typed or pasted with commas, blanks or lines.
                let names: Vec<_> = self.nodes.split([',', '\n', '\r', ' ']).filter_map(filled).collect();
                selector.nodes = Some(names.join(",").parse()?);
            }
            _ => return Err(Error::invalid("to", "must be all, percent, labels or nodes")),
        }
        Ok(selector)
    }
}

#[derive(Template)]
#[template(path = "publish.html")]
struct PublishPage {
    page: Page,
    place: Place,
    item: Item,
    diff: Vec<DiffLine>,
    choice: Choice,
    preview: Option<Preview>,
    nodes: Vec<Node>,
    online: usize,
    /// Whether this publishes and approves at once.
    approves: bool,
}

async fn sheet(visitor: &Visitor, place: Place, choice: Choice) -> Result<PublishPage, Failure> {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    if !place.manages {
        return Err(Error::Forbidden.into());
    }
    let name = place.item(&choice.key);
    let item = pilothouse.items().find(caller, &name).await?;
    let (from, to) = (item.published_version, item.current.version);
    let diff = match from {
        0 => all_added(&item.current.content.value),
        _ if from == to => Vec::new(),
        _ => lines(&pilothouse.items().diff(caller, &name, from, to).await?),
    };
    let mut nodes = pilothouse.nodes().list(caller, &place.app, &place.profile).await?;
    let online = nodes.len();
    nodes.truncate(NODES);
    let approves = item.current.approver.is_none();
    let page = visitor.page(format!("{} {}", visitor.t.publish, item.key)).await?;
    let choice = Choice { version: to.to_string(), ..choice };
    Ok(PublishPage { page, place, item, diff, choice, preview: None, nodes, online, approves })
}

/// The sheet; with a choice of nodes, how many that are.
pub(crate) async fn get_publish(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Query(choice): Query<Choice>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    let name = place.item(&choice.key);
    let mut sheet = sheet(&visitor, place, choice).await?;
    let selector = match sheet.choice.selector() {
        Ok(selector) => selector,
        Err(error) => {
            sheet.page = sheet.page.with_problem(&error);
            return html_again(&sheet, &error);
        }
    };
    match visitor.pilothouse().releases().preview(&visitor.caller, &name, &selector).await {
        Ok(preview) => sheet.preview = Some(preview),
        Err(error) if is_correctable(&error) || matches!(error, Error::NotFound(_)) => {
            sheet.page = sheet.page.with_problem(&error);
            return html_again(&sheet, &error);
        }
        Err(error) => return Err(error.into()),
    }
    html(&sheet)
}

/// Publishes the version that was seen, and approves it before where nobody has. Leads to the rollout.
pub(crate) async fn post_publish(
    visitor: Visitor,
    Segments((app, profile)): Segments<(String, String)>,
    Form(choice): Form<Choice>,
) -> Answer {
    let place = Place::of(&visitor, app, profile).await?;
    match publish(&visitor, &place, &choice).await {
        Ok(id) => {
            let prefix = &visitor.visit.console.settings.prefix;
            Ok(Redirect::to(&format!("{prefix}{}/releases/{id}", place.path())).into_response())
        }
        Err(error) if is_correctable(&error) || matches!(error, Error::NotFound(_)) => {
            let mut sheet = sheet(&visitor, place, choice).await?;
            sheet.page = sheet.page.with_problem(&error);
            html_again(&sheet, &error)
        }
        Err(error) => Err(error.into()),
    }
}

async fn publish(visitor: &Visitor, place: &Place, choice: &Choice) -> Result<i64> {
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let selector = choice.selector()?;
    let version: i64 =
        choice.version.parse().map_err(|_| Error::invalid("version", "must be the version that was seen"))?;
    let name = place.item(&choice.key);
    let item = pilothouse.items().find(caller, &name).await?;
    // Refused before the approval, so that a wrong choice of nodes approves nothing.
    pilothouse.releases().preview(caller, &name, &selector).await?;
    if item.current.version == version && item.current.approver.is_none() {
        pilothouse.items().approve(caller, &name, Some(version)).await?;
    }
    Ok(pilothouse.releases().publish(caller, item.id, &selector, Some(version)).await?.release.0)
}
