//! The documented HTTP API as nestable axum routers.
