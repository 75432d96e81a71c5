//! `/app/*`, `/userauth/*`, `/config/*`, `/node/*`, `/publish` and `/audit/*`: the configuration centre.
//!
//! Every operation is called by GET or POST; see [`document`] for how that is described.

mod app;
mod audit;
mod document;
mod history;
mod item;
mod key;
mod node;
mod publish;
mod query;
mod register;
mod rollout;
mod userauth;
mod watch;
mod write;

use chrono::{DateTime, SecondsFormat, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) use document::describe_post;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(app::app_create))
        .routes(routes!(app::app_del))
        .routes(routes!(app::app_update))
        .routes(routes!(app::app_list))
        .routes(routes!(userauth::userauth_create))
        .routes(routes!(userauth::userauth_list))
        .routes(routes!(userauth::userauth_del))
        .routes(routes!(userauth::userauth_update_permission))
        .routes(routes!(item::config_create))
        .routes(routes!(item::config_update))
        .routes(routes!(item::config_del))
        .routes(routes!(item::config_approve))
        .routes(routes!(item::config_rollback))
        .routes(routes!(query::config_query_with_key))
        .routes(routes!(query::config_query))
        .routes(routes!(query::config_profiles))
        .routes(routes!(history::config_history))
        .routes(routes!(history::config_diff))
        .routes(routes!(node::node_list))
        .routes(routes!(publish::publish))
        .routes(routes!(publish::publish_promote))
        .routes(routes!(publish::publish_abort))
        .routes(routes!(rollout::publish_list))
        .routes(routes!(rollout::publish_status))
        .routes(routes!(key::app_key_create))
        .routes(routes!(key::app_key_list))
        .routes(routes!(key::app_key_del))
        .routes(routes!(register::node_register))
        .routes(routes!(register::node_ack))
        .routes(routes!(register::node_leave))
        .routes(routes!(watch::node_config))
        .routes(routes!(watch::node_watch))
        .routes(routes!(audit::audit_list))
}

impl ApiState {
    /// A time as this family writes it: RFC 3339 to the second, with the offset of the server's zone.
    fn local(&self, time: DateTime<Utc>) -> String {
        let zone = self.pilothouse.settings().timezone;
        time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false)
    }
}
