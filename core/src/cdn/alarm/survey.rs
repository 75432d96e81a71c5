//! Survey: what there is to change about the alarms, from one look at traffic, edges and logs.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::alarm_row::{Alarm, AlarmId, AlarmKind, AlarmSubject};
use super::edge_watch::{Condition, conditions};
use super::episode::{Episode, Values, WINDOW};
use super::threshold::Threshold;
use crate::account::AccountId;
use crate::cdn::customers::Domain;
use crate::cdn::identifier::DomainId;
use crate::cdn::traffic::{BUCKET_SECONDS, Bucket, FigureSink, Figures, scan};
use crate::ports::Repositories;
use crate::{Pilothouse, Result};

/// Time after its end at which a bucket is closed: its lines have arrived by then, unless an edge ships them late.
const GRACE: TimeDelta = TimeDelta::seconds(60);
/// Buckets before a change of a threshold that are compared with it.
const LOOK_BACK: Bucket = 3;

/// Kind and subject, by which one alarm is open at a time.
pub(super) type AlarmKey = (AlarmKind, AlarmSubject);

/// Change of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It begins; it has ended already where it was noticed late.
    Begun(Alarm),
    /// It goes on, and more is known of it.
    Continued(Alarm),
    /// It ends.
    Ended(Alarm),
}

impl Change {
    pub(super) fn alarm(&self) -> &Alarm {
        match self {
            Self::Begun(alarm) | Self::Continued(alarm) | Self::Ended(alarm) => alarm,
        }
    }

    pub(super) fn key(&self) -> AlarmKey {
        (self.alarm().kind, self.alarm().subject.clone())
    }
}

/// A look at everything that alarms are about.
pub(super) struct Survey<'a> {
    pilothouse: &'a Pilothouse,
    repositories: &'a mut dyn Repositories,
    now: DateTime<Utc>,
    /// Scope of the look; everything where there is none.
    only: Option<&'a HashSet<AlarmKey>>,
    /// Open alarms that were not looked at yet.
    open: HashMap<AlarmKey, Alarm>,
    changes: Vec<Change>,
}

/// Figures of names in consecutive buckets.
struct NameFigures {
    name_of: HashMap<DomainId, String>,
    first: Bucket,
    figures: BTreeMap<String, Vec<Figures>>,
}

impl FigureSink for NameFigures {
    fn add(&mut self, domain_id: DomainId, bucket: Bucket, figures: Figures) {
        let place = usize::try_from(bucket - self.first).unwrap_or_default();
        let name = self.name_of.get(&domain_id);
        if let Some(sum) = name.and_then(|name| self.figures.get_mut(name)?.get_mut(place)) {
            sum.add(figures);
        }
    }
}

impl<'a> Survey<'a> {
    /// Changes to make, and the alarms that were open before.
    pub(super) async fn run(
        pilothouse: &'a Pilothouse,
        repositories: &'a mut dyn Repositories,
        now: DateTime<Utc>,
        only: Option<&'a HashSet<AlarmKey>>,
    ) -> Result<(Vec<Change>, Vec<Alarm>)> {
        let open = repositories.alarms().open().await?;
        let by_key = open.iter().map(|alarm| ((alarm.kind, alarm.subject.clone()), alarm.clone())).collect();
        let mut survey = Self { pilothouse, repositories, now, only, open: by_key, changes: Vec::new() };
        survey.domains().await?;
        survey.edges(&open).await?;
        Ok((survey.changes, open))
    }

    fn is_asked(&self, key: &AlarmKey) -> bool {
        self.only.is_none_or(|only| only.contains(key))
    }

    /// Compares the domains of all customers with their thresholds.
    async fn domains(&mut self) -> Result<()> {
        for account_id in self.repositories.thresholds().accounts().await? {
            let is_of = |(_, subject): &AlarmKey| subject.columns().0 == account_id;
            if self.only.is_none_or(|only| only.iter().any(is_of)) {
                self.customer(account_id).await?;
            }
        }
        // Those whose threshold was deleted or whose domain was released.
        let is_orphan = |key: &AlarmKey| matches!(key.1, AlarmSubject::Domain { .. });
        let orphans: Vec<_> = self.open.keys().filter(|key| is_orphan(key)).cloned().collect();
        for key in orphans {
            if let Some(alarm) = self.open.remove(&key).filter(|_| self.is_asked(&key)) {
                self.changes.push(Change::Ended(Alarm { ended: Some(self.now), ..alarm }));
            }
        }
        Ok(())
    }

    async fn customer(&mut self, account_id: AccountId) -> Result<()> {
        let thresholds = self.repositories.thresholds().of_account(account_id).await?;
        let held = self.repositories.domains().of_account(account_id, None).await?;
        let closed = (self.now - GRACE).timestamp().div_euclid(BUCKET_SECONDS);
        let mut figures = NameFigures::of(&held, &thresholds, closed - WINDOW);
        let ids: Vec<_> = figures.name_of.keys().copied().collect();
        let buckets = figures.first..=closed - 1;
        scan(self.repositories, &ids, buckets, &mut figures).await?;
        for threshold in &thresholds {
            let Some(buckets) = figures.figures.get(&threshold.domain) else { continue };
            for (kind, limit) in threshold.limits() {
                let values: Vec<_> = buckets.iter().map(|figures| threshold.value(kind, *figures)).collect();
                let values = Values { kind, limit, first: figures.first, values: &values };
                self.compare(threshold, &values).await?;
            }
        }
        Ok(())
    }

