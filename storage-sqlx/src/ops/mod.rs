//! Machines and release tasks.

mod agent;
mod batch;
mod file_order;
mod machine;
mod task;
