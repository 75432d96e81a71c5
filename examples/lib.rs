//! Example programs that embed Pilothouse, each run with `cargo run --example NAME`:
//!
//! | example | shows |
//! |---|---|
//! | `access_logs` | traffic from access logs: a log is ingested, its lines are kept, and a bandwidth series is read |
//! | `embed` | the HTTP API nested under a prefix in a host with its own state and its own accounts |
//! | `library` | the domain without HTTP: a durable store, a use case, the background jobs |
//! | `provider` | a CDN provider of your own, and the conformance suite that tests it |
//! | `store` | a storage adapter of your own, and the conformance suite that tests it |
