//! Lists of requests, and retries of what failed of them.

use chrono::{DateTime, Utc};

use super::job::{Job, JobId, JobKind, JobState, Jobs, check_task_id};
use super::job_parts::JobParts;
use super::progress::{CellState, EdgeProgress, JobCell};
use crate::account::{AccountId, Caller, CallerTransaction, Entry, Group};
use crate::cdn::customers::domain_name;
use crate::ports::{Topic, UnitOfWork};
use crate::{Error, Listing, Page, Result, check_text};

/// A request of a customer: its jobs, by cdn and batch, with one percentage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// Id of its first job; orders lists.
    pub id: JobId,
    /// Task id of its first job, by which the request is known.
    pub task_id: String,
    /// Refresh or preload.
    pub kind: JobKind,
    /// Mail of the customer.
    pub mail: String,
    /// Time of its acceptance.
    pub created: DateTime<Utc>,
    /// Jobs of the request in the order of their acceptance, at least one.
    pub parts: JobParts,
}

/// Filter of a list of requests; an absent field matches every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only those of this customer.
    pub account_id: Option<AccountId>,
    /// Only those in this [state](JobParts::state).
    pub state: Option<JobState>,
    /// Only those with a URL whose host is this, in lower case; an international name as the URL spells it.
    pub domain: Option<String>,
    /// Only those with a URL that holds this text, letter by letter: 1 to 2048 bytes.
    pub text: Option<String>,
}

impl JobFilter {
    /// The most jobs that a search for a domain or text looks at.
    pub const SEARCHED: i64 = 20_000;

    /// Whether a request with a customer's job passes, as far as the job alone tells.
    pub fn accepts(&self, job: &Job) -> bool {
        let Self { account_id, domain, text, .. } = self;
        account_id.is_none_or(|account_id| job.account_id == account_id)
            && domain.as_ref().is_none_or(|domain| job.urls.iter().any(|url| has_host(url, domain)))
            && text.as_ref().is_none_or(|text| job.urls.iter().any(|url| url.contains(text)))
    }

    fn is_search(&self) -> bool {
        self.domain.is_some() || self.text.is_some()
    }
}

/// Whether this is the host that a URL names, perhaps with a dot or a port after it.
fn has_host(url: &str, domain: &str) -> bool {
    let url = url.to_ascii_lowercase();
    let schemes = ["http://", "https://", "tag://"];
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)).unwrap_or(&url);
    let Some(rest) = rest.strip_prefix(domain) else { return false };
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    rest.is_empty() || rest.starts_with(['/', '?', ':'])
}

/// Filter of a list of jobs, as operators name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Mail of a customer.
    pub login_email: Option<String>,
    /// State of the jobs.
    pub state: Option<JobState>,
    /// Host of one of their URLs.
    pub domain: Option<String>,
    /// Text in one of their URLs, 1 to 2048 bytes.
    pub text: Option<String>,
}

impl JobState {
    /// Name in lists over customers: a pending job is `running`.
    pub fn listed_name(self) -> &'static str {
        match self {
            Self::Pending => "running",
            state => state.as_str(),
        }
    }

    /// State of a [name in lists](Self::listed_name). Refuses any other.
    pub fn from_listed_name(name: &str) -> Result<Self> {
        let states = [Self::Pending, Self::Done, Self::Failed];
        let found = states.into_iter().find(|state| state.listed_name() == name);
        found.ok_or_else(|| Error::invalid("state", "must be running, done or failed"))
    }
}

