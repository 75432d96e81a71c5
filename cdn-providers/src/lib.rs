//! Implementations of the [`CdnProvider`](pilothouse_core::ports::CdnProvider) port, a feature each.

#[cfg(feature = "edges")]
mod edge_config;
#[cfg(feature = "edges")]
mod edges;
#[cfg(feature = "edges")]
mod preload;
mod secret;
mod settings;
#[cfg(feature = "edges")]
mod wire;

#[cfg(feature = "edges")]
pub use edge_config::EdgeConfig;
#[cfg(feature = "edges")]
pub use edges::{EdgeKind, EdgeSettings, Edges, EdgesSettings, LogFormat};
pub use secret::SecretSource;
pub use settings::{CdnSettings, providers};
