//! Vendor that answers as a test says, and remembers what it was sent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{StreamExt as _, stream};
use pilothouse_core::ports::{
    AreaFigure, Batch, CallLimits, Capabilities, CdnProvider, Figures, ItemState, LogContent, LogFile,
    Operation, Prefix, ProviderError, Quota, RemoteTask, Repeat, Submission, Submissions, TaskState,
};

/// Answer of a vendor to one batch.
#[derive(Debug)]
pub enum VendorReply {
    /// The call as a whole fails, and nothing was done.
    Fails(ProviderError),
    /// Each item has its own answer.
    Each(Submissions),
    /// The request is lost: nothing was done, and no answer comes.
    LosesRequest,
    /// The answer is lost: a task was made.
    LosesAnswer,
    /// A task was made, and no answer ever comes.
    Hangs,
    /// Nothing was done, and no answer ever comes.
    Stalls,
}

#[derive(Debug, Default)]
struct Account {
    replies: VecDeque<VendorReply>,
    batches: Vec<Batch>,
    /// Tasks that were made: id and URLs.
    tasks: Vec<(String, Vec<String>)>,
    states: HashMap<String, ItemState>,
    bad: BTreeMap<String, ProviderError>,
    strangers: BTreeMap<String, ProviderError>,
    groups: BTreeMap<String, String>,
    quotas: Vec<Quota>,
    figures: Option<Result<Figures, ProviderError>>,
    figures_asked: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    areas: BTreeMap<String, Result<Vec<AreaFigure>, ProviderError>>,
    areas_asked: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    logs: BTreeMap<String, Vec<LogFile>>,
    log_pieces: BTreeMap<String, Vec<Result<Vec<u8>, ProviderError>>>,
    logs_fetched: Vec<String>,
    polls: usize,
    looks: usize,
}

/// A vendor that makes one task of every batch for which it was told nothing else.
#[derive(Debug)]
pub struct ScriptedVendor {
    capabilities: Capabilities,
    account: Mutex<Account>,
}

impl ScriptedVendor {
    /// A vendor of 100 URLs a call without a limit of rate, whose repeats are charged.
    pub fn new(name: &str) -> Self {
        let limits = CallLimits::items(100);
        let capabilities = Capabilities::vendor(name, Repeat::LookFirst)
            .with_purge_urls(true)
            .with_purge_prefix(Prefix::Directory)
            .with_preload(true)
            .with_purge_batch(1000)
            .with_preload_batch(1000)
            .with_limits(Operation::PurgeUrls, limits)
            .with_limits(Operation::PurgePrefixes, limits)
            .with_limits(Operation::Preload, limits);
        Self { capabilities, account: Mutex::default() }
    }

    /// Changes its capabilities.
    #[must_use]
    pub fn with_capabilities(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.capabilities);
        self
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a reply to the next batch without one.
    pub fn next(&self, reply: VendorReply) {
        self.account().replies.push_back(reply);
    }

    /// Sets the state of a URL in every task that has it; without one it runs.
    pub fn set_state(&self, url: &str, state: ItemState) {
        self.account().states.insert(url.to_owned(), state);
    }

    /// Sets the state of every URL that it was sent.
    pub fn set_all(&self, state: &ItemState) {
        let mut account = self.account();
        let urls: Vec<_> = account.tasks.iter().flat_map(|(_, urls)| urls.clone()).collect();
        account.states.extend(urls.into_iter().map(|url| (url, state.clone())));
    }

    /// Sets a URL for which every call that has it fails as a whole.
    pub fn set_bad(&self, url: &str, error: ProviderError) {
        self.account().bad.insert(url.to_owned(), error);
    }

    /// Sets the group of a host; without one it is in the group without a name.
    pub fn set_group(&self, host: &str, group: &str) {
        self.account().groups.insert(host.to_owned(), group.to_owned());
    }

    /// Sets a host that is in no group.
    pub fn set_stranger(&self, host: &str, error: ProviderError) {
        self.account().strangers.insert(host.to_owned(), error);
    }

    /// Sets what is left of its quotas.
    pub fn set_quotas(&self, quotas: Vec<Quota>) {
        self.account().quotas = quotas;
    }

    /// Sets what it says of traffic.
    pub fn set_figures(&self, figures: Result<Figures, ProviderError>) {
        self.account().figures = Some(figures);
    }

    /// Sets what it says of a domain's traffic by region; without it there was none.
    pub fn set_areas(&self, domain: &str, areas: Result<Vec<AreaFigure>, ProviderError>) {
        self.account().areas.insert(domain.to_owned(), areas);
    }

    /// Adds a file to the log of a domain, whose content comes in pieces, of which one may be a failure.
    pub fn add_log(&self, domain: &str, file: LogFile, pieces: Vec<Result<Vec<u8>, ProviderError>>) {
        let mut account = self.account();
        account.log_pieces.insert(file.name.clone(), pieces);
        let files = account.logs.entry(domain.to_owned()).or_default();
        files.retain(|other| other.name != file.name);
        files.push(file);
    }

