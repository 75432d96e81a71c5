//! `/level3/unregistered`: hosts that edges were asked for and that no customer has.

use axum::extract::State;
use chrono::DateTime;
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::NamedUnregisteredHost;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::time;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Cdn whose unregistered hosts are listed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UnregisteredQuery {
    /// The name of a cdn; all of them without it.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "level3")]
    cdn: Option<String>,
}

/// An unregistered host and what is kept aside of it.
#[derive(Serialize, ToSchema)]
pub(super) struct UnregisteredRow {
    /// The cdn whose edges were asked for the host, by name.
    #[schema(example = "level3")]
    cdn: String,
    /// The host; `*` stands for all hosts of which nothing is kept aside any more because there was too much.
    #[schema(example = "late.example.com")]
    host: String,
    /// Lines that are kept aside.
    #[schema(example = 1200)]
    lines: i64,
    /// Bytes of these lines, before compression.
    #[schema(example = 214_000)]
    bytes: i64,
    /// Time of the earliest of these lines; empty without lines.
    #[schema(example = "2016/09/13 15:44:07")]
    first: String,
    /// Time of the latest of these lines; empty without lines.
    #[schema(example = "2016/09/14 09:10:11")]
    last: String,
    /// Lines that were dropped because there was too much.
    #[schema(example = 0)]
    dropped: i64,
    /// Whether the cdn's settings list the host: its lines are within no limit and of no age.
    #[schema(example = false)]
    is_listed: bool,
}

/// Unregistered hosts.
#[derive(Serialize, ToSchema)]
pub(super) struct UnregisteredList {
    /// Hosts by cdn and name.
    results: Vec<UnregisteredRow>,
}

fn row(pilothouse: &Pilothouse, found: NamedUnregisteredHost) -> UnregisteredRow {
    let NamedUnregisteredHost { cdn, host } = found;
    let text =
        |seconds| DateTime::from_timestamp(seconds, 0).map(|at| time(pilothouse, at)).unwrap_or_default();
    let (first, last) = host.times.map(|(first, last)| (text(first), text(last))).unwrap_or_default();
    UnregisteredRow {
        cdn,
        host: host.host,
        lines: host.lines,
        bytes: host.bytes,
        first,
        last,
        dropped: host.dropped,
        is_listed: host.is_listed,
    }
}

/// Lists the hosts that no customer has and of which lines are kept aside, for `unregistered_days`: they are counted when a
/// customer is given the host as a domain.
#[utoipa::path(
    get,
    path = "/level3/unregistered",
    tag = "cdn",
    params(UnregisteredQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "The hosts.", body = Done<UnregisteredList>)),
)]
pub(super) async fn get_unregistered(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<UnregisteredQuery>,
) -> Reply<Done<UnregisteredList>> {
    let found = api.pilothouse.log_intake().unregistered(&caller, query.cdn.as_deref()).await?;
    done(UnregisteredList { results: found.into_iter().map(|found| row(&api.pilothouse, found)).collect() })
}