impl Jobs<'_> {
    /// A page of the requests of all customers or of one; needs group 8. A search for a domain or text looks at the newest
    /// 20,000 jobs before [`Page::before`], which bounds its cost, and says where it goes on.
    pub async fn list_all(
        &self,
        caller: &Caller,
        query: &JobQuery,
        page: Page,
    ) -> Result<Listing<JobRequest>> {
        self.0.require(caller, Group::Cdn)?;
        let JobQuery { login_email, state, domain, text } = query;
        let domain = domain.as_ref().map(|domain| domain_name("domain", domain)).transpose()?;
        if let Some(text) = text {
            check_text("text", text, 1, 2048, false)?;
        }
        let mut snapshot = self.0.storage().read().await?;
        let account_id = match login_email {
            Some(mail) => Some(self.0.customer_of(&mut *snapshot, caller, Some(mail)).await?.account_id),
            None => None,
        };
        let filter = JobFilter { account_id, state: *state, domain, text: text.clone() };
        let mut oldest = None;
        if filter.is_search() {
            oldest = snapshot.jobs().nth_before(page.before, JobFilter::SEARCHED).await?;
        }
        let bound = oldest.map_or(0, |id| id.0);
        let is_more = bound > page.start;
        let page = Page { start: page.start.max(bound), ..page };
        let rows = snapshot.jobs().requests(&filter, page).await?;
        let before = if filter.is_search() { page.before } else { i64::MAX };
        let total =
            if page.total { Some(snapshot.jobs().count(&filter, bound, before).await?) } else { None };
        let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) == page.count;
        let search_before = Some(bound).filter(|_| is_more && !is_full);
        Ok(Listing { rows, total, search_before })
    }

    /// A page of the caller's own requests.
    pub async fn list_own(&self, caller: &Caller, page: Page) -> Result<Vec<JobRequest>> {
        let mut snapshot = self.0.storage().read().await?;
        let account_id = self.0.customer_of(&mut *snapshot, caller, None).await?.account_id;
        let filter = JobFilter { account_id: Some(account_id), ..JobFilter::default() };
        Ok(snapshot.jobs().requests(&filter, page).await?)
    }

    /// Tries again what failed of a job, by its task id; needs group 8. How many cells, URLs on edges, that are.
    ///
    /// What was confirmed stays so, and what is still tried goes on. Nothing changes where nothing failed.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn retry(&self, caller: &Caller, task_id: &str) -> Result<usize> {
        self.0.require(caller, Group::Cdn)?;
        check_task_id("taskid", task_id)?;
        let work = self.0.write_as(caller).await?;
        self.retry_all(work, &[task_id.to_owned()]).await
    }

    /// Tries again what failed of every part of a request, by the task id of its first job: all parts or none, as
    /// [`Self::retry`] does with one.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn retry_request(&self, caller: &Caller, request: &str) -> Result<usize> {
        self.0.require(caller, Group::Cdn)?;
        check_task_id("request", request)?;
        let mut work = self.0.write_as(caller).await?;
        let JobParts(parts) = work.jobs().parts(request).await?;
        if parts.is_empty() {
            return Err(Error::not_found("the request"));
        }
        let task_ids: Vec<_> = parts.into_iter().map(|part| part.task_id).collect();
        self.retry_all(work, &task_ids).await
    }

    async fn retry_all(&self, mut work: CallerTransaction<'_>, task_ids: &[String]) -> Result<usize> {
        let mut cells = 0;
        for task_id in task_ids {
            let found = work.jobs().find(task_id).await?;
            let job = found.ok_or_else(|| Error::not_found("the task"))?;
            cells += self.retry_job(&mut work, &job).await?;
        }
        if cells > 0 {
            work.commit().await?;
            self.0.storage().announce(&[Topic::Jobs]).await;
        }
        Ok(cells)
    }

    /// Makes the failed cells of a job pending; how many will be tried again. A job without any is left alone.
    async fn retry_job(&self, work: &mut CallerTransaction<'_>, job: &Job) -> Result<usize> {
        if job.state == JobState::Done || failed_cells(&self.progress(&mut **work, job).await?, job) == 0 {
            return Ok(0);
        }
        let due = work.now().await?;
        // Before the progress is read that counts: a worker that reports meanwhile is refused from here on.
        if !work.jobs().retry(&Job { due, ..job.clone() }).await? {
            return Err(Error::conflict("the task was changed meanwhile"));
        }
        let mut rows = self.progress(&mut **work, job).await?;
        let cells = failed_cells(&rows, job);
        for row in rows.iter_mut().filter(|row| row.count(CellState::Failed) > 0) {
            for cell in row.cells.iter_mut().filter(|cell| cell.state == CellState::Failed) {
                *cell = JobCell { state: CellState::Pending, ..cell.clone() };
            }
            work.jobs().record(job.id, row).await?;
        }
        let entry = Entry::new("cdn.retry", &*job.task_id).old(job.digest()).new_digest(job.digest());
        work.record(entry).await?;
        Ok(cells)
    }

    /// Progress of a job on its edges, with those of a failed job that it never came to.
    async fn progress(&self, work: &mut dyn UnitOfWork, job: &Job) -> Result<Vec<EdgeProgress>> {
        let mut rows = work.jobs().progress(job).await?;
        let named = self.0.providers().get(&job.cdn).map(|provider| &provider.capabilities().edges);
        for edge in named.into_iter().flatten().filter(|_| job.state == JobState::Failed) {
            if !rows.iter().any(|row| row.edge == *edge) {
                rows.push(EdgeProgress::pending(edge, job.urls.len()));
            }
        }
        Ok(rows)
    }
}

/// Number of cells that failed. Those that a failed job gave up count.
fn failed_cells(rows: &[EdgeProgress], job: &Job) -> usize {
    let is_over = job.state == JobState::Failed;
    let has_failed = |state| state == CellState::Failed || is_over && state == CellState::Pending;
    rows.iter().flat_map(|row| &row.cells).filter(|cell| has_failed(cell.state)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_found_and_no_other_part_of_it() {
        for url in [
            "tag://a.com/x",
            "http://a.com",
            "HTTPS://A.com/x",
            "http://a.com:80/",
            "http://a.com./x",
            "http://a.com?x=1",
        ] {
            assert!(has_host(url, "a.com"), "{url}");
        }
        for url in ["http://a.com.cn/", "http://b.a.com/", "http://b.com/?u=http://a.com/", "http://a.comx/"]
        {
            assert!(!has_host(url, "a.com"), "{url}");
        }
    }
}
