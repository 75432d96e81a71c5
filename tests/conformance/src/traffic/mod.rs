//! Traffic series, cities, access logs.

pub(crate) mod city;
pub(crate) mod edge_log;
pub(crate) mod log_chunk;
pub(crate) mod log_intake;
pub(crate) mod log_source;
pub(crate) mod log_undo;
pub(crate) mod series;
pub(crate) mod top_urls;
pub(crate) mod unregistered;
pub(crate) mod vendor_figures;
pub(crate) mod vendor_logs;
