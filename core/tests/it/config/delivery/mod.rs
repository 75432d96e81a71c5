//! Delivery of configuration to nodes.

mod acknowledgement;
mod app_session;
pub(crate) mod fixture;
mod node;
mod release_set;
mod rollout;
mod rollout_follow;
mod server_clocks;
mod set_delivery;
mod watch;
