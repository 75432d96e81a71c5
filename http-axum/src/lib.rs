//! The documented HTTP API of Pilothouse as axum routers that nest under any prefix in any host.
//!
//! [`router`] serves all three families with their document and health checks; [`ops_router`], [`config_router`] and
//! [`cdn_router`] serve one alone.
//! Every path, parameter and answer is in the OpenAPI document that comes with the router, because the routes are made
//! from it.

mod account;
mod apollo;
mod args;
mod caller;
mod cdn;
mod config;
mod docs;
mod document;
mod envelope;
mod guard;
mod health;
mod lenient;
mod ops;
mod query;
mod router;
mod state;

pub use envelope::Family;
pub use router::{apollo_router, cdn_router, config_router, ops_router, router};
pub use state::{ApiState, HttpSettings};