    /// Compares a domain with one limit of its threshold.
    async fn compare(&mut self, threshold: &Threshold, values: &Values<'_>) -> Result<()> {
        let (account_id, domain) = (threshold.account_id, threshold.domain.clone());
        let key = (values.kind, AlarmSubject::Domain { account_id, domain });
        if !self.is_asked(&key) {
            self.open.remove(&key);
            return Ok(());
        }
        let later = if let Some(open) = self.open.remove(&key) {
            self.go_on(&open, values)
        } else {
            let changed = threshold.changed.timestamp().div_euclid(BUCKET_SECONDS);
            let mut found = values.episodes(changed - LOOK_BACK);
            if !found.is_empty() {
                let told = self.repositories.alarms().last_seen(key.0, &key.1).await?;
                let told = told.map_or(0, |at| at.timestamp().div_euclid(BUCKET_SECONDS));
                found = values.episodes(told.max(changed - LOOK_BACK));
            }
            found
        };
        for (episode, is_over) in later {
            let (kind, subject) = key.clone();
            self.changes.push(Change::Begun(Alarm {
                id: AlarmId::UNSAVED,
                kind,
                subject,
                threshold: Some(values.limit),
                value: Some(episode.worst),
                reason: String::new(),
                begun: begin(episode.begun),
                last_seen: begin(episode.last + 1),
                ended: is_over.then_some(self.now),
            }));
        }
        Ok(())
    }

    /// Goes on with an open alarm; the episodes that began after it.
    fn go_on(&mut self, open: &Alarm, values: &Values<'_>) -> Vec<(Episode, bool)> {
        let bucket = |at: DateTime<Utc>| at.timestamp().div_euclid(BUCKET_SECONDS);
        let (begun, last) = (bucket(open.begun), bucket(open.last_seen) - 1);
        let known = Episode { begun, last, worst: open.value.unwrap_or_default() };
        let continued = values.go_on_with(known);
        let mut next = Alarm { threshold: Some(values.limit), ..open.clone() };
        if let Some(episode) = continued.episode {
            next.value = Some(episode.worst);
            next.last_seen = begin(episode.last + 1);
        }
        if continued.is_over {
            self.changes.push(Change::Ended(Alarm { ended: Some(self.now), ..next }));
        } else if next != *open {
            self.changes.push(Change::Continued(next));
        }
        continued.later
    }

    /// Compares edges and their logs with what they should be.
    async fn edges(&mut self, open: &[Alarm]) -> Result<()> {
        let found = conditions(self.pilothouse, self.repositories, self.now, open).await?;
        for (key, condition) in found {
            if !self.is_asked(&key) {
                continue;
            }
            match (self.open.remove(&key), condition) {
                (Some(alarm), Condition::Good) => {
                    self.changes.push(Change::Ended(Alarm { ended: Some(self.now), ..alarm }));
                }
                (Some(alarm), Condition::Bad { noticed, reason, .. }) => {
                    let next = Alarm { last_seen: noticed, reason, ..alarm.clone() };
                    if next != alarm {
                        self.changes.push(Change::Continued(next));
                    }
                }
                (None, Condition::Bad { since, noticed, reason }) => {
                    let told = self.repositories.alarms().last_seen(key.0, &key.1).await?;
                    if told.is_none_or(|told| told < noticed) {
                        let begun = Alarm::of_edge(key, since, noticed, reason);
                        self.changes.push(Change::Begun(begun));
                    }
                }
                (None, Condition::Good) => {}
            }
        }
        Ok(())
    }
}

impl NameFigures {
    /// Empty figures of the names among those that are held which have thresholds, in a window of buckets.
    fn of(held: &[Domain], thresholds: &[Threshold], first: Bucket) -> Self {
        let has_threshold = |domain: &&Domain| thresholds.iter().any(|found| found.domain == domain.name);
        let name_of: HashMap<_, _> =
            held.iter().filter(has_threshold).map(|domain| (domain.id, domain.name.clone())).collect();
        let empty = vec![Figures::default(); usize::try_from(WINDOW).unwrap_or_default()];
        let figures = name_of.values().map(|name| (name.clone(), empty.clone())).collect();
        Self { name_of, first, figures }
    }
}

impl Alarm {
    /// Alarm of an edge that begins.
    pub(super) fn of_edge(
        (kind, subject): AlarmKey,
        begun: DateTime<Utc>,
        last_seen: DateTime<Utc>,
        reason: String,
    ) -> Self {
        let id = AlarmId::UNSAVED;
        Self { id, kind, subject, threshold: None, value: None, reason, begun, last_seen, ended: None }
    }
}

/// Begin of a bucket.
fn begin(bucket: Bucket) -> DateTime<Utc> {
    DateTime::from_timestamp(bucket * BUCKET_SECONDS, 0).unwrap_or_default()
}
