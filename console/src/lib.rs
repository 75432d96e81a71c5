#![doc = include_str!("../README.md")]

mod account;
mod assets;
mod authenticator;
mod cdn;
mod config;
mod confirm;
mod failure;
mod form;
mod guard;
mod language;
mod live;
mod ops;
mod origin;
mod overview;
mod page;
mod router;
mod state;
mod texts;
mod theme;

pub use authenticator::{ConsoleAuthenticator, SessionAuthenticator};
pub use language::Language;
pub use router::router;
pub use state::{ConsoleSettings, ConsoleState};
