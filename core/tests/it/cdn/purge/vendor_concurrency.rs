//! Calls to a vendor beside each other: the vendor's limits hold, whatever has not answered yet.

use std::time::Duration;

use chrono::TimeDelta;
use pilothouse_conformance::doubles::{ScriptedVendor, VendorReply};
use pilothouse_core::cdn::{JobKind, JobState};
use pilothouse_core::ports::{CallLimits, Clock, ItemState, Operation, ProviderError, Rate};
use tokio::time::{sleep, timeout};

use super::vendor_calls::{VendorFixture, quota};

/// Makes calls as they fall due for a time of the runtime's paused clock, which is not the store's.
async fn run(fixture: &VendorFixture, seconds: u64) {
    let ended = timeout(Duration::from_secs(seconds), fixture.calls.run()).await;
    assert!(ended.is_err(), "it runs until it is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_holds_up_neither_batches_nor_polls() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.next(VendorReply::Stalls);
    let job = fixture.add(JobKind::Refresh, "", 250).await;
    fixture.runner.turn().await.unwrap();
    fixture.vendor.set_state("http://cdn.exrqs.com/249", ItemState::Done);
    tokio::join!(run(&fixture, 5), async {
        sleep(Duration::from_secs(1)).await;
        fixture.clock.advance(TimeDelta::seconds(1));
    });
    assert_eq!(fixture.sent(), [100, 100, 50]);
    assert!(fixture.vendor.polls_and_looks().0 > 0);
    assert_eq!(fixture.details(&job).await.edges[0].count(pilothouse_core::cdn::CellState::Acked), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_taken_for_lost_while_its_call_is_open() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.next(VendorReply::Hangs);
    let job = fixture.add(JobKind::Refresh, "", 3).await;
    fixture.runner.turn().await.unwrap();
    let time_passes = async {
        for _ in 0..28 {
            sleep(Duration::from_secs(1)).await;
            fixture.clock.advance(TimeDelta::seconds(1));
        }
        assert_eq!(fixture.vendor.polls_and_looks().1, 0, "the call may still be answered");
        for _ in 0..20 {
            sleep(Duration::from_secs(1)).await;
            fixture.clock.advance(TimeDelta::seconds(1));
        }
    };
    tokio::join!(run(&fixture, 50), time_passes);
    assert_eq!((fixture.sent(), fixture.vendor.polls_and_looks().1), (vec![3], 1));
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(10)).await;
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
}

#[tokio::test(start_paused = true)]
async fn calls_beside_each_other_keep_the_rate() {
    let rate = Rate { calls: 4, period: Duration::from_secs(1), burst: 2 };
    let limits = CallLimits::items(1).with_rate(Some(rate));
    let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| {
        can.limits.insert(Operation::PurgeUrls, limits);
    });
    let fixture = VendorFixture::with(vendor).await;
    (0..100).for_each(|_| fixture.vendor.next(VendorReply::Stalls));
    fixture.add(JobKind::Refresh, "", 100).await;
    fixture.runner.turn().await.unwrap();
    run(&fixture, 5).await;
    // One at once, since another server may have used up the burst.
    let sent = fixture.sent().len();
    assert!((20..=21).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_spent_before_the_answer_comes() {
    let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| can.quota = true);
    let fixture = VendorFixture::with(vendor).await;
    let midnight = fixture.clock.now() + TimeDelta::hours(2);
    fixture.vendor.set_quotas(vec![quota(Operation::PurgeUrls, 120, midnight)]);
    fixture.vendor.next(VendorReply::Stalls);
    fixture.add(JobKind::Refresh, "", 250).await;
    fixture.runner.turn().await.unwrap();
    run(&fixture, 5).await;
    assert_eq!(fixture.sent(), [100, 20], "no more than is left");
}

#[tokio::test(start_paused = true)]
async fn quotas_are_not_read_while_something_is_sent() {
    let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| can.quota = true);
    let fixture = VendorFixture::with(vendor).await;
    let midnight = fixture.clock.now() + TimeDelta::hours(2);
    fixture.vendor.set_quotas(vec![quota(Operation::PurgeUrls, 300, midnight)]);
    let throttled = ProviderError::Throttled { reason: "slower".into(), after: None };
    fixture.vendor.next(VendorReply::Stalls);
    fixture.vendor.next(VendorReply::Fails(throttled));
    let jobs = async {
        for name in ["a", "b", "c"] {
            fixture.add(JobKind::Refresh, name, 10).await;
            fixture.runner.turn().await.unwrap();
            sleep(Duration::from_secs(2)).await;
        }
        // The failure of b made the quota unknown, and what is left may or may not have a, which is being sent.
        assert_eq!(fixture.sent(), [10, 10]);
    };
    tokio::join!(run(&fixture, 20), jobs);
    assert!(fixture.sent().is_empty());
    run(&fixture, 35).await;
    assert_eq!(fixture.sent(), [10], "the call of a was given up");
}

#[tokio::test]
async fn what_will_be_sent_again_counts_as_in_flight() {
    let limits = CallLimits::items(30).with_in_flight(Some(30));
    let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| {
        can.limits.insert(Operation::PurgeUrls, limits);
    });
    let fixture = VendorFixture::with(vendor).await;
    let throttled = ProviderError::Throttled { reason: "slower".into(), after: None };
    fixture.vendor.next(VendorReply::Fails(throttled));
    let job = fixture.add(JobKind::Refresh, "", 50).await;
    fixture.turn().await;
    assert_eq!(fixture.sent(), [30], "the other 20 would be beside them");
    fixture.pass(TimeDelta::seconds(2)).await;
    assert_eq!(fixture.sent(), [30]);
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(2)).await;
    assert_eq!(fixture.sent(), [20]);
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(2)).await;
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
}

#[tokio::test]
async fn a_task_is_asked_about_less_often_the_longer_it_takes() {
    let fixture = VendorFixture::new().await;
    fixture.add(JobKind::Refresh, "", 1).await;
    fixture.turn().await;
    fixture.pass(TimeDelta::seconds(20)).await;
    let (in_20_seconds, _) = fixture.vendor.polls_and_looks();
    fixture.pass(TimeDelta::seconds(580)).await;
    let (in_10_minutes, _) = fixture.vendor.polls_and_looks();
    assert_eq!(in_20_seconds, 20, "every second, as the test's clock goes");
    assert!((60..90).contains(&in_10_minutes), "{in_10_minutes}");
}
