//! Properties files, as `java.util.Properties` reads and writes them.
//!
//! Comment lines directly above a key are its description; other comments are left out.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::read;
pub use write::{write, write_readable};

pub(crate) use write::comment;
