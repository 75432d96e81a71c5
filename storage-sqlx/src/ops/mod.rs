//! Machines and release tasks.

mod machine;
mod task;
