//! Alarms over time: domains against their thresholds, edges, logs, their events, and several servers.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_conformance::doubles::ScriptedProvider;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{
    Alarm, AlarmFilter, AlarmKind, AlarmQuery, AlarmWorker, Batch, Cell, Edge, EdgeState, Figures, Share,
    SourceChange, Threshold,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Error, Lease, Page};
use serde_json::{Value, json};

use super::{CdnFixture, OTHER_MAIL, USER_MAIL};
use crate::webhook::{events, subscribed};

const DOMAIN: &str = "cdn.exrqs.com";
/// Begin of a bucket: 2016-09-13 15:40:00 in Shanghai.
const BEGIN: i64 = 1_473_752_400;

struct AlarmFixture {
    cdn: CdnFixture,
    worker: AlarmWorker,
}

fn threshold(domain: &str) -> Threshold {
    Threshold {
        account_id: AccountId::UNSAVED,
        domain: domain.to_owned(),
        bandwidth: None,
        error_ratio: None,
        hit_ratio: None,
        min_requests: 10,
        changed: DateTime::UNIX_EPOCH,
    }
}

fn figures(flux: i64, requests: i64, hits: i64, errors: i64) -> Figures {
    Figures { flux, hit_flux: 0, requests, hits, classes: [requests - errors, 0, 0, errors] }
}

impl AlarmFixture {
    async fn new() -> Self {
        let cdn = CdnFixture::with_settings(ScriptedProvider::new(&["edge-1"]), subscribed()).await;
        let worker = AlarmWorker::new(cdn.pilothouse.clone());
        Self { cdn, worker }
    }

    async fn set(&self, threshold: Threshold) {
        self.cdn.pilothouse.thresholds().set(&self.cdn.user, None, threshold).await.unwrap();
    }

    /// Records figures of the domain in the bucket that is so many after [`BEGIN`].
    async fn record(&self, bucket: i64, figures: Figures) {
        let intake = self.cdn.pilothouse.log_intake();
        let edge = intake.edge("level3", "edge-1").await.unwrap();
        let domains = intake.hosts(edge.cdn_id).await.unwrap().domains;
        let domain_id = domains.iter().find(|domain| domain.name == DOMAIN).unwrap().id;
        let seen = intake.sources(&edge, &[[0; 16]]).await.unwrap().seen;
        let cells = vec![Cell { domain_id, bucket: BEGIN / 300 + bucket, figures }];
        let change = SourceChange::New(seen);
        intake
            .record(Batch { edge, change, key: [0; 16], length: 1, cells, ..Batch::default() })
            .await
            .unwrap();
    }

    /// Looks when this bucket has just been closed.
    async fn close(&self, bucket: i64) {
        let at = time(BEGIN + (bucket + 1) * 300 + 60);
        let now = self.cdn.pilothouse.clock().now();
        self.cdn.clock.advance(at - now);
        self.worker.turn().await.unwrap();
    }

    async fn advance(&self, seconds: i64) {
        self.cdn.clock.advance(TimeDelta::seconds(seconds));
        self.worker.turn().await.unwrap();
    }

    async fn alarms(&self) -> Vec<Alarm> {
        let mut snapshot = self.cdn.storage.read().await.unwrap();
        let rows = snapshot.alarms().list(&AlarmFilter::default(), Page::at(0, 1000)).await.unwrap();
        rows.into_iter().map(|row| row.alarm).collect()
    }

    /// Names of the events so far.
    async fn events(&self) -> Vec<String> {
        events(&*self.cdn.storage).await.into_iter().map(|(name, _)| name).collect()
    }

    /// Stores an edge of `level3` in a state since now, as its manager does, whose leadership is fresh.
    async fn set_edge(&self, state: EdgeState) {
        let mut work = self.cdn.storage.begin().await.unwrap();
        let now = work.now().await.unwrap();
        let edge = Edge {
            cdn: "level3".to_owned(),
            name: "edge-1".to_owned(),
            epoch: 1,
            state,
            since: now,
            last_seen: None,
            reason: "no answer".to_owned(),
        };
        if !work.edges().insert(&edge).await.unwrap() {
            work.edges().update(&edge).await.unwrap();
        }
        work.commit().await.unwrap();
    }

