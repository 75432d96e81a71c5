//! The background of delivery: hearing what other servers published, and writing down what nodes report.

use std::time::Duration;

use futures_util::{StreamExt, future};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Pilothouse;
use crate::ports::{Signal, Topic};

/// How often reports and leases go to the store.
const FLUSH: Duration = Duration::from_millis(250);
/// For how long no report must have come before they are written, and how often that is waited for at the most.
const CALM: Duration = Duration::from_millis(20);
const CALM_TRIES: u32 = 25;
/// How often it is looked whether a wake-up was lost.
const POLL: Duration = Duration::from_millis(500);

/// Keeps this server's views true and its reports written, for ever.
pub(crate) async fn deliver(pilothouse: &Pilothouse) {
    future::join3(listen(pilothouse), poll(pilothouse), flush(pilothouse)).await;
}

/// What is announced costs one reading; what goes unheard is found by polling.
async fn listen(pilothouse: &Pilothouse) {
    let mut signals = pilothouse.storage().signals();
    while let Some(signal) = signals.next().await {
        match signal {
            Signal::Changed(Topic::App(app)) => pilothouse.feeds().refresh(app).await,
            Signal::Changed(Topic::Jobs) => {}
            Signal::Lost => report(pilothouse.feeds().poll().await, "looking for changes"),
        }
    }
}

async fn poll(pilothouse: &Pilothouse) {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        report(pilothouse.feeds().poll().await, "looking for changes");
        pilothouse.feeds().remind();
    }
}

async fn flush(pilothouse: &Pilothouse) {
    let mut ticks = interval(FLUSH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Telling nodes comes first: while more and more are being told, writing that down waits.
        for _ in 0..CALM_TRIES {
            let known = pilothouse.reports().count();
            if known == 0 {
                break;
            }
            sleep(CALM).await;
            if pilothouse.reports().count() == known {
                break;
            }
        }
        report(pilothouse.flush_reports().await, "writing down what nodes report");
    }
}

fn report(answer: crate::Result<()>, what: &str) {
    if let Err(error) = answer {
        tracing::warn!(error = &error as &dyn std::error::Error, "{what} failed; it is tried again");
    }
}
