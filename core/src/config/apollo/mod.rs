//! Apollo's view of delivery: namespaces as parts of a profile, shared ones, and clients as nodes that never register.

mod client;
mod namespace;
mod shared;

pub use client::{Presence, apollo_node_id};
pub use namespace::{NamespaceContent, NamespaceEncoding};
pub use shared::{ClientNamespace, NamespaceShare};
