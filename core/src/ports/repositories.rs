//! Repositories: one accessor per aggregate.

use crate::account::{AccountRepository, AuditRepository, LoginFailureRepository, TokenRepository};
use crate::cdn::{
    AlarmRepository, CdnRepository, CdnServiceRepository, CityRepository, CompanyRepository,
    CustomerRepository, DomainRepository, EdgeLogRepository, EdgeRepository, JobRepository,
    LogChunkRepository, LogSourceRepository, LogUndoRepository, TenureRepository, ThresholdRepository,
    TopUrlsRepository, TrafficRepository, UnregisteredRepository, VendorBatchRepository,
    VendorFiguresRepository, VendorLogRepository, VendorSpendingRepository,
};
use crate::config::{
    AppKeyRepository, AppRepository, ChangeSetRepository, DeliveryRepository, GrantRepository,
    ItemRepository, NodeRepository, PendingRepository, ReleaseRepository, SharedNamespaceRepository,
};
use crate::idempotency::KeptAnswerRepository;
use crate::import::RowIdRepository;
use crate::ops::{AgentRepository, BatchRepository, MachineRepository, OrderRepository, TaskRepository};
use crate::pruning::PruningRepository;
use crate::store_identity::StoreIdentityRepository;
use crate::webhook::WebhookDeliveryRepository;

/// Declares the trait, and implements it for whatever implements all the repositories.
macro_rules! repositories {
    ($($(#[$doc:meta])* $accessor:ident: $repository:ident,)*) => {
        /// The repositories of one transaction or snapshot: one accessor per aggregate.
        ///
        /// A store implements the repository traits on its transaction, and has this one by that.
        pub trait Repositories: Send {
            $($(#[$doc])* fn $accessor(&mut self) -> &mut dyn $repository;)*
        }

        impl<T: $($repository +)*> Repositories for T {
            $(fn $accessor(&mut self) -> &mut dyn $repository {
                self
            })*
        }
    };
}

repositories! {
    /// Identity of the store.
    store_identity: StoreIdentityRepository,
    /// Accounts with their permission groups.
    accounts: AccountRepository,
    /// Access tokens, by their SHA-256 digest.
    tokens: TokenRepository,
    /// Failed log-ins, which throttling counts.
    login_failures: LoginFailureRepository,
    /// Audit trail, which only grows.
    audit: AuditRepository,
    /// Release tasks and their status.
    tasks: TaskRepository,
    /// Machines of the inventory.
    machines: MachineRepository,
    /// Orders for tasks with a content.
    orders: OrderRepository,
    /// Batches: tasks for many machines.
    batches: BatchRepository,
    /// Agents of machines.
    agents: AgentRepository,
    /// Cdns that customers can be given.
    cdns: CdnRepository,
    /// Domains that providers serve, with their groups and services.
    cdn_services: CdnServiceRepository,
    /// Customers of the cdns.
    customers: CustomerRepository,
    /// Domains of the customers.
    domains: DomainRepository,
    /// Ended tenures of domains.
    tenures: TenureRepository,
    /// Companies and their owners' accounts.
    companies: CompanyRepository,
    /// Traffic series: open buckets and sealed blocks.
    traffic: TrafficRepository,
    /// Knowledge of vendors' figures.
    vendor_figures: VendorFiguresRepository,
    /// Files of vendors' logs that were fetched.
    vendor_logs: VendorLogRepository,
    /// Most requested paths of domains, by hour.
    top_urls: TopUrlsRepository,
    /// Cities and the traffic that went there.
    cities: CityRepository,
    /// Log sources: the position up to which each access log was read.
    log_sources: LogSourceRepository,
    /// Logs of edges, as far as they were taken in.
    edge_logs: EdgeLogRepository,
    /// Kept lines of access logs.
    log_chunks: LogChunkRepository,
    /// Log lines of unregistered hosts, kept aside.
    unregistered: UnregisteredRepository,
    /// Undo records of ingested logs.
    log_undo: LogUndoRepository,
    /// Refresh and preload jobs with their progress.
    jobs: JobRepository,
    /// Batches of vendors that have not ended.
    vendor_batches: VendorBatchRepository,
    /// Spending of vendors' quotas by customer.
    vendor_spending: VendorSpendingRepository,
    /// Own edges, with their states and the leadership over them.
    edges: EdgeRepository,
    /// Thresholds of domains.
    thresholds: ThresholdRepository,
    /// Alarms of domains, edges and logs.
    alarms: AlarmRepository,
    /// Apps of the configuration centre, with their revisions.
    apps: AppRepository,
    /// Grants of accounts on apps.
    grants: GrantRepository,
    /// Configuration items and their versions.
    items: ItemRepository,
    /// Change sets with their items.
    change_sets: ChangeSetRepository,
    /// Releases of item versions.
    releases: ReleaseRepository,
    /// Pending work: changes and grey releases that wait for somebody.
    pending: PendingRepository,
    /// App keys, which nodes authenticate with.
    app_keys: AppKeyRepository,
    /// Namespaces that apps share with the Apollo clients of all apps.
    shared_namespaces: SharedNamespaceRepository,
    /// Registered nodes and their drifted keys.
    nodes: NodeRepository,
    /// Delivery records: sendings of releases to nodes, and acknowledgements.
    deliveries: DeliveryRepository,
    /// Webhook deliveries that are still to be sent.
    webhook_deliveries: WebhookDeliveryRepository,
    /// Answers to requests with an idempotency key.
    kept_answers: KeptAnswerRepository,
    /// Limits of pruning.
    pruning: PruningRepository,
    /// Numbering of the tables whose rows keep their ids when they are imported.
    row_ids: RowIdRepository,
}
