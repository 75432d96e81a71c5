//! YAML, flattened to dotted keys.
//!
//! Scalars follow YAML 1.1 as Java's readers apply it: `yes` is `true`, `010` is `8`, `1.50` is `1.5`. What is to keep its
//! spelling stands in quotes, as everything that [`write()`] writes does.

mod comment;
mod flatten;
mod read;
mod scalar;
mod tree;
mod write;

pub use read::read;
pub use write::write;

pub(crate) use tree::{Content, Documents, NodeId, documents};
