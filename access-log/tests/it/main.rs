//! Whole logs through the public interface.

mod archive;
mod hostile;
mod identity;
mod pipeline;
mod real_lines;
mod support;
