//! A client against a server that does what each test tells it.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod acknowledging;
mod fake;
mod real;
mod receiving;
mod reconnecting;
mod snapshot;
