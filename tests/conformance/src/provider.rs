//! Conformance suite of CDN providers: what every vendor's provider passes over its vendor, or over a fake of it.
//!
//! It goes by the capabilities, and calls the provider as the engine does, through [`Providers`]: what a provider says it can is
//! tried, and what it says it cannot has to be refused by name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use pilothouse_core::ports::{
    Batch, CdnProvider, Clock, Figure, Ids, ItemState, LogFile, Operation, ProviderError, Providers, Purge,
    RandomIds, RemoteTask, Repeat, Submission, SystemClock,
};

/// Longest wait for a task, in polls.
const MAX_POLLS: usize = 100;
/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Pause between two polls.
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// What the suite has to know of the account that a provider speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Domain that is served, and whose traffic is counted by itself.
    pub domain: &'a str,
    /// Host that the account does not serve.
    pub foreign: &'a str,
}

/// Runs the whole suite. The vendor must end tasks within 10 seconds.
///
/// # Panics
/// When the provider does not do what it says.
pub async fn provider_conforms(provider: Arc<dyn CdnProvider>, account: Account<'_>) {
    let name =
        provider.capabilities().edges.first().cloned().expect("a vendor has one edge, by its own name");
    let providers = Providers::from_iter([(name.clone(), provider)]);
    let provider = &**providers.get(&name).expect("it was just added");
    capabilities_are_consistent(provider);
    domains_are_listed(provider, account).await;
    batches_end(provider, account).await;
    foreign_hosts_are_refused(provider, account).await;
    repeats_are_what_is_said(provider, account).await;
    unknown_tasks_are_unknown(provider, account).await;
    quotas_are_spent(provider, account).await;
    traffic_is_told(provider, account).await;
    regions_are_told(provider, account).await;
    logs_are_listed(provider, account).await;
}

/// Items of an operation on a host, different for each `name`.
fn items(operation: Operation, host: &str, name: &str) -> Vec<Purge> {
    let url = |n: usize| match operation {
        Operation::PurgePrefixes => format!("https://{host}/{name}/{n}/*"),
        Operation::PurgeTags => format!("tag://{host}/{name}-{n}"),
        _ => format!("https://{host}/{name}/{n}.jpg?x=1&y=中"),
    };
    (0..3).map(|n| Purge { url: url(n), stamp: 1 }).collect()
}

async fn batch(provider: &dyn CdnProvider, operation: Operation, host: &str, name: &str) -> Batch {
    let groups = provider.groups(&[host.to_owned()]).await.unwrap();
    let group = groups.into_iter().next().unwrap().unwrap_or_default();
    Batch {
        id: RandomIds.uuid().to_string(),
        operation,
        edge: provider.capabilities().edges[0].clone(),
        group,
        items: items(operation, host, name),
        accepted_at: SystemClock.now(),
    }
}

fn capabilities_are_consistent(provider: &dyn CdnProvider) {
    let can = provider.capabilities();
    assert!(can.is_vendor, "the suite is for vendors");
    assert_eq!(can.edges.len(), 1, "a vendor hides its edges behind one name");
    assert!(can.purge_batch > 0 && can.preload_batch > 0);
    for (operation, limits) in &can.limits {
        assert!(limits.items > 0, "{operation:?} takes an item a call at least");
        assert!(limits.in_flight.is_none_or(|most| most >= limits.items), "{operation:?}");
        if let Some(rate) = limits.rate {
            assert!(rate.calls > 0 && rate.burst > 0 && !rate.period.is_zero(), "{operation:?}");
        }
    }
}

async fn domains_are_listed(provider: &dyn CdnProvider, account: Account<'_>) {
    if !provider.capabilities().list_domains {
        return is_refused_by_name(provider.domains().await);
    }
    let domains = provider.domains().await.unwrap();
    let named: BTreeSet<_> = domains.iter().collect();
    let services = provider.services().await.unwrap();
    assert_eq!(named, services.iter().map(|one| &one.domain).collect(), "the same, with group and service");
    assert!(domains.iter().any(|domain| domain == account.domain), "{domains:?}");
    assert!(domains.iter().all(|domain| *domain == domain.to_lowercase()), "{domains:?}");
    assert!(!domains.iter().any(|domain| domain == account.foreign), "{domains:?}");
}

/// Every operation that is possible ends with all items done, and every other is refused.
async fn batches_end(provider: &dyn CdnProvider, account: Account<'_>) {
    for operation in Operation::ALL {
        let batch = batch(provider, operation, account.domain, "ends").await;
        if !provider.capabilities().does(operation) {
            is_refused_by_name(provider.submit(&batch).await);
            continue;
        }
        let submissions = provider.submit(&batch).await.unwrap();
        assert_eq!(submissions.len(), batch.items.len(), "{operation:?}");
        let mut ids = BTreeSet::new();
        for submission in submissions {
            if let Submission::Running(id) = submission.unwrap() {
                assert!(!id.is_empty(), "{operation:?}");
                ids.insert(id);
            }
        }
        for id in ids {
            end(provider, &task(&batch, id)).await;
        }
    }
}

