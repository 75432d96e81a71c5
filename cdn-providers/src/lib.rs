//! Implementations of the [`CdnProvider`](pilothouse_core::ports::CdnProvider) port, a feature each.

#[cfg(feature = "edges")]
mod edges;
mod secret;
mod settings;

#[cfg(feature = "edges")]
pub use edges::{EdgeKind, EdgeSettings, Edges, EdgesSettings, LogFormat};
pub use secret::SecretSource;
pub use settings::{CdnSettings, providers};
