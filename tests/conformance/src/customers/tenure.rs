//! Ended tenures of domains: whose figures of which time are, when a domain passes from one customer to another.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_core::account::{Caller, Group};
use pilothouse_core::cdn::{
    Batch, BillingQuery, BillingRule, DomainId, Month, SourceChange, Tenure, TrafficQuery,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Settings};

use super::domain::add_domain;
use crate::Fixture;
use crate::doubles::ManualClock;
use crate::rows::{add_cdn, add_customer};
use crate::traffic::series::cell;

/// 2016-10-16 00:00 in Shanghai, the middle of a month.
const HAND_OVER: i64 = 1_476_547_200;
const DAY: i64 = 86_400;

/// Tenures are found by name, cdn, account and end.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (first, other) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let (level3, qcloud) = (add_cdn(&storage, "level3").await, add_cdn(&storage, "qcloud").await);
    let a = add_domain(&storage, first, level3, "a.test").await;
    let b = add_domain(&storage, other, level3, "b.test").await;
    let tenure = |domain_id, account_id, name: &str, since, until| {
        let (cdn_id, name) = (level3, name.to_owned());
        Tenure { domain_id, account_id, cdn_id, name, since, until }
    };
    let all = [
        tenure(a, first, "a.test", 0, 50),
        tenure(a, first, "a.test", 70, 90),
        tenure(b, other, "a.test", 50, 70),
    ];
    let mut work = storage.begin().await.unwrap();
    for one in [&all[2], &all[1], &all[0]] {
        work.tenures().insert(one).await.unwrap();
    }
    assert_eq!(work.tenures().last_end(level3, "a.test").await.unwrap(), Some(90));
    assert_eq!(work.tenures().last_end(level3, "b.test").await.unwrap(), None);
    assert_eq!(work.tenures().last_end(qcloud, "a.test").await.unwrap(), None);
    assert_eq!(work.tenures().of_cdn(level3, 0).await.unwrap(), all);
    assert_eq!(work.tenures().of_cdn(level3, 50).await.unwrap(), all[1..], "an end is no part of it");
    assert_eq!(work.tenures().of_cdn(level3, 69).await.unwrap(), all[1..]);
    assert_eq!(work.tenures().of_cdn(level3, 89).await.unwrap(), all[1..2]);
    assert_eq!(work.tenures().of_cdn(level3, 90).await.unwrap(), []);
    assert_eq!(work.tenures().of_cdn(qcloud, 0).await.unwrap(), []);
    assert_eq!(work.tenures().of_account(first, 50).await.unwrap(), all[1..2], "an end is no part of it");
    assert_eq!(work.tenures().of_account(first, 49).await.unwrap(), all[..2]);
    work.commit().await.unwrap();
}

/// Bytes of October that a customer is answered for a domain; none where the domain is none of its own.
async fn flux(fixture: &Fixture, caller: &Caller) -> Option<i64> {
    let (start_time, end_time) = (HAND_OVER - 15 * DAY, HAND_OVER + 16 * DAY - 1);
    let domains = vec!["a.test".to_owned()];
    let query = TrafficQuery { login_email: None, domains, start_time, end_time };
    let points = fixture.pilothouse.traffic().fluxs(caller, &query).await.ok()?;
    Some(points.into_iter().map(|point| point.value).sum())
}

/// Bandwidth that a customer is billed for October and a rule.
async fn billed(fixture: &Fixture, caller: &Caller, month: &str) -> Result<i64, ErrorKind> {
    let (month, rule) = (month.parse::<Month>().unwrap(), BillingRule::Month95);
    let query = BillingQuery { login_email: None, domains: vec!["a.test".to_owned()], month, rule };
    let bill = fixture.pilothouse.billing().bill(caller, &query).await;
    bill.map(|bill| bill.bandwidth).map_err(|error| error.kind())
}

async fn record(fixture: &Fixture, domain: DomainId, buckets: std::ops::Range<i64>, flux: i64) {
    let intake = fixture.pilothouse.log_intake();
    let edge = intake.edge("level3", "edge-1").await.unwrap();
    let seen = intake.sources(&edge, &[[0; 16]]).await.unwrap().seen;
    let cells = buckets.map(|bucket| cell(domain, bucket, flux)).collect();
    let batch =
        Batch { edge, change: SourceChange::New(seen), key: [0; 16], length: 1, cells, ..Batch::default() };
    intake.record(batch).await.unwrap();
}

