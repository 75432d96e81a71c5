//! Programs that embed Pilothouse, each with `cargo run --example NAME`:
//!
//! | example | shows |
//! |---|---|
//! | `embed` | the routers under a prefix in a host with its own state and its own accounts |
//! | `library` | the domain without HTTP: a durable store, a use case, the background work |
//! | `store` | a store of one's own, and the conformance suite on it |
