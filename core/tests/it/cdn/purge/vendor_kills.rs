//! Servers that die in the middle of a vendor's calls, and calls that fail in every way, by chance. `PILOTHOUSE_TEST_TRIALS` sets
//! the number of runs of ten deaths each, 20 by default, and `PILOTHOUSE_TEST_SEED` the first seed.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use pilothouse_conformance::doubles::VendorReply;
use pilothouse_core::cdn::{Job, JobKind, JobState, VendorCalls};
use pilothouse_core::ports::{ItemState, ProviderError};
use pilothouse_test_support::{Rng, env_number};

use super::vendor_calls::VendorFixture;

/// Deaths of each run.
const KILLS: usize = 10;

fn reply(rng: &mut Rng) -> Option<VendorReply> {
    Some(match rng.u8(..8) {
        0 => VendorReply::LosesRequest,
        1 => VendorReply::LosesAnswer,
        2 | 3 => VendorReply::Hangs,
        4 | 5 => VendorReply::Stalls,
        6 => {
            let after = Some(Duration::from_secs(rng.u64(..20)));
            VendorReply::Fails(ProviderError::Throttled { reason: "slowly".into(), after })
        }
        _ => return None,
    })
}

/// Reads every job, and asserts that no percentage fell; whether all are done.
async fn all_done(fixture: &VendorFixture, jobs: &[Job], percents: &mut HashMap<String, i64>) -> bool {
    let mut is_done = true;
    for job in jobs {
        let job = fixture.job(job).await;
        assert_ne!(job.state, JobState::Failed, "{}", job.reason);
        let before = percents.insert(job.task_id.clone(), job.percent).unwrap_or(0);
        assert!(job.percent >= before, "{} fell from {before} to {}", job.task_id, job.percent);
        is_done &= job.state == JobState::Done;
    }
    is_done
}

async fn trial(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let fixture = VendorFixture::new().await;
    let mut percents = HashMap::new();
    let mut jobs = Vec::new();
    let mut urls = Vec::new();
    for round in 0..KILLS {
        let count = rng.usize(1..250);
        let begin = format!("{round}-");
        jobs.push(fixture.add(JobKind::Refresh, &begin, count).await);
        urls.extend((0..count).map(|n| format!("http://cdn.exrqs.com/{begin}{n}")));
        for _ in 0..rng.usize(..3) {
            if let Some(reply) = reply(&mut rng) {
                fixture.vendor.next(reply);
            }
        }
        fixture.runner.turn().await.unwrap();
        // A server that dies wherever it hangs; the next one takes over when its lease has ended.
        let calls = VendorCalls::new(fixture.fixture.another_server());
        let _ = tokio::time::timeout(Duration::from_secs(1), calls.turn()).await;
        if rng.bool() {
            fixture.vendor.set_all(&ItemState::Done);
        }
        all_done(&fixture, &jobs, &mut percents).await;
        fixture.clock.advance(TimeDelta::seconds(rng.i64(6..30)));
    }
    let calls = VendorCalls::new(fixture.fixture.another_server());
    for _ in 0..60 {
        let _ = tokio::time::timeout(Duration::from_secs(1), calls.turn()).await;
        fixture.vendor.set_all(&ItemState::Done);
        fixture.clock.advance(TimeDelta::seconds(30));
        fixture.runner.turn().await.unwrap();
    }
    assert!(all_done(&fixture, &jobs, &mut percents).await, "seed {seed}: a job is forgotten");
    for url in urls {
        assert_eq!(fixture.vendor.tasks_of(&url), 1, "seed {seed}: {url}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_twice_or_forgotten_whenever_a_server_dies() {
    let trials = env_number("PILOTHOUSE_TEST_TRIALS", 20);
    let first = env_number("PILOTHOUSE_TEST_SEED", 1);
    for seed in first..first + trials {
        trial(seed).await;
    }
}
