//! Documented HTTP API over the in-memory store.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod account;
mod api;
mod audit_trail;
mod authorisation;
mod bad_input;
mod cdn;
mod config;
mod cors;
mod docs;
mod document;
mod document_check;
mod documents;
mod held_body;
mod links;
mod middleware;
mod operation_calls;
mod operation_table;
mod ops;
mod robustness;
mod seeded_api;
mod updates;
