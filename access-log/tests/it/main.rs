//! Tests of whole logs through the public interface.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod archive;
mod follow;
mod follow_packed;
mod follow_rotation;
mod hostile;
mod identity;
mod odd_lines;
mod pipeline;
mod real_lines;
mod reference;
mod rotation_schedules;
mod support;