/// A domain that passes to another customer in the middle of a month: both are billed their part of it, and go on reading it.
pub(crate) async fn hand_over_in_a_month(storage: Arc<dyn Storage>) {
    let clock = Arc::new(ManualClock::at(HAND_OVER));
    let settings = Settings::default().with_traffic_days(100_000);
    let fixture = Fixture::builder(storage).clock(clock.clone()).settings(settings).build();
    let root = fixture.account("root", [Group::Cdn].into_iter().collect()).await;
    let former = fixture.customer("ann", "level3", &["a.test"]).await;
    let later = fixture.customer("bob", "level3", &[]).await;
    let intake = fixture.pilothouse.log_intake();
    let edge = intake.edge("level3", "edge-1").await.unwrap();
    let held = intake.hosts(edge.cdn_id).await.unwrap().domains;
    let cdns = ["level3".to_owned()];
    let domains = fixture.pilothouse.domains();
    domains.replace(&root, &former.mail, &cdns, None, &[]).await.unwrap();
    clock.advance(TimeDelta::hours(1));
    domains.add(&root, &later.mail, "level3", &["a.test".to_owned()]).await.unwrap();

    let hosts = intake.hosts(edge.cdn_id).await.unwrap();
    let (cdn_id, name) = (edge.cdn_id, "a.test".to_owned());
    let ended =
        Tenure { domain_id: held[0].id, account_id: former.id, cdn_id, name, since: 0, until: HAND_OVER };
    assert_eq!((&*hosts.former, hosts.former_since), (&[ended][..], 0));
    let recent = intake.recent_hosts(edge.cdn_id).await.unwrap();
    assert_eq!((recent.former, recent.former_since), (hosts.former.clone(), HAND_OVER + 3_600 - 8 * DAY));
    assert_eq!(hosts.domains.iter().map(|domain| domain.account_id).collect::<Vec<_>>(), [later.id]);
    let middle = HAND_OVER / 300;
    record(&fixture, held[0].id, middle - 15 * 288..middle, 3_750).await;
    record(&fixture, hosts.domains[0].id, middle..middle + 16 * 288, 7_500).await;
    clock.advance(TimeDelta::days(40));
    let recent = intake.recent_hosts(edge.cdn_id).await.unwrap();
    assert_eq!((&*recent.former, &*recent.domains), (&[][..], &*hosts.domains), "of long ago");

    assert_eq!(flux(&fixture, &former).await, Some(15 * 288 * 3_750));
    assert_eq!(flux(&fixture, &later).await, Some(16 * 288 * 7_500));
    assert_eq!(billed(&fixture, &former, "201610").await, Ok(100));
    assert_eq!(billed(&fixture, &later, "201610").await, Ok(200));
    let billing = fixture.pilothouse.billing();
    let month = "201610".parse().unwrap();
    let mut run = billing.bills(&root, month, BillingRule::Month95).await.unwrap();
    let bills = run.next_bills().await.unwrap().unwrap();
    let of_all: Vec<_> = bills.iter().map(|bill| (&*bill.mail, bill.bill.bandwidth)).collect();
    assert_eq!(of_all, [("ann@example.com", 100), ("bob@example.com", 200)]);
    assert_eq!(billed(&fixture, &former, "201611").await, Err(ErrorKind::Forbidden), "it held it no longer");

    domains.replace(&root, &later.mail, &cdns, None, &[]).await.unwrap();
    domains.add(&root, &former.mail, "level3", &["a.test".to_owned()]).await.unwrap();
    let until = HAND_OVER + 3_600 + 40 * DAY;
    let hosts = intake.hosts(edge.cdn_id).await.unwrap();
    let spans: Vec<_> =
        hosts.former.iter().map(|tenure| (tenure.account_id, tenure.since, tenure.until)).collect();
    assert_eq!(spans, [(former.id, 0, HAND_OVER), (later.id, HAND_OVER, until)]);
    assert_eq!(
        flux(&fixture, &former).await,
        Some(15 * 288 * 3_750),
        "its own of before, and nothing of the other's"
    );
}
