//! Machines and release tasks.

pub(crate) mod agent;
pub(crate) mod batch;
pub(crate) mod file_order;
pub(crate) mod machine;
pub(crate) mod task;
pub(crate) mod update;
