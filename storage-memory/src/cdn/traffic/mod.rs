//! Traffic by bucket and city, kept log lines, and how far logs were read.

pub(super) mod city;
pub(super) mod edge_log;
mod log_chunk;
mod log_source;
mod log_undo;
pub(super) mod series;
pub(super) mod top_urls;
pub(super) mod unregistered;
pub(super) mod vendor_figures;
pub(super) mod vendor_logs;
