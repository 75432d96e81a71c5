//! Edges and their logs: which are silent, and whose lines are missing.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::alarm_row::{Alarm, AlarmKind, AlarmSubject};
use crate::cdn::identifier::CdnId;
use crate::cdn::purge::{Edge, EdgeState, age_of_states};
use crate::cdn::traffic::{EdgeLog, LogKind, last_gap};
use crate::ports::Repositories;
use crate::{Pilothouse, Result};

/// Time for which a gap of a log is an alarm, as it is shown by the metric.
const GAP_SHOWN: TimeDelta = TimeDelta::hours(24);
/// Age up to which the stored states of edges are those of now.
const FRESH: TimeDelta = TimeDelta::seconds(10);
/// Time after which the log of an edge is no longer called unreadable when nobody says so again: its reader has gone.
pub(super) const UNREADABLE_SHOWN: TimeDelta = TimeDelta::minutes(3);

/// Time without a word after which an edge that ships its log is silent. `pilothouse ship` asks every minute.
const SHIPPING_SILENT: TimeDelta = TimeDelta::minutes(15);
/// Reason of the alarm of such an edge.
const NOT_SHIPPED: &str = "its log is not shipped any more";
/// Time for which what an edge ships has to be refused before lines are missing: it may be about to ship again what was lost.
const REFUSED: TimeDelta = TimeDelta::minutes(1);

/// State of an edge or its log, as far as an alarm is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It is out of order: since when, when it was last noticed, and why.
    Bad { since: DateTime<Utc>, noticed: DateTime<Utc>, reason: String },
    /// It is in order.
    Good,
}

/// Conditions of edges, by kind and subject. What is not among them is not known.
pub(super) type Conditions = HashMap<(AlarmKind, AlarmSubject), Condition>;

/// Looks at all edges that the settings or open alarms name.
pub(super) async fn conditions(
    pilothouse: &Pilothouse,
    repositories: &mut dyn Repositories,
    now: DateTime<Utc>,
    open: &[Alarm],
) -> Result<Conditions> {
    let mut conditions = Conditions::new();
    let mut named = BTreeSet::new();
    for (cdn, provider) in pilothouse.providers().iter() {
        let edges = provider.capabilities().edges.iter();
        named.extend(edges.map(|edge| (cdn.to_owned(), edge.clone())));
    }
    let shippers = pilothouse.settings().log_shippers.iter().filter(|shipper| !shipper.is_followed);
    let shippers: BTreeSet<_> = shippers.map(|shipper| (shipper.cdn.clone(), shipper.edge.clone())).collect();
    named.extend(shippers.iter().cloned());
    for alarm in open {
        if let AlarmSubject::Edge { cdn, edge } = &alarm.subject {
            named.insert((cdn.clone(), edge.clone()));
        }
        if alarm.kind == AlarmKind::UnreadableLog && now - alarm.last_seen >= UNREADABLE_SHOWN {
            conditions.insert((alarm.kind, alarm.subject.clone()), Condition::Good);
        }
    }
    let cdns: BTreeSet<_> = named.iter().map(|(cdn, _)| cdn.clone()).collect();
    let ids: HashMap<String, CdnId> =
        repositories.cdns().list().await?.into_iter().map(|cdn| (cdn.name, cdn.id)).collect();
    for cdn in cdns {
        let edges = named.iter().filter(|(of, _)| *of == cdn).map(|(_, edge)| edge);
        let age = age_of_states(repositories, &cdn, now).await?;
        let is_led = age.is_some_and(|age| age <= FRESH);
        let rows = repositories.edges().list(&cdn).await?;
        let silent_after = pilothouse.settings().edge_silent_after;
        for edge in edges {
            let subject = AlarmSubject::Edge { cdn: cdn.clone(), edge: edge.clone() };
            // Where nobody renews the leases, nobody knows how the edges are.
            if is_led {
                let row = rows.iter().find(|row| row.name == *edge);
                if let Some(condition) = silence(row, silent_after, now) {
                    conditions.insert((AlarmKind::SilentEdge, subject.clone()), condition);
                }
            }
            let gap = match ids.get(&cdn) {
                Some(id) => last_gap(repositories, *id, edge).await?,
                None => None,
            };
            let condition = match gap.filter(|gap| now - gap.noticed < GAP_SHOWN) {
                Some(gap) => Condition::Bad { since: gap.noticed, noticed: gap.noticed, reason: gap.reason },
                None => Condition::Good,
            };
            conditions.insert((AlarmKind::LogGap, subject.clone()), condition);
            if let Some(id) = ids.get(&cdn).filter(|_| shippers.contains(&(cdn.clone(), edge.clone()))) {
                let shipped = repositories.edge_logs().find(*id, edge, LogKind::Shipped).await?;
                let silent = (AlarmKind::SilentEdge, subject.clone());
                let is_told = |alarm: &&Alarm| (alarm.kind, &alarm.subject) == (silent.0, &silent.1);
                let told = open.iter().find(is_told);
                // Where nobody looks after the edges, shipping ends the alarm that the end of shipping began.
                if !is_led && shipped.is_some() && told.is_some_and(|alarm| alarm.reason == NOT_SHIPPED) {
                    conditions.insert(silent, Condition::Good);
                }
                let found = shipped.iter().flat_map(|log| shipping(log, now));
                conditions.extend(found.map(|(kind, condition)| ((kind, subject.clone()), condition)));
            }
        }
    }
    Ok(conditions)
}

