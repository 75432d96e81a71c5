//! Whole logs through the public interface.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod archive;
mod follow;
mod hostile;
mod identity;
mod pipeline;
mod real_lines;
mod slow;
mod support;
