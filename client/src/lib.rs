#![doc = include_str!("../README.md")]

mod acknowledgements;
mod builder;
mod client;
mod error;
mod node;
mod node_api;
mod snapshot;
mod sse;
mod state;
mod status;
mod value;
mod watcher;

pub use builder::Builder;
pub use client::{Changes, Client};
pub use error::{Error, Result};
pub use node::Rejection;
pub use state::Change;
pub use status::Status;
