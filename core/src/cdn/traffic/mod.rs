//! Traffic, bills and kept log lines, all of them derived from access logs.
//!
//! A batch of a log changes statistics, position and kept lines together ([`LogIntake`]). Open buckets are small rows; days
//! that are over are sealed into column blocks, and forgotten after their retention.

mod all_customers;
mod billing;
mod bucket;
mod city;
mod column_block;
mod edge_log;
mod figure_scan;
mod imported;
mod log_chunk;
mod log_download;
mod log_gap;
mod log_hosts;
mod log_intake;
mod log_shipping;
mod log_source;
mod log_undo;
mod month;
mod regions;
mod retention;
mod series;
mod stats;
mod top_urls;
mod unregistered;
mod unregistered_figures;
mod unregistered_merge;
mod vendor_figures;
mod vendor_logs;

pub use all_customers::{BillRun, CustomerBill, TotalRow, TotalRun};
pub use billing::{Bill, Billing, BillingQuery, BillingRule};
pub(in crate::cdn) use bucket::bandwidth;
pub use bucket::{BUCKET_SECONDS, BUCKETS_OF_DAY, Bucket, Cell, Day, Figures};
pub use city::{AreaRow, City, CityCell, CityId, CityRepository};
pub use edge_log::{EdgeLog, EdgeLogRepository, LineStretch, LogKind, LogOverview, Refusal};
pub(in crate::cdn) use figure_scan::{FigureSink, scan};
pub(crate) use imported::{add_day_of_figures, bandwidth_of, day_of_bucket, flux_of_bandwidth, fluxs_of_day};
pub use log_chunk::{LogChunk, LogChunkId, LogChunkRepository, LogFile};
pub use log_download::{LogDay, LogDownload, LogDownloads, LogLink};
pub use log_gap::LogGap;
pub(in crate::cdn) use log_gap::last_gap;
pub use log_hosts::LogHosts;
pub use log_intake::{Batch, BatchCityCell, EdgeRef, KeptLines, KnownSources, LogIntake, Seen, SourceChange};
pub use log_shipping::LogShipper;
pub(crate) use log_shipping::STREAM;
pub use log_source::{Counters, LogSource, LogSourceId, LogSourceRepository, SourceKey};
pub use log_undo::{ForgetLog, LogUndoRepository, UndoRecord};
pub use month::Month;
pub use regions::{RegionFailure, RegionRow, Regions};
pub use retention::Maintained;
pub use series::{Block, BlockKind, Point, Traffic, TrafficQuery, TrafficRepository};
pub use stats::{Stats, StatsBy, StatsGroup, StatsQuery, StatsStep};
pub use top_urls::{
    Hour, MAX_PATHS, PathCount, PathSketch, TopUrl, TopUrls, TopUrlsAnswer, TopUrlsKey, TopUrlsPiece,
    TopUrlsRepository,
};
pub use unregistered::{
    BatchUnregistered, NamedUnregisteredHost, OTHER_HOSTS, UnregisteredHost, UnregisteredKey,
    UnregisteredLines, UnregisteredLinesId, UnregisteredRepository, UnregisteredUsage,
};
pub use vendor_figures::{FigureSource, Pulled, VendorFigures, VendorFiguresRepository};
pub use vendor_logs::{PulledLogs, VendorLogFile, VendorLogPull, VendorLogRepository};
