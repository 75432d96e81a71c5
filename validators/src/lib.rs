#![doc = include_str!("../README.md")]

mod pattern;
mod refusal;
mod schema;
mod toml;
mod yaml;

pub use pattern::regex;
pub use refusal::{Field, Refusal};
pub use schema::{SCHEMA_STACK, json_schema};
pub use toml::toml;
pub use yaml::yaml;
