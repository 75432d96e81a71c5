#![doc = include_str!("../README.md")]

pub mod apollo;
mod archive;
mod document;
mod failure;
mod flatten;
mod format;
pub mod json;
mod limits;
pub mod nacos;
mod profile;
pub mod properties;
pub mod yaml;

pub use document::{Document, Dropped, Entry};
pub use failure::{Failure, Result};
pub use format::{Format, Target};
pub use limits::{MAX_BYTES, MAX_ENTRIES, MAX_FILES};
pub use profile::Profile;
