//! `/audit/list`: the audit trail, beyond the document.

use axum::extract::State;
use chrono::{DateTime, Utc};
use pilothouse_core::Error;
use pilothouse_core::account::{AuditFilter, AuditRow};
use serde::Serialize;
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, data};
use crate::optional_member::selector;
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

list_query! {
    /// Filter and page of the audit trail.
    pub(super) struct AuditQuery {
        /// Only what the account of this name did.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 254, example = "root")]
        actor: Option<String>,
        /// Only what was done to this.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 512, example = "app1/dev/k1")]
        object: Option<String>,
        /// Only at or after this moment: RFC 3339.
        #[serde(default, deserialize_with = "selector")]
        #[param(format = DateTime, example = "2017-07-12T15:08:12+08:00")]
        since: Option<String>,
        /// Only before this moment: RFC 3339.
        #[serde(default, deserialize_with = "selector")]
        #[param(format = DateTime, example = "2017-07-13T15:08:12+08:00")]
        until: Option<String>,
    }
}

/// A row of the audit trail.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AuditInfo {
    /// Id of the row, ascending in time.
    #[schema(example = 1)]
    id: i64,
    /// Time in RFC 3339, with the offset of the server's zone.
    #[schema(example = "2017-07-12T15:08:12+08:00")]
    time: String,
    /// The name of the account that acted.
    #[schema(example = "root")]
    actor: String,
    /// Client address; empty when unknown.
    #[schema(example = "192.0.2.1")]
    address: String,
    /// Action as `family.verb`, or `refused`.
    #[schema(example = "config.publish")]
    action: String,
    /// Object of the action; of a refusal the missing right.
    #[schema(example = "app1/dev/k1")]
    object: String,
    /// Digest of the object before; empty where there was none.
    #[schema(example = "")]
    old: String,
    /// Digest of the object after; empty where there is none.
    #[schema(example = "")]
    new: String,
    /// Number of occurrences: above 1 only for refusals, which are summed per actor, right and minute.
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
    responses((
        status = 200,
        description = "The rows.",
        body = Data<Vec<AuditInfo>>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it."),
        ),
    )),
)]
pub(super) async fn audit_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<AuditQuery>,
) -> ListReply<Data<Vec<AuditInfo>>> {
    let page = args.page()?;
    let AuditQuery { actor, object, since, until, .. } = args;
    let filter =
        AuditFilter { actor, object, since: moment("since", since)?, until: moment("until", until)? };
    let found = api.pilothouse.audit_trail().list(&caller, &filter, page).await?;
    let shown = |row| {
        let AuditRow { id, at, actor_name: actor, address, action, object, old, new, count, .. } = row;
        AuditInfo {
            id: id.0,
            time: api.local(at),
            actor,
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            action,
            object,
            old: old.unwrap_or_default(),
            new: new.unwrap_or_default(),
            count,
        }
    };
    listed(found, page, shown, data)
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
