//! Pages of the CDN: refresh and preload, traffic, top URLs, regions, billing, logs, domains, alarms, edges, hosts, customers.

mod alarms;
mod areas;
mod billing;
mod bills;
mod customers;
mod domains;
mod edges;
mod figure;
mod hosts;
mod job;
mod jobs;
mod logs;
mod span;
mod thresholds;
mod top;
mod traffic;
mod whose;

use axum::Router;
use axum::routing::{get, post};

use crate::confirm::confirmed;
use crate::state::ConsoleState;

pub(crate) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/cdn/jobs", get(jobs::get_jobs).post(jobs::post_jobs))
        .route("/cdn/jobs/{taskid}", get(job::get_job))
        .route("/cdn/jobs/{taskid}/live", get(job::get_live))
        .route("/cdn/jobs/{taskid}/retry", post(job::post_retry))
        .route("/cdn/traffic", get(traffic::get_traffic))
        .route("/cdn/traffic.csv", get(traffic::get_csv))
        .route("/cdn/top", get(top::get_top))
        .route("/cdn/areas", get(areas::get_areas))
        .route("/cdn/alarms", get(alarms::get_alarms))
        .route("/cdn/thresholds", get(thresholds::get_thresholds).post(thresholds::post_threshold))
        .route("/cdn/thresholds/delete", post(thresholds::post_delete))
        .route("/cdn/hosts", get(hosts::get_hosts))
        .route("/cdn/bills", get(bills::get_bills))
        .route("/cdn/bills.csv", get(bills::get_csv))
        .route("/cdn/billing", get(billing::get_billing))
        .route("/cdn/logs", get(logs::get_logs))
        .route("/cdn/logs/download", get(logs::get_download))
        .route("/cdn/domains", get(domains::get_domains).post(domains::post_domains))
        .route("/cdn/edges", get(edges::get_edges))
        .route("/cdn/customers", confirmed(get(customers::get_customers).post(customers::post_customer)))
        .route("/cdn/customers/update", confirmed(post(customers::post_update)))
        .route("/cdn/customers/delete", confirmed(post(customers::post_delete)))
}
