//! Series, areas, bills, and the intake and download of access logs.

mod area;
mod billing;
mod bills;
mod edge_logs;
mod edge_logs_skip;
mod log;
mod log_sources;
mod logdownload;
mod regions;
mod series;
mod stats;
mod stats_answer;
mod top;
mod total;
mod traffic_args;
mod unregistered;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(series::get_bandwidths))
        .routes(routes!(series::get_fluxs))
        .routes(routes!(stats::get_stats))
        .routes(routes!(top::get_top))
        .routes(routes!(total::get_total))
        .routes(routes!(billing::get_billing))
        .routes(routes!(bills::get_bills))
        .routes(routes!(area::get_bandwidths_area))
        .routes(routes!(area::get_fluxs_area))
        .routes(routes!(regions::get_regions))
        .routes(routes!(logdownload::get_logdownload))
        .routes(routes!(log::get_log))
        .routes(routes!(edge_logs::post_edge_logs))
        .routes(routes!(edge_logs_skip::post_edge_logs_skip))
        .routes(routes!(log_sources::get_log_sources))
        .routes(routes!(unregistered::get_unregistered))
}
