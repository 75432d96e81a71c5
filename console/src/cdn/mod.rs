//! Pages of the CDN: refresh and preload, traffic, billing, logs, domains, edges, customers.

mod billing;
mod customers;
mod domains;
mod edges;
mod job;
mod jobs;
mod logs;
mod span;
mod traffic;
mod whose;

use axum::Router;
use axum::routing::{get, post};

use crate::state::ConsoleState;

pub(crate) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/cdn/jobs", get(jobs::get_jobs).post(jobs::post_jobs))
        .route("/cdn/jobs/{taskid}", get(job::get_job))
        .route("/cdn/jobs/{taskid}/live", get(job::get_live))
        .route("/cdn/jobs/{taskid}/retry", post(job::post_retry))
        .route("/cdn/traffic", get(traffic::get_traffic))
        .route("/cdn/traffic.csv", get(traffic::get_csv))
        .route("/cdn/billing", get(billing::get_billing))
        .route("/cdn/logs", get(logs::get_logs))
        .route("/cdn/logs/download", get(logs::get_download))
        .route("/cdn/domains", get(domains::get_domains).post(domains::post_domains))
        .route("/cdn/edges", get(edges::get_edges))
        .route("/cdn/customers", get(customers::get_customers).post(customers::post_customer))
        .route("/cdn/customers/update", post(customers::post_update))
        .route("/cdn/customers/delete", post(customers::post_delete))
}
