//! Traffic by bucket and city, kept log lines, and how far logs were read.

mod city;
mod edge_log;
mod log_chunk;
mod log_source;
mod log_undo;
mod series;
mod top_urls;
mod unregistered;
mod vendor_figures;
mod vendor_logs;