fn task(batch: &Batch, id: String) -> RemoteTask {
    let items = batch.items.iter().map(|item| item.url.clone()).collect();
    let (operation, group) = (batch.operation, batch.group.clone());
    RemoteTask { id, operation, group, items, accepted_at: batch.accepted_at }
}

/// Polls until every item that the task has is done; progress never falls.
async fn end(provider: &dyn CdnProvider, task: &RemoteTask) {
    let mut least = vec![0; task.items.len()];
    for _ in 0..MAX_POLLS {
        let states = provider.poll(std::slice::from_ref(task)).await.unwrap();
        assert_eq!(states.len(), 1);
        assert_eq!(states[0].len(), task.items.len());
        for (state, least) in states[0].iter().zip(&mut least) {
            match state {
                ItemState::Running(percent) => {
                    let percent = percent.unwrap_or(*least);
                    assert!((*least..100).contains(&percent), "{state:?} after {least} %");
                    *least = percent;
                }
                // An item of another task of the batch.
                ItemState::Done | ItemState::Unknown => {}
                ItemState::Failed(reason) | ItemState::Refused(reason) => panic!("{reason}"),
            }
        }
        if !states[0].iter().any(|state| matches!(state, ItemState::Running(_))) {
            assert!(states[0].contains(&ItemState::Done), "{states:?}");
            return;
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
    panic!("the task {} does not end", task.id);
}

/// A host that is not the account's is refused when hosts are grouped, or when a batch with it is submitted.
async fn foreign_hosts_are_refused(provider: &dyn CdnProvider, account: Account<'_>) {
    let hosts = [account.domain.to_owned(), account.foreign.to_owned()];
    let groups = provider.groups(&hosts).await.unwrap();
    assert_eq!(groups.len(), 2);
    groups[0].as_ref().unwrap();
    let error = match &groups[1] {
        Err(error) => error.clone(),
        Ok(_) => {
            let batch = batch(provider, Operation::PurgeUrls, account.foreign, "foreign").await;
            provider.submit(&batch).await.unwrap_err()
        }
    };
    assert!(matches!(error, ProviderError::NotYours(_)), "{error:?}");
}

/// A batch that is submitted twice has the same tasks where that is said; where it would cost, its tasks are found again.
async fn repeats_are_what_is_said(provider: &dyn CdnProvider, account: Account<'_>) {
    let batch = batch(provider, Operation::PurgeUrls, account.domain, "again").await;
    let first = provider.submit(&batch).await.unwrap();
    match provider.capabilities().repeat {
        Repeat::Free | Repeat::Keyed => {
            let second = provider.submit(&batch).await.unwrap();
            assert_eq!(first, second);
        }
        Repeat::LookFirst => {
            let found = provider.find(&batch).await.unwrap();
            assert_eq!(found.len(), batch.items.len());
            for id in found {
                let task = task(&batch, id.expect("every item is found"));
                end(provider, &task).await;
            }
            let mut larger = batch.clone();
            let url = format!("https://{}/never-submitted", account.domain);
            larger.items.push(Purge { url, stamp: 1 });
            let found = provider.find(&larger).await.unwrap();
            assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false]);
            let later = Batch { accepted_at: batch.accepted_at + TimeDelta::hours(1), ..batch };
            let found = provider.find(&later).await.unwrap();
            assert!(found.iter().all(Option::is_none), "a task from before does not count: {found:?}");
        }
        _ => {}
    }
}

/// A task that the vendor never heard of is said to be unknown, and fails nothing else.
async fn unknown_tasks_are_unknown(provider: &dyn CdnProvider, account: Account<'_>) {
    let batch = batch(provider, Operation::PurgeUrls, account.domain, "known").await;
    let submissions = provider.submit(&batch).await.unwrap();
    // A vendor without tasks has none to be asked about.
    let Ok(Submission::Running(id)) = &submissions[0] else { return };
    let known = task(&batch, id.clone());
    let unknown = RemoteTask { id: "99999999999".to_owned(), ..known.clone() };
    let states = provider.poll(&[unknown, known]).await.unwrap();
    assert!(states[0].iter().all(|state| *state == ItemState::Unknown), "{states:?}");
    assert_ne!(states[1][0], ItemState::Unknown);
}

async fn quotas_are_spent(provider: &dyn CdnProvider, account: Account<'_>) {
    if !provider.capabilities().quota {
        return is_refused_by_name(provider.quota().await);
    }
    let now = SystemClock.now();
    let before = provider.quota().await.unwrap();
    assert!(!before.is_empty());
    for quota in &before {
        assert!((0..=quota.total).contains(&quota.left) && !quota.pool.is_empty(), "{quota:?}");
        assert!(quota.resets_at > now && quota.resets_at <= now + TimeDelta::days(1), "{quota:?}");
    }
    let batch = batch(provider, Operation::PurgeUrls, account.domain, "quota").await;
    provider.submit(&batch).await.unwrap();
    let after = provider.quota().await.unwrap();
    let spent = before
        .iter()
        .zip(&after)
        .any(|(before, after)| before.operation == Operation::PurgeUrls && before.left - after.left == 3);
    assert!(spent, "{before:?} {after:?}");
}