    /// Names of the files that were fetched since this was last asked.
    pub fn logs_fetched(&self) -> Vec<String> {
        std::mem::take(&mut self.account().logs_fetched)
    }

    /// Ranges of time of which regions were asked for since this was last asked.
    pub fn areas_asked(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        std::mem::take(&mut self.account().areas_asked)
    }

    /// Ranges of time that were asked for since this was last asked.
    pub fn figures_asked(&self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        std::mem::take(&mut self.account().figures_asked)
    }

    /// The batches since this was last asked, in their order.
    pub fn batches(&self) -> Vec<Batch> {
        std::mem::take(&mut self.account().batches)
    }

    /// Number of tasks that hold a URL.
    pub fn tasks_of(&self, url: &str) -> usize {
        self.account().tasks.iter().filter(|(_, urls)| urls.iter().any(|own| own == url)).count()
    }

    /// Number of calls that asked about tasks, and of those that looked for tasks.
    pub fn polls_and_looks(&self) -> (usize, usize) {
        let account = self.account();
        (account.polls, account.looks)
    }

    fn make_task(&self, batch: &Batch) -> Submissions {
        let mut account = self.account();
        let id = format!("task-{}", account.tasks.len() + 1);
        account.tasks.push((id.clone(), batch.items.iter().map(|item| item.url.clone()).collect()));
        vec![Ok(Submission::Running(id)); batch.items.len()]
    }
}

#[async_trait]
impl CdnProvider for ScriptedVendor {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn submit(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let reply = {
            let mut account = self.account();
            account.batches.push(batch.clone());
            if let Some(error) = batch.items.iter().find_map(|item| account.bad.get(&item.url)) {
                return Err(error.clone());
            }
            account.replies.pop_front()
        };
        match reply {
            None => Ok(self.make_task(batch)),
            Some(VendorReply::Fails(error)) => Err(error),
            Some(VendorReply::Each(submissions)) => Ok(submissions),
            Some(VendorReply::LosesRequest) => Err(ProviderError::Ambiguous("connection lost".into())),
            Some(VendorReply::LosesAnswer) => {
                self.make_task(batch);
                Err(ProviderError::Ambiguous("connection lost".into()))
            }
            Some(VendorReply::Stalls) => future::pending().await,
            Some(VendorReply::Hangs) => {
                self.make_task(batch);
                future::pending().await
            }
        }
    }

    async fn poll(&self, tasks: &[RemoteTask]) -> Result<Vec<TaskState>, ProviderError> {
        let mut account = self.account();
        account.polls += 1;
        let state = |url: &String| account.states.get(url).cloned().unwrap_or(ItemState::Running(None));
        Ok(tasks.iter().map(|task| task.items.iter().map(state).collect()).collect())
    }

    async fn find(&self, batch: &Batch) -> Result<Vec<Option<String>>, ProviderError> {
        let mut account = self.account();
        account.looks += 1;
        let find = |url: &String| {
            let mut tasks = account.tasks.iter().rev();
            tasks.find(|(_, urls)| urls.contains(url)).map(|(id, _)| id.clone())
        };
        Ok(batch.items.iter().map(|item| find(&item.url)).collect())
    }

    async fn groups(&self, hosts: &[String]) -> Result<Vec<Result<String, ProviderError>>, ProviderError> {
        let account = self.account();
        let group = |host: &String| match account.strangers.get(host) {
            Some(error) => Err(error.clone()),
            None => Ok(account.groups.get(host).cloned().unwrap_or_default()),
        };
        Ok(hosts.iter().map(group).collect())
    }

    async fn series(
        &self,
        _domains: &[String],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Figures, ProviderError> {
        let mut account = self.account();
        account.figures_asked.push((from, to));
        let nothing = Ok(Figures { rows: Vec::new(), known_until: from, estimated: false });
        account.figures.clone().unwrap_or(nothing)
    }

    async fn areas(
        &self,
        domain: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<AreaFigure>, ProviderError> {
        let mut account = self.account();
        account.areas_asked.push((from, to));
        account.areas.get(domain).cloned().unwrap_or_else(|| Ok(Vec::new()))
    }

    async fn logs(&self, domain: &str, day: NaiveDate) -> Result<Vec<LogFile>, ProviderError> {
        let account = self.account();
        let files = account.logs.get(domain).into_iter().flatten();
        Ok(files.filter(|file| file.from.date_naive() == day).cloned().collect())
    }

    async fn log_content(&self, file: &LogFile) -> Result<LogContent, ProviderError> {
        let mut account = self.account();
        account.logs_fetched.push(file.name.clone());
        let pieces = account.log_pieces.get(&file.name).cloned();
        let pieces = pieces.ok_or_else(|| ProviderError::Unavailable("no such file".into()))?;
        Ok(stream::iter(pieces).boxed())
    }

    async fn quota(&self) -> Result<Vec<Quota>, ProviderError> {
        Ok(self.account().quotas.clone())
    }
}
