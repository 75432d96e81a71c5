#![doc = include_str!("../README.md")]

mod account;
mod args;
mod base_url;
mod caller;
mod cdn;
mod compression;
mod config;
mod cors;
mod docs;
mod document;
mod envelope;
mod family;
mod health;
mod idempotency;
mod json_refusal;
mod lenient_json;
mod list;
mod middleware;
mod named_values;
mod ops;
mod optional_member;
mod page;
mod pieces;
mod plain_path;
mod query;
mod router;
mod row_stream;
mod state;
mod unique_json;
mod unread_body;

pub use cors::{InvalidOrigin, Origin};
pub use family::Family;
pub use router::{apollo_router, cdn_router, config_router, ops_router, router};
pub use state::{ApiState, HttpSettings};
