//! Cutting of batches: what waits from many jobs becomes one call within the vendor's limits, each URL once.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::batch::{BatchItem, BatchState, VendorBatch};
use super::spending::VendorSpending;
use crate::cdn::purge::target;
use crate::ports::{CallLimits, Operation};

/// Operation that purges a URL of a refresh, which may end in `*`.
pub(super) fn purge_operation(url: &str) -> Operation {
    if target::is_tag(url) {
        Operation::PurgeTags
    } else if target::is_prefix(url) {
        Operation::PurgePrefixes
    } else {
        Operation::PurgeUrls
    }
}

/// Result of a cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cutting {
    /// The batch, cut.
    pub(super) batch: VendorBatch,
    /// Those that waited and of which something is left.
    pub(super) left: Vec<VendorBatch>,
    /// Ids of those of which nothing is left.
    pub(super) used_up: Vec<String>,
    /// Spending of the batch from quotas that customers have a share of.
    pub(super) spending: Vec<VendorSpending>,
}

/// Cuts one batch, under a new id, of what waits for the same operation, the longest waiting first. `groups` are those of
/// its URLs, and a URL without one is left out. `None` where nothing can be cut.
pub(super) fn cut(
    id: String,
    waiting: &[&VendorBatch],
    groups: &HashMap<String, String>,
    limits: CallLimits,
    now: DateTime<Utc>,
) -> Option<Cutting> {
    let first = *waiting.first()?;
    let mut of_group = waiting.iter().flat_map(|one| &one.items).filter_map(|item| groups.get(&item.url));
    let group = of_group.next()?.clone();
    let mut items: Vec<BatchItem> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let (mut jobs, mut bytes) = (BTreeSet::new(), 0);
    let (mut left, mut used_up) = (Vec::new(), Vec::new());
    for one in waiting {
        let mut rest = Vec::new();
        for item in &one.items {
            if groups.get(&item.url) != Some(&group) {
                rest.push(item.clone());
            } else if let Some(place) = places.get(&item.url) {
                items[*place].failures = items[*place].failures.max(item.failures);
            } else if items.len() < limits.items
                && (items.is_empty() || limits.bytes.is_none_or(|most| bytes + item.url.len() <= most))
            {
                bytes += item.url.len();
                places.insert(item.url.clone(), items.len());
                items.push(item.clone());
            } else {
                rest.push(item.clone());
            }
        }
        if rest.len() < one.items.len() {
            jobs.extend(one.jobs.iter().cloned());
            if rest.is_empty() {
                used_up.push(one.id.clone());
            } else {
                left.push(VendorBatch { items: rest, ..(*one).clone() });
            }
        }
    }
    let batch = VendorBatch {
        id,
        cdn: first.cdn.clone(),
        operation: first.operation,
        group,
        state: BatchState::Cut,
        accepted_at: now,
        due: now,
        tries: 0,
        items,
        jobs: jobs.into_iter().collect(),
    };
    Some(Cutting { batch, left, used_up, spending: Vec::new() })
}

/// Two halves of a batch that was refused as a whole, under ids of their own.
pub(super) fn halve(batch: &VendorBatch, ids: [String; 2], now: DateTime<Utc>) -> [VendorBatch; 2] {
    let (one, other) = batch.items.split_at(batch.items.len().div_ceil(2));
    let [first, second] = ids;
    let half = |id, items: &[BatchItem]| VendorBatch {
        id,
        state: BatchState::Cut,
        due: now,
        tries: 0,
        items: items.to_vec(),
        ..batch.clone()
    };
    [half(first, one), half(second, other)]
}

/// Hosts of URLs, each once.
pub(super) fn hosts<'a>(urls: impl Iterator<Item = &'a str>) -> Vec<String> {
    let hosts: HashSet<String> = urls.map(host).collect();
    let mut hosts: Vec<_> = hosts.into_iter().collect();
    hosts.sort_unstable();
    hosts
}

/// Host of an accepted URL or tag, as its domain is registered.
pub(super) fn host(url: &str) -> String {
    target::item_host(url).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(id: &str, urls: &[&str]) -> VendorBatch {
        VendorBatch {
            id: id.to_owned(),
            cdn: "v".to_owned(),
            operation: Operation::PurgeUrls,
            group: String::new(),
            state: BatchState::Waiting,
            accepted_at: DateTime::UNIX_EPOCH,
            due: DateTime::UNIX_EPOCH,
            tries: 0,
            items: urls.iter().map(|url| BatchItem::new(*url)).collect(),
            jobs: vec![format!("job-{id}")],
        }
    }

    /// Groups by the second letter of the URL.
    fn groups(urls: &[&str]) -> HashMap<String, String> {
        urls.iter().map(|url| ((*url).to_owned(), url[1..2].to_owned())).collect()
    }

    fn urls(batch: &VendorBatch) -> Vec<&str> {
        batch.items.iter().map(|item| item.url.as_str()).collect()
    }

    #[test]
    fn what_waits_is_put_together_each_url_once_and_no_more_than_a_call_takes() {
        let rows =
            [waiting("1", &["1a", "2a"]), waiting("2", &["2a", "3a", "4a"]), waiting("3", &["1a", "5b"])];
        let rows: Vec<_> = rows.iter().collect();
        let groups = groups(&["1a", "2a", "3a", "4a", "5b"]);
        let cutting = cut("new".into(), &rows, &groups, CallLimits::items(3), DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(urls(&cutting.batch), ["1a", "2a", "3a"]);
        assert_eq!(cutting.batch.jobs, ["job-1", "job-2", "job-3"]);
        assert_eq!((cutting.batch.group.as_str(), cutting.batch.state), ("a", BatchState::Cut));
        assert_eq!(cutting.left.iter().map(urls).collect::<Vec<_>>(), [vec!["4a"], vec!["5b"]]);
        assert_eq!(cutting.used_up, ["1"]);
    }

    #[test]
    fn a_call_has_a_limit_of_bytes_and_one_url_at_least() {
        let rows = [waiting("1", &["1a", "2a", "3a"])];
        let rows: Vec<_> = rows.iter().collect();
        let groups = groups(&["1a", "2a", "3a"]);
        let limits = |bytes| CallLimits::items(9).with_bytes(Some(bytes));
        for (bytes, expected) in [(4, vec!["1a", "2a"]), (1, vec!["1a"])] {
            let cutting = cut("n".into(), &rows, &groups, limits(bytes), DateTime::UNIX_EPOCH).unwrap();
            assert_eq!(urls(&cutting.batch), expected);
        }
        assert_eq!(cut("n".into(), &rows, &HashMap::new(), limits(9), DateTime::UNIX_EPOCH), None);
    }

    #[test]
    fn halves_hold_everything_once() {
        let halves =
            halve(&waiting("1", &["1a", "2a", "3a"]), ["x".into(), "y".into()], DateTime::UNIX_EPOCH);
        assert_eq!(halves.each_ref().map(urls), [vec!["1a", "2a"], vec!["3a"]]);
        assert_eq!(halves[1].jobs, ["job-1"]);
    }
}
