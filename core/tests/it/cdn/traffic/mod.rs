//! Traffic, areas, billing and access logs.

mod archive;
mod area;
mod billing;
mod fixture;
mod log_download;
mod log_intake;
mod log_sealing;
mod regions;
mod retention;
mod series;
mod top_urls;
mod unregistered;
mod vendor_figures;
