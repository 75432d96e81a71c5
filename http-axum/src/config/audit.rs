//! `/audit/list`: the audit trail, beyond the document.

use axum::extract::State;
use chrono::{DateTime, Utc};
use pilothouse_core::account::{AuditFilter, AuditRow};
use pilothouse_core::{Error, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::state::ApiState;

/// Which rows to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// The smallest id returned.
    #[param(minimum = 0, default = 0, example = 0)]
    start: Option<i64>,
    /// The most rows returned.
    #[param(minimum = 1, maximum = 1000, default = 10, example = 10)]
    count: Option<i64>,
    /// Only what the account of this name did.
    #[param(max_length = 64, example = "root")]
    actor: Option<String>,
    /// Only what was done to this.
    #[param(max_length = 512, example = "app1/dev/k1")]
    object: Option<String>,
    /// Only at or after this moment: RFC 3339.
    #[param(format = DateTime, example = "2017-07-12T15:08:12+08:00")]
    since: Option<String>,
    /// Only before this moment: RFC 3339.
    #[param(format = DateTime, example = "2017-07-13T15:08:12+08:00")]
    until: Option<String>,
}

/// Who did what to what.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AuditInfo {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// When: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-12T15:08:12+08:00")]
    time: String,
    /// The name of the account that acted.
    #[schema(example = "root")]
    actor: String,
    /// From where; empty when unknown.
    #[schema(example = "192.0.2.1")]
    address: String,
    /// What was done, or `refused`.
    #[schema(example = "config.publish")]
    action: String,
    /// What it was done to; for a refusal the right that was missing.
    #[schema(example = "app1/dev/k1")]
    object: String,
    /// Digest of the object before; empty where there was none.
    #[schema(example = "")]
    old: String,
    /// Digest of the object after; empty where there is none.
    #[schema(example = "")]
    new: String,
    /// How often: above 1 only for refusals, which are summed per actor, right and minute.
    #[schema(example = 1)]
    count: i64,
}

/// The audit trail, by id.
#[utoipa::path(
    method(get, post),
    path = "/audit/list",
    tag = "config",
    params(AuditQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 9"))),
    responses((status = 200, description = "The rows.", body = Data<Vec<AuditInfo>>)),
)]
pub(super) async fn audit_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<AuditQuery>,
) -> Reply<Data<Vec<AuditInfo>>> {
    let AuditQuery { start, count, actor, object, since, until } = args;
    let filter =
        AuditFilter { actor, object, since: moment("since", since)?, until: moment("until", until)? };
    let rows = api.pilothouse.audit_trail().list(&caller, &filter, Page::new(start, count)?).await?;
    let rows = rows.into_iter().map(|row| {
        let AuditRow { id, at, actor_name: actor, address, action, object, old, new, count, .. } = row;
        AuditInfo {
            id,
            time: api.local(at),
            actor,
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            action,
            object,
            old: old.unwrap_or_default(),
            new: new.unwrap_or_default(),
            count,
        }
    });
    data(rows.collect())
}

fn moment(field: &'static str, text: Option<String>) -> Result<Option<DateTime<Utc>>, Error> {
    text.map(|text| match DateTime::parse_from_rfc3339(&text) {
        Ok(moment) => Ok(moment.to_utc()),
        Err(_) => {
            Err(Error::invalid(field, "must be RFC 3339, such as 2017-07-12T15:08:12Z; in a URL + is %2B"))
        }
    })
    .transpose()
}
