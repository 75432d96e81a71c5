//! CDN management, in four rooms; each uses only those above it in this list.
//!
//! | room | holds |
//! |---|---|
//! | `customers` | cdns, customers, companies, domains, log-ins, what providers say of their domains |
//! | `traffic` | series, areas, bills, access logs taken in, kept and downloaded |
//! | `purge` | refresh and preload jobs, and the leases of own edges |
//! | `alarm` | thresholds of domains, and alarms of domains, edges and their logs |

mod alarm;
mod customers;
mod identifier;
mod purge;
mod traffic;

pub use alarm::{
    Alarm, AlarmFilter, AlarmId, AlarmKind, AlarmOverview, AlarmQuery, AlarmRepository, AlarmSubject,
    AlarmWorker, Alarms, MAX_BANDWIDTH, MAX_MIN_REQUESTS, Share, Threshold, ThresholdRepository, Thresholds,
};
pub use customers::{
    Cdn, CdnDomains, CdnLogins, CdnRepository, CdnServiceRepository, CdnServices, Cdns, Companies, Company,
    CompanyId, CompanyOverview, CompanyRepository, Customer, CustomerOverview, CustomerRepository, Customers,
    Domain, DomainRepository, DomainState, Domains, NewCompany, NewCustomer, Synced, Tenure,
    TenureRepository, UpdateCustomer, check_cdn_name, domain_name, misspelt_cdn,
};
pub(crate) use customers::{mapping_digest, understood_cdn};
pub use identifier::{CdnId, DomainId};
pub use purge::{
    BatchItem, BatchState, CellState, Edge, EdgeInfo, EdgeLeases, EdgeProgress, EdgeRepository, EdgeState,
    Edges, Job, JobCell, JobDetails, JobFilter, JobId, JobKind, JobPart, JobParts, JobQuery, JobRepository,
    JobRequest, JobRunner, JobState, JobUrls, Jobs, LONGEST_WAIT, MissedPurges, ShippedLog, VendorBatch,
    VendorBatchRepository, VendorCalls, VendorSpending, VendorSpendingRepository,
};
pub use traffic::{
    AreaRow, BUCKET_SECONDS, BUCKETS_OF_DAY, Batch, BatchCityCell, BatchUnregistered, Bill, BillRun, Billing,
    BillingQuery, BillingRule, Block, BlockKind, Bucket, Cell, City, CityCell, CityId, CityRepository,
    Counters, CustomerBill, Day, EdgeLog, EdgeLogRepository, EdgeRef, FigureSource, Figures, ForgetLog, Hour,
    KeptLines, KnownSources, LineStretch, LogChunk, LogChunkId, LogChunkRepository, LogDay, LogDownload,
    LogDownloads, LogFile, LogGap, LogHosts, LogIntake, LogKind, LogLink, LogOverview, LogShipper, LogSource,
    LogSourceId, LogSourceRepository, LogUndoRepository, MAX_PATHS, Maintained, Month, NamedUnregisteredHost,
    OTHER_HOSTS, PathCount, PathSketch, Point, Pulled, PulledLogs, Refusal, RegionFailure, RegionRow,
    Regions, Seen, SourceChange, SourceKey, Stats, StatsBy, StatsGroup, StatsQuery, StatsStep, TopUrl,
    TopUrls, TopUrlsAnswer, TopUrlsKey, TopUrlsPiece, TopUrlsRepository, TotalRow, TotalRun, Traffic,
    TrafficQuery, TrafficRepository, UndoRecord, UnregisteredHost, UnregisteredKey, UnregisteredLines,
    UnregisteredLinesId, UnregisteredRepository, UnregisteredUsage, VendorFigures, VendorFiguresRepository,
    VendorLogFile, VendorLogPull, VendorLogRepository,
};
pub(crate) use traffic::{add_day_of_figures, bandwidth_of, day_of_bucket, flux_of_bandwidth, fluxs_of_day};
