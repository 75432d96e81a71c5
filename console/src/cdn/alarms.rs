//! `/cdn/alarms`: what is above its threshold, and edges and logs that want to be looked at.

use askama::Template;
use pilothouse_core::cdn::{Alarm, AlarmKind, AlarmOverview, AlarmQuery, AlarmSubject};
use pilothouse_core::{Error, Order, Page as Rows};
use serde::Deserialize;

use crate::cdn::figure::of_alarm;
use crate::cdn::whose::Whose;
use crate::failure::Answer;
use crate::form::{Query, filled, part};
use crate::page::{Page, Visitor, html, last_of_full};

/// Alarms of one page.
const ROWS: i64 = 100;

/// Filter and part of the list.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    customer: String,
    /// `open`, `ended`, or both where it is empty.
    #[serde(default)]
    state: String,
    #[serde(default)]
    kind: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "alarms.html")]
struct AlarmsPage {
    page: Page,
    whose: Whose,
    shown: Shown,
    rows: Vec<AlarmOverview>,
    kinds: [AlarmKind; 6],
    /// Query of the next page.
    next: Option<String>,
}

/// Domain, or cdn and edge.
fn subject(alarm: &Alarm) -> String {
    match &alarm.subject {
        AlarmSubject::Domain { domain, .. } => domain.clone(),
        AlarmSubject::Edge { cdn, edge } => format!("{cdn} / {edge}"),
    }
}

fn threshold(alarm: &Alarm) -> String {
    of_alarm(alarm.kind, alarm.threshold)
}

fn value(alarm: &Alarm) -> String {
    of_alarm(alarm.kind, alarm.value)
}

/// The list.
pub(crate) async fn get_alarms(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let whose = Whose::of(&visitor, &shown.customer).await?;
    let is_open = match &*shown.state {
        "" => None,
        "open" => Some(true),
        "ended" => Some(false),
        _ => return Err(Error::invalid("state", "must be open or ended").into()),
    };
    let query = AlarmQuery {
        login_email: filled(&shown.customer).filter(|_| whose.is_operator).map(str::to_owned),
        is_open,
        kind: filled(&shown.kind).map(AlarmKind::from_name).transpose()?,
        ..AlarmQuery::default()
    };
    let page = Rows { order: Order::Newest, ..Rows::at(0, ROWS).before(shown.before)? };
    let rows = visitor.pilothouse().alarms().list(&visitor.caller, &query, page).await?.rows;
    let next = last_of_full(&rows, ROWS).map(|last| {
        let [customer, state, kind] = [&shown.customer, &shown.state, &shown.kind].map(|text| part(text));
        format!("customer={customer}&state={state}&kind={kind}&before={}", last.alarm.id)
    });
    let page = visitor.page(visitor.t.delivery().alarms).await?;
    html(&AlarmsPage { page, whose, shown, rows, kinds: AlarmKind::ALL, next })
}
