//! The router of all pages.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::failure::Failure;
use crate::guard::guard;
use crate::state::ConsoleState;
use crate::{account, assets, cdn, config, ops, overview};

/// All pages, to be nested under [`crate::ConsoleSettings::prefix`].
///
/// ```
/// use std::sync::Arc;
///
/// use axum::Router;
/// use pilothouse_console::{ConsoleState, router};
/// use pilothouse_core::{Pilothouse, Settings};
/// use pilothouse_storage_memory::MemoryStorage;
///
/// # fn main() -> pilothouse_core::Result<()> {
/// let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), Settings::default())?;
/// let app: Router = Router::new().nest("/console", router(ConsoleState::new(pilothouse)));
/// # Ok(())
/// # }
/// ```
pub fn router<S: Clone + Send + Sync + 'static>(console: ConsoleState) -> Router<S> {
    Router::new()
        .route("/", get(overview::get_overview))
        .route("/assets/{digest}/{name}", get(assets::get))
        .merge(account::routes())
        .merge(config::routes())
        .merge(cdn::routes())
        .merge(ops::routes())
        .fallback(async || Failure::NoPage)
        .layer(from_fn_with_state(console.clone(), guard))
        .with_state(console)
}