/// Begin and end of a range of whole buckets that ends now.
fn hours(count: i64) -> (DateTime<Utc>, DateTime<Utc>) {
    let now = SystemClock.now().timestamp() / 300 * 300;
    let to = DateTime::from_timestamp(now, 0).unwrap();
    (to - TimeDelta::hours(count), to)
}

async fn traffic_is_told(provider: &dyn CdnProvider, account: Account<'_>) {
    let (from, to) = hours(3);
    let domains = [account.domain.to_owned()];
    let figures = provider.series(&domains, from, to).await;
    if !provider.capabilities().series {
        return is_refused_by_name(figures);
    }
    let figures = figures.unwrap();
    assert!(figures.known_until > from && figures.known_until <= to, "{}", figures.known_until);
    assert!(!figures.rows.is_empty());
    let mut buckets = BTreeSet::new();
    for row in &figures.rows {
        assert_eq!((row.domain.as_str(), row.bucket.timestamp() % 300), (account.domain, 0));
        assert!(row.bucket >= from && row.bucket < to && row.bytes >= 0, "{row:?}");
        assert!(buckets.insert(row.bucket), "{} comes twice", row.bucket);
        parts_are_within_the_whole(row, figures.estimated);
    }
    // Cut anywhere, the parts have the same rows.
    let middle = from + TimeDelta::hours(1);
    let mut parts = provider.series(&domains, from, middle).await.unwrap().rows;
    parts.extend(provider.series(&domains, middle, to).await.unwrap().rows);
    let known = |row: &&Figure| row.bucket < figures.known_until;
    assert!(parts.iter().filter(known).eq(figures.rows.iter().filter(known)));
    // A range that no call can ask for at once is asked for in parts.
    let (from, to) = hours(24 * 8);
    let long = provider.series(&domains, from, to).await.unwrap();
    assert!(long.rows.iter().any(|row| row.bucket < from + TimeDelta::days(1)));
    assert!(long.rows.iter().any(|row| row.bucket >= from + TimeDelta::days(7)));
}

/// Hits are among bytes and requests, and so are the classes of status, each where it is known. Estimates are each rounded for
/// itself, so only their sum may be above.
fn parts_are_within_the_whole(row: &Figure, is_estimated: bool) {
    assert!(row.hit_bytes.is_none_or(|hits| (0..=row.bytes).contains(&hits)), "{row:?}");
    let Some(requests) = row.requests else { return };
    assert!(requests >= 0 && row.hits.is_none_or(|hits| (0..=requests).contains(&hits)), "{row:?}");
    let classes = row.classes.unwrap_or_default();
    assert!(classes.iter().all(|answers| (0..=requests).contains(answers)), "{row:?}");
    assert!(is_estimated || classes.iter().sum::<i64>() <= requests, "{row:?}");
}

async fn regions_are_told(provider: &dyn CdnProvider, account: Account<'_>) {
    let (from, to) = hours(24);
    let areas = provider.areas(account.domain, from, to).await;
    if !provider.capabilities().areas {
        return is_refused_by_name(areas);
    }
    let areas = areas.unwrap();
    assert!(!areas.is_empty());
    let names: BTreeSet<_> = areas.iter().map(|area| &area.name).collect();
    assert_eq!(names.len(), areas.len(), "{areas:?}");
    assert!(areas.iter().all(|area| area.bytes >= 0 && !area.name.is_empty()), "{areas:?}");
}

async fn logs_are_listed(provider: &dyn CdnProvider, account: Account<'_>) {
    let day = SystemClock.now().date_naive() - TimeDelta::days(1);
    let files = provider.logs(account.domain, day).await;
    if !provider.capabilities().logs {
        is_refused_by_name(files);
        let (name, link) = (String::new(), String::new());
        let (from, until) = hours(1);
        let file = LogFile { name, link, bytes: None, from, until };
        return is_refused_by_name(provider.log_content(&file).await.map(|_| ()));
    }
    let files = files.unwrap();
    assert!(!files.is_empty());
    let names: BTreeSet<_> = files.iter().map(|file| &file.name).collect();
    assert_eq!(names.len(), files.len(), "{files:?}");
    for file in &files {
        assert_eq!(file.from.date_naive(), day, "{file:?}");
        assert!(file.until > file.from && file.link.contains("://"), "{file:?}");
    }
    let mut content = provider.log_content(&files[0]).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = content.next().await {
        bytes.extend(piece.unwrap());
    }
    assert!(bytes.starts_with(&GZIP), "{bytes:?}");
    if let Some(expected) = files[0].bytes {
        assert_eq!(i64::try_from(bytes.len()).unwrap(), expected);
    }
}

/// An operation that is not among the capabilities names provider and operation.
fn is_refused_by_name<T: std::fmt::Debug>(answer: Result<T, ProviderError>) {
    match answer {
        Err(ProviderError::Unsupported { provider, operation }) => {
            assert!(!provider.is_empty() && !operation.is_empty());
        }
        answer => panic!("an operation that is not possible was answered: {answer:?}"),
    }
}
