//! Parts of a request: its jobs, by cdn and batch, and what they are together.

use std::collections::BTreeSet;

use super::job::JobState;

/// One job of a request, without its URLs, of which there may be two megabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPart {
    /// Task id that callers know the job by.
    pub task_id: String,
    /// Name of the cdn.
    pub cdn: String,
    /// Number of its URLs.
    pub urls: i64,
    /// Pending, done, or failed for good.
    pub state: JobState,
    /// Confirmed share in percent, over all edges of the cdn.
    pub percent: i64,
    /// Reason why it is not done, in one line; empty where there is nothing to say.
    pub reason: String,
}

/// Jobs of one request in the order of their acceptance; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobParts(pub Vec<JobPart>);

impl JobParts {
    /// Pending while any part is, then failed where any part failed.
    pub fn state(&self) -> JobState {
        let states = [JobState::Pending, JobState::Failed];
        let found = states.into_iter().find(|state| self.0.iter().any(|part| part.state == *state));
        found.unwrap_or(JobState::Done)
    }

    /// Percentage over all cdns, in which each URL on each cdn counts the same; rounded down, never falls, and is 100 only
    /// when every part is done.
    pub fn percent(&self) -> i64 {
        let done: i64 = self.0.iter().map(|part| part.percent * part.urls).sum();
        done / self.urls().max(1)
    }

    /// Number of URLs, each counted on each of its cdns.
    pub fn urls(&self) -> i64 {
        self.0.iter().map(|part| part.urls).sum()
    }

    /// Names of the cdns, each once.
    pub fn cdns(&self) -> BTreeSet<&str> {
        self.0.iter().map(|part| part.cdn.as_str()).collect()
    }

    /// Reason of the first part that failed, or else of the first that has one, with its cdn where there are several parts.
    pub fn reason(&self) -> String {
        let mut said = self.0.iter().filter(|part| !part.reason.is_empty());
        let first = said.clone().next();
        match said.find(|part| part.state == JobState::Failed).or(first) {
            Some(part) if self.0.len() > 1 => format!("{}: {}", part.cdn, part.reason),
            Some(part) => part.reason.clone(),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(cdn: &str, urls: i64, state: JobState, percent: i64, reason: &str) -> JobPart {
        let (cdn, reason) = (cdn.to_owned(), reason.to_owned());
        JobPart { task_id: String::new(), cdn, urls, state, percent, reason }
    }

    #[test]
    fn every_url_on_every_cdn_counts_the_same() {
        let done = part("edges", 1000, JobState::Done, 100, "");
        let silent = part("vendor", 500, JobState::Pending, 0, "the quota is used up");
        let parts = JobParts(vec![done.clone(), silent.clone()]);
        assert_eq!((parts.state(), parts.percent(), parts.urls()), (JobState::Pending, 66, 1500));
        assert_eq!(parts.reason(), "vendor: the quota is used up");
        let nearly = JobPart { urls: 1, percent: 99, ..silent };
        assert_eq!(JobParts(vec![done.clone(), nearly]).percent(), 99);
        let all = JobParts(vec![done.clone(), done]);
        assert_eq!((all.state(), all.percent(), all.reason()), (JobState::Done, 100, String::new()));
    }

    #[test]
    fn a_part_that_failed_is_told_before_one_that_waits() {
        let waits = part("edges", 1, JobState::Pending, 50, "edge-1: down");
        let failed = part("vendor", 1, JobState::Failed, 0, "vendor cannot preload");
        let both = JobParts(vec![waits.clone(), failed.clone()]);
        assert_eq!((both.state(), both.percent()), (JobState::Pending, 25));
        assert_eq!(both.reason(), "vendor: vendor cannot preload");
        assert_eq!(both.cdns(), ["edges", "vendor"].into());
        assert_eq!(JobParts(vec![waits]).reason(), "edge-1: down");
        assert_eq!(JobParts(vec![failed]).state(), JobState::Failed);
    }
}
