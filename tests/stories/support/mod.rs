//! Test doubles, clients and checks shared by the stories.

mod acknowledged_writes;
mod agent_fleet;
mod api_client;
mod apollo_client;
mod apollo_node;
mod campaign_writes;
mod config_files_node;
mod edge_fleet;
mod edge_log;
mod fake_clock;
mod installation;
mod publishers;
mod recording_proxy;
mod release_model;
mod server_group;
mod test_node;
mod webhook_receiver;

/// Builder of an HTTP client that goes past the machine's proxy. The TLS provider is the one of the server's program.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

pub(crate) use acknowledged_writes::{
    AcknowledgedWrites, assert_stored, prepare_writes, write_until_disconnected,
};
pub(crate) use agent_fleet::{AgentFleet, TestAgent, agent_program_or_skip};
pub(crate) use api_client::{Answer, ApiClient};
pub(crate) use apollo_client::{ClientLibrary, ClientProgram};
pub(crate) use apollo_node::signed;
pub(crate) use campaign_writes::{CampaignWrites, lost_writes};
pub(crate) use edge_fleet::{
    Edge, EdgeFleet, HOST, Origin, OriginPorts, RawAnswer, RawRequest, complete, complete_urls,
    create_customer, create_customer_of, queue, task, tls_file, wait_for, wait_for_edges,
};
pub(crate) use edge_log::{
    EdgeLog, assert_stored_lines, billed, day, logged_customer, now, stored_lines, wait_until_billed,
    with_logging_edges,
};
pub(crate) use fake_clock::FakeClock;
pub(crate) use installation::{
    CommandOutcome, EDGE_KEY, Installation, PASSWORD, ROOT, TIMEOUT, TestServer, chmod, faketime, run,
    with_bucket, with_unreachable_edge,
};
pub(crate) use publishers::{PUBLISHERS, Publishers};
pub(crate) use recording_proxy::{Received, RecordingProxy};
pub(crate) use release_model::{
    Content, Contents, FullReleases, KEYS, Operation, ReleaseBackup, ReleaseHistory,
};
pub(crate) use server_group::ServerGroup;
pub(crate) use test_node::{NodeEnvironment, NodeState, PROFILE, Protocol, TestNode};
pub(crate) use webhook_receiver::WebhookReceiver;
