//! Releases, rollouts, what waits for them, and the nodes' own calls.

mod follow;
mod node;
mod node_detail;
mod pending;
mod publish;
mod publish_set;
mod register;
mod rollout;
mod watch;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(node::node_list))
        .routes(routes!(node_detail::node_detail))
        .routes(routes!(pending::config_pending))
        .routes(routes!(publish::publish))
        .routes(routes!(publish::publish_promote))
        .routes(routes!(publish::publish_abort))
        .routes(routes!(publish_set::publish_set))
        .routes(routes!(publish_set::publish_rollback))
        .routes(routes!(rollout::publish_list))
        .routes(routes!(rollout::publish_status))
        .routes(routes!(follow::publish_follow))
        .routes(routes!(register::node_register))
        .routes(routes!(register::node_ack))
        .routes(routes!(register::node_leave))
        .routes(routes!(watch::node_config))
        .routes(routes!(watch::node_watch))
}
