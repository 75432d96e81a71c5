//! The background of delivery: hearing what other servers published, and writing down what nodes report.

use std::time::Duration;

use futures_util::{StreamExt, future};
use tokio::time::{MissedTickBehavior, interval};

use crate::Pilothouse;
use crate::ports::{Signal, Topic};

/// How often reports and leases go to the store.
const FLUSH: Duration = Duration::from_millis(250);
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
        report(pilothouse.flush_reports().await, "writing down what nodes report");
    }
}

fn report(answer: crate::Result<()>, what: &str) {
    if let Err(error) = answer {
        tracing::warn!(error = &error as &dyn std::error::Error, "{what} failed; it is tried again");
    }
}