    /// Renews the leadership over the edges.
    async fn lead_edges(&self) {
        let mut work = self.cdn.storage.begin().await.unwrap();
        let now = work.now().await.unwrap();
        let lease = Lease::of(TimeDelta::seconds(5));
        assert!(work.edges().lead("level3", "manager", now, lease).await.unwrap());
        work.commit().await.unwrap();
    }
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[tokio::test]
async fn a_domain_above_its_bandwidth_is_one_alarm_until_it_falls() {
    let fixture = AlarmFixture::new().await;
    fixture.set(Threshold { bandwidth: Some(1000), ..threshold(DOMAIN) }).await;
    fixture.record(0, figures(37_500, 1, 0, 0)).await;
    fixture.close(0).await;
    assert!(fixture.alarms().await.is_empty(), "as much as the threshold is not above it");
    fixture.record(1, figures(75_000, 1, 0, 0)).await;
    fixture.advance(299).await;
    assert!(fixture.alarms().await.is_empty(), "its lines may yet come");
    fixture.close(1).await;
    let begun = fixture.alarms().await;
    assert_eq!((begun.len(), begun[0].kind, begun[0].value), (1, AlarmKind::Bandwidth, Some(2000)));
    assert_eq!((begun[0].begun, begun[0].last_seen), (time(BEGIN + 300), time(BEGIN + 600)));
    // It swings about the threshold.
    for (bucket, flux) in [(2, 0), (3, 112_500), (4, 0), (5, 37_500)] {
        fixture.record(bucket, figures(flux, 1, 0, 0)).await;
        fixture.close(bucket).await;
        fixture.advance(5).await;
    }
    let open = fixture.alarms().await;
    assert_eq!((open.len(), open[0].value, open[0].ended), (1, Some(3000), None));
    fixture.close(6).await;
    let ended = fixture.alarms().await;
    assert_eq!((ended.len(), ended[0].id, ended[0].last_seen), (1, begun[0].id, time(BEGIN + 1200)));
    assert_eq!(ended[0].ended, Some(time(BEGIN + 7 * 300 + 60)));
    fixture.advance(5).await;
    assert_eq!(fixture.alarms().await, ended);
    let told = events(&*fixture.cdn.storage).await;
    let data = |value: i64, end: Value| {
        json!({
            "alarm": begun[0].id.0, "kind": "bandwidth", "login_email": USER_MAIL, "domain": DOMAIN, "cdn": null,
            "edge": null, "threshold": 1000, "value": value, "reason": "", "begin": BEGIN + 300, "end": end,
        })
    };
    let end = json!(BEGIN + 7 * 300 + 60);
    let expected = [("alarm.begun", data(2000, Value::Null)), ("alarm.ended", data(3000, end))];
    assert_eq!(told, expected.map(|(event, data)| (event.to_owned(), data)));
    fixture.record(7, figures(75_000, 1, 0, 0)).await;
    fixture.close(7).await;
    assert_eq!(fixture.alarms().await.len(), 2, "another one");
}

#[tokio::test]
async fn shares_of_few_requests_are_no_alarm() {
    let fixture = AlarmFixture::new().await;
    let shares =
        Threshold { error_ratio: Some(Share(50_000)), hit_ratio: Some(Share(900_000)), ..threshold(DOMAIN) };
    fixture.set(shares).await;
    fixture.record(1, figures(9, 9, 0, 9)).await;
    fixture.close(1).await;
    assert!(fixture.alarms().await.is_empty());
    fixture.record(2, figures(20, 20, 18, 1)).await;
    fixture.close(2).await;
    assert!(fixture.alarms().await.is_empty(), "just at both");
    fixture.record(3, figures(100, 100, 89, 6)).await;
    fixture.close(3).await;
    let found: Vec<_> = fixture.alarms().await.iter().map(|alarm| (alarm.kind, alarm.value)).collect();
    assert_eq!(found, [(AlarmKind::ErrorRatio, Some(60_000)), (AlarmKind::HitRatio, Some(890_000))]);
}

#[tokio::test]
async fn late_lines_begin_an_alarm_that_is_over() {
    let fixture = AlarmFixture::new().await;
    fixture.set(Threshold { bandwidth: Some(1000), ..threshold(DOMAIN) }).await;
    fixture.close(8).await;
    fixture.record(3, figures(75_000, 1, 0, 0)).await;
    fixture.record(-20, figures(75_000, 1, 0, 0)).await;
    fixture.advance(5).await;
    let found = fixture.alarms().await;
    assert_eq!((found.len(), found[0].begun), (1, time(BEGIN + 900)), "not what was before the threshold");
    assert!(found[0].ended.is_some());
    assert_eq!(fixture.events().await, ["alarm.begun", "alarm.ended"]);
    for _ in 0..3 {
        fixture.advance(5).await;
    }
    assert_eq!(fixture.alarms().await, found, "it is told once");
}

#[tokio::test]
async fn what_an_alarm_is_about_may_go() {
    let fixture = AlarmFixture::new().await;
    let begin = async |n: i64| {
        fixture.set(Threshold { bandwidth: Some(1000), ..threshold(DOMAIN) }).await;
        fixture.record(n, figures(75_000, 1, 0, 0)).await;
        fixture.close(n).await;
        assert_eq!(fixture.alarms().await.last().unwrap().ended, None);
    };
    let ends = async |count: usize| {
        fixture.advance(5).await;
        let found = fixture.alarms().await;
        assert_eq!(found.len(), count);
        assert!(found.iter().all(|alarm| alarm.ended.is_some()));
    };
    begin(1).await;
    fixture.record(1, figures(-75_000, -1, 0, 0)).await;
    ends(1).await;
    begin(3).await;
    fixture.set(Threshold { bandwidth: Some(2000), ..threshold(DOMAIN) }).await;
    ends(2).await;
    begin(9).await;
    fixture.cdn.pilothouse.thresholds().delete(&fixture.cdn.user, None, DOMAIN).await.unwrap();
    ends(3).await;
    begin(15).await;
    fixture.cdn.release(DOMAIN).await;
    ends(4).await;
    let told = fixture.events().await;
    assert_eq!(told, ["alarm.begun", "alarm.ended"].repeat(4));
}

#[tokio::test]
async fn two_servers_tell_of_an_alarm_once() {
    let fixture = AlarmFixture::new().await;
    fixture.set(Threshold { bandwidth: Some(1000), ..threshold(DOMAIN) }).await;
    fixture.record(1, figures(75_000, 1, 0, 0)).await;
    let other = AlarmWorker::new(fixture.cdn.pilothouse.clone());
    other.turn().await.unwrap();
    fixture.close(1).await;
    assert_eq!(fixture.alarms().await.len(), 1, "the lease of the first one has ended meanwhile");
    other.turn().await.unwrap();
    fixture.worker.leave().await.unwrap();
    other.turn().await.unwrap();
    fixture.worker.turn().await.unwrap();
    assert_eq!(fixture.alarms().await.len(), 1);
    assert_eq!(fixture.events().await, ["alarm.begun"]);
}

#[tokio::test]
async fn a_silent_edge_is_an_alarm_until_it_is_in_service() {
    let fixture = AlarmFixture::new().await;
    fixture.lead_edges().await;
    fixture.set_edge(EdgeState::Unreachable).await;
    let since = fixture.cdn.pilothouse.clock().now();
    let wait = async |seconds: i64| {
        fixture.cdn.clock.advance(TimeDelta::seconds(seconds));
        fixture.lead_edges().await;
        fixture.worker.turn().await.unwrap();
    };
    wait(59).await;
    assert!(fixture.alarms().await.is_empty());
    fixture.advance(60).await;
    assert!(fixture.alarms().await.is_empty(), "nobody looks after the edges, so nobody knows");
    wait(1).await;
    let found = fixture.alarms().await;
    assert_eq!((found.len(), found[0].kind, found[0].begun), (1, AlarmKind::SilentEdge, since));
    assert_eq!(found[0].reason, "no answer");
    fixture.set_edge(EdgeState::CatchingUp).await;
    wait(5).await;
    assert_eq!(fixture.alarms().await[0].ended, None);
    fixture.set_edge(EdgeState::InService).await;
    wait(5).await;
    assert!(fixture.alarms().await[0].ended.is_some());
    assert_eq!(fixture.events().await, ["alarm.begun", "alarm.ended"]);
}

#[tokio::test]
async fn a_gap_of_a_log_is_an_alarm_for_a_day() {
    let fixture = AlarmFixture::new().await;
    let intake = fixture.cdn.pilothouse.log_intake();
    let edge = intake.edge("level3", "edge-1").await.unwrap();
    intake.record_gap(&edge, "the file is gone").await.unwrap();
    fixture.advance(5).await;
    fixture.advance(3600).await;
    intake.record_gap(&edge, "another file is gone").await.unwrap();
    fixture.advance(86_399).await;
    let found = fixture.alarms().await;
    assert_eq!((found.len(), &*found[0].reason, found[0].ended), (1, "another file is gone", None));
    fixture.advance(1).await;
    assert!(fixture.alarms().await[0].ended.is_some());
    fixture.advance(5).await;
    assert_eq!(fixture.alarms().await.len(), 1);
}

#[tokio::test]
async fn an_unreadable_log_is_an_alarm_while_its_reader_says_so() {
    let fixture = AlarmFixture::new().await;
    let alarms = fixture.cdn.pilothouse.alarms();
    for reason in ["cannot read\nit", "cannot read it"] {
        alarms.log_unreadable("level3", "edge-1", reason).await.unwrap();
    }
    fixture.advance(170).await;
    let found = fixture.alarms().await;
    assert_eq!((found.len(), &*found[0].reason, found[0].ended), (1, "cannot read it", None));
    alarms.log_readable("level3", "edge-2").await.unwrap();
    assert_eq!(fixture.alarms().await[0].ended, None);
    alarms.log_readable("level3", "edge-1").await.unwrap();
    alarms.log_readable("level3", "edge-1").await.unwrap();
    assert!(fixture.alarms().await[0].ended.is_some());
    fixture.advance(119).await;
    alarms.log_unreadable("level3", "edge-1", "a slower reader").await.unwrap();
    assert_eq!(fixture.alarms().await.len(), 1);
    fixture.advance(1).await;
    alarms.log_unreadable("level3", "edge-1", "its reader ends").await.unwrap();
    fixture.advance(180).await;
    assert!(fixture.alarms().await[1].ended.is_some());
    let both = ["alarm.begun", "alarm.ended"];
    assert_eq!(fixture.events().await, both.repeat(2));
}

#[tokio::test]
async fn customers_see_their_own_alarms_and_set_their_own_thresholds() {
    let fixture = AlarmFixture::new().await;
    let CdnFixture { pilothouse, user, other, operator, .. } = &fixture.cdn;
    let wanted = Threshold { bandwidth: Some(1000), ..threshold(DOMAIN) };
    let thresholds = pilothouse.thresholds();
    assert!(matches!(thresholds.set(other, None, wanted.clone()).await, Err(Error::Forbidden)));
    assert!(matches!(thresholds.set(other, Some(USER_MAIL), wanted.clone()).await, Err(Error::Forbidden)));
    thresholds.set(operator, Some(USER_MAIL), wanted).await.unwrap();
    assert_eq!(thresholds.list(user, None, None).await.unwrap().len(), 1);
    assert!(matches!(thresholds.list(other, None, Some(DOMAIN)).await, Err(Error::Forbidden)));
    assert!(matches!(thresholds.delete(other, None, DOMAIN).await, Err(Error::Forbidden)));
    assert!(matches!(thresholds.delete(user, None, "img.exrqs.com").await, Err(Error::NotFound(_))));
    fixture.record(1, figures(75_000, 1, 0, 0)).await;
    fixture.close(1).await;
    pilothouse.alarms().log_unreadable("level3", "edge-1", "why").await.unwrap();
    let count = async |caller, login_email: Option<&str>| {
        let query = AlarmQuery { login_email: login_email.map(str::to_owned), ..AlarmQuery::default() };
        pilothouse.alarms().list(caller, &query, Page::default()).await.map(|found| found.rows.len())
    };
    assert_eq!(count(user, None).await.unwrap(), 1);
    assert_eq!(count(user, Some(USER_MAIL)).await.unwrap(), 1);
    assert_eq!(count(other, None).await.unwrap(), 0);
    assert!(matches!(count(other, Some(USER_MAIL)).await, Err(Error::Forbidden)));
    assert_eq!(count(operator, None).await.unwrap(), 2);
    assert_eq!(count(operator, Some(USER_MAIL)).await.unwrap(), 1);
    assert_eq!(count(operator, Some(OTHER_MAIL)).await.unwrap(), 0);
}

#[tokio::test]
async fn ended_alarms_are_forgotten_after_92_days() {
    let fixture = AlarmFixture::new().await;
    let alarms = fixture.cdn.pilothouse.alarms();
    alarms.log_unreadable("level3", "edge-1", "why").await.unwrap();
    alarms.log_readable("level3", "edge-1").await.unwrap();
    let storage: Arc<dyn Storage> = fixture.cdn.storage.clone();
    for (days, left) in [(91, 1), (1, 1), (2, 0)] {
        // In steps that no clock jumps by.
        for _ in 0..days * 48 {
            fixture.cdn.clock.advance(TimeDelta::minutes(30));
        }
        fixture.cdn.pilothouse.housekeep().await.unwrap();
        let mut snapshot = storage.read().await.unwrap();
        assert_eq!(snapshot.alarms().count(&AlarmFilter::default(), 0, i64::MAX).await.unwrap(), left);
    }
}
