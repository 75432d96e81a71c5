//! `/level3/alarms`: what is beyond a threshold or out of order, and what was.

use axum::extract::State;
use pilothouse_core::cdn::{Alarm, AlarmKind, AlarmOverview, AlarmQuery};
use pilothouse_core::{Error, Pilothouse};
use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::time;
use crate::envelope::{Done, done};
use crate::optional_member::selector;
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

list_query! {
    /// Filter and page of the alarms.
    pub(super) struct AlarmsQuery {
        /// Only alarms of domains of the customer with this mail.
        #[serde(default, deserialize_with = "selector")]
        #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
        login_email: Option<String>,
        /// Only `open` or only `ended` ones.
        #[serde(default, deserialize_with = "selector")]
        #[param(value_type = Option<String>, pattern = "^(open|ended)$", example = "open")]
        state: Option<String>,
        /// Only alarms of this kind.
        #[serde(default, deserialize_with = "selector")]
        #[param(value_type = Option<String>, pattern = "^(bandwidth|error_ratio|hit_ratio|silent_edge|unreadable_log|log_gap)$", example = "bandwidth")]
        kind: Option<String>,
        /// Only alarms of this domain.
        #[serde(default, deserialize_with = "selector")]
        #[param(value_type = Option<String>, min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
        domain: Option<String>,
        /// Only alarms of edges of this cdn.
        #[serde(default, deserialize_with = "selector")]
        #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "level3")]
        cdn: Option<String>,
        /// Only alarms of edges with this name.
        #[serde(default, deserialize_with = "selector")]
        #[param(value_type = Option<String>, min_length = 1, max_length = 64, example = "edge-1")]
        edge: Option<String>,
    }
}

/// An alarm: one row from its begin to its end.
#[derive(Serialize, ToSchema)]
pub(super) struct AlarmRow {
    /// Number that orders the list; events name it.
    #[schema(example = 7)]
    id: i64,
    /// Of domains `bandwidth`, `error_ratio` (5xx answers) or `hit_ratio`; of edges `silent_edge`, `unreadable_log` or `log_gap`.
    #[schema(
        example = "bandwidth",
        pattern = "^(bandwidth|error_ratio|hit_ratio|silent_edge|unreadable_log|log_gap)$"
    )]
    kind: &'static str,
    /// `open`, or `ended`.
    #[schema(example = "open", pattern = "^(open|ended)$")]
    state: &'static str,
    /// The mail of the customer's account; empty of edges.
    #[schema(example = "user@example.com")]
    login_email: String,
    /// The domain; empty of edges.
    #[schema(example = "cdn.exrqs.com")]
    domain: String,
    /// The cdn of an edge; empty of domains.
    #[schema(example = "")]
    cdn: String,
    /// The edge; empty of domains.
    #[schema(example = "")]
    edge: String,
    /// Threshold that it was last compared with: bits per second, or a share from 0 to 1; `null` of edges.
    #[schema(value_type = Option<f64>, required = true, example = 800_000_000)]
    threshold: Option<Number>,
    /// Worst five minutes so far, in the same unit; `null` of edges.
    #[schema(value_type = Option<f64>, required = true, example = 912_345_678)]
    value: Option<Number>,
    /// Reason; empty of domains.
    #[schema(example = "")]
    reason: String,
    /// Time since which it is out of order, in the server's zone.
    #[schema(example = "2016/09/13 15:40:00")]
    begin: String,
    /// Time up to which it was out of order, in the server's zone, as far as is known.
    #[schema(example = "2016/09/13 15:50:00")]
    seen: String,
    /// Time at which it was found to be over, in the server's zone; empty while it is open.
    #[schema(example = "")]
    end: String,
}

/// Alarms.
#[derive(Serialize, ToSchema)]
pub(super) struct AlarmPage {
    /// A page of them.
    results: Vec<AlarmRow>,
}

fn row(pilothouse: &Pilothouse, overview: AlarmOverview) -> AlarmRow {
    let AlarmOverview { alarm, mail } = overview;
    let (_, domain, cdn, edge) = alarm.subject.columns();
    let Alarm { id, kind, begun, last_seen, ended, .. } = alarm;
    AlarmRow {
        id: id.0,
        kind: kind.as_str(),
        state: if ended.is_none() { "open" } else { "ended" },
        login_email: mail,
        domain: domain.to_owned(),
        cdn: cdn.to_owned(),
        edge: edge.to_owned(),
        threshold: alarm.shown(alarm.threshold),
        value: alarm.shown(alarm.value),
        reason: alarm.reason.clone(),
        begin: time(pilothouse, begun),
        seen: time(pilothouse, last_seen),
        end: ended.map(|at| time(pilothouse, at)).unwrap_or_default(),
    }
}

/// Lists alarms: with group 8 those of all customers and edges, else those of the caller's own domains.
#[utoipa::path(
    get,
    path = "/level3/alarms",
    tag = "cdn",
    params(AlarmsQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any customer; group 8 for all"))),
    responses((
        status = 200,
        description = "The alarms.",
        body = Done<AlarmPage>,
        headers(("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it.")),
    )),
)]
pub(super) async fn get_alarms(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<AlarmsQuery>,
) -> ListReply<Done<AlarmPage>> {
    let page = query.page()?;
    let AlarmsQuery { login_email, state, kind, domain, cdn, edge, .. } = query;
    let is_open = match state.as_deref() {
        None => None,
        Some("open") => Some(true),
        Some("ended") => Some(false),
        Some(_) => return Err(Error::invalid("state", "must be open or ended").into()),
    };
    let kind = kind.map(|name| AlarmKind::from_name(&name)).transpose()?;
    let query = AlarmQuery { login_email, is_open, kind, domain, cdn, edge };
    let found = api.pilothouse.alarms().list(&caller, &query, page).await?;
    listed(found, page, |overview| row(&api.pilothouse, overview), |results| done(AlarmPage { results }))
}