/// Conditions of a shipped log that say more than those of its edge.
fn shipping(log: &EdgeLog, now: DateTime<Utc>) -> Vec<(AlarmKind, Condition)> {
    let bad = |since: DateTime<Utc>, reason: String| Condition::Bad { since, noticed: since, reason };
    let mut conditions = Vec::new();
    if now - log.seen >= SHIPPING_SILENT {
        conditions.push((AlarmKind::SilentEdge, bad(log.seen, NOT_SHIPPED.to_owned())));
    }
    if let Some(refusal) = log.refusal.as_ref().filter(|refusal| now - refusal.since >= REFUSED) {
        conditions.push((AlarmKind::LogGap, bad(refusal.since, refusal.reason.clone())));
    }
    // As long as nothing better was judged, however long ago that was.
    if let Some(judged) = log.judged {
        let condition = if judged.is_garbled() {
            let percent = judged.unreadable * 100 / judged.lines.max(1);
            bad(judged.since, format!("{percent} % of {} lines cannot be read", judged.lines))
        } else {
            Condition::Good
        };
        conditions.push((AlarmKind::UnreadableLog, condition));
    }
    conditions
}

/// Whether an edge is silent; `None` while that is to be seen. It stays so until it is in service again.
fn silence(edge: Option<&Edge>, after: TimeDelta, now: DateTime<Utc>) -> Option<Condition> {
    let Some(edge) = edge else { return Some(Condition::Good) };
    match edge.state {
        EdgeState::InService => Some(Condition::Good),
        EdgeState::CatchingUp => None,
        EdgeState::Unreachable => (now - edge.since >= after).then(|| Condition::Bad {
            since: edge.since,
            noticed: edge.since,
            reason: edge.reason.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_silent_after_some_time_and_until_it_is_in_service() {
        let (since, after) = (DateTime::UNIX_EPOCH, TimeDelta::seconds(60));
        let edge = |state| Edge {
            cdn: "level3".to_owned(),
            name: "edge-1".to_owned(),
            epoch: 0,
            state,
            since,
            last_seen: None,
            reason: "no answer".to_owned(),
        };
        let at = |state, seconds| silence(Some(&edge(state)), after, since + TimeDelta::seconds(seconds));
        assert_eq!(at(EdgeState::Unreachable, 59), None);
        let silent = Condition::Bad { since, noticed: since, reason: "no answer".to_owned() };
        assert_eq!(at(EdgeState::Unreachable, 60), Some(silent));
        assert_eq!(at(EdgeState::CatchingUp, 60), None);
        assert_eq!(at(EdgeState::InService, 60), Some(Condition::Good));
        assert_eq!(silence(None, after, since), Some(Condition::Good), "the settings name it no more");
    }
}
