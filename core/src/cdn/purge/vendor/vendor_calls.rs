//! Vendor calls: sends batches to vendors and asks about their tasks, one server at a time for each vendor.
//!
//! Every step is in the store before the next begins. That a batch is about to be sent is written before the call, so a
//! server that takes over knows what the vendor may have, and asks the vendor before it sends again where that costs.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, future};
use tokio::time::sleep;

use super::open_calls::OpenCalls;
use super::speaker::{Call, Speaker, Step};
use super::vendor_memory::VendorMemory;
use crate::ports::{Signal, Topic};
use crate::{Pilothouse, Result};

/// Longest pause between two looks at what is due, which make up for lost signals, and in which leadership is renewed.
pub(super) const POLL: Duration = Duration::from_secs(1);
/// Calls to one vendor at a time: as many as the fastest rate of a vendor needs where an answer takes half a second.
const CALLS: usize = 32;

/// Speakers of the vendors of a store. Several may run side by side, in one process or many.
#[derive(Debug)]
pub struct VendorCalls {
    pub(super) pilothouse: Pilothouse,
    /// Random name that tells this one from others.
    pub(super) name: String,
    vendors: BTreeMap<String, VendorState>,
}

/// State of one vendor in this process.
#[derive(Debug)]
struct VendorState {
    memory: Mutex<VendorMemory>,
    open: OpenCalls,
}

impl VendorCalls {
    /// The name under which [`Pilothouse::workers`] lists it.
    pub(crate) const NAME: &'static str = "vendor calls";

    /// Over a domain, whose providers it uses.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let providers = pilothouse.providers().iter();
        let vendors = providers.filter(|(_, provider)| provider.capabilities().is_vendor);
        let state =
            |can| VendorState { memory: Mutex::new(VendorMemory::new(can)), open: OpenCalls::default() };
        let vendors =
            vendors.map(|(cdn, provider)| (cdn.to_owned(), state(provider.capabilities()))).collect();
        let name = pilothouse.ids().uuid().simple().to_string();
        Self { pilothouse, name, vendors }
    }

    /// Makes calls as they fall due, until it is dropped.
    pub async fn run(&self) {
        let speakers = self.speakers().map(|speaker| self.speak(speaker));
        future::join(future::join_all(speakers), self.report_health()).await;
    }

    /// Makes every call that is due now, one after the other; how many steps that took.
    pub async fn turn(&self) -> Result<usize> {
        let mut steps = 0;
        for speaker in self.speakers() {
            loop {
                match speaker.step().await? {
                    Step::Call(call) => call.await?,
                    Step::Done => {}
                    Step::Idle(_) => break,
                }
                steps += 1;
            }
        }
        Ok(steps)
    }

    /// Gives up leadership, so that another server takes over at once.
    pub async fn leave(&self) {
        for speaker in self.speakers() {
            if let Err(error) = speaker.step_down().await {
                let error = &error as &dyn StdError;
                tracing::warn!(cdn = speaker.cdn, error, "vendor leadership could not be given up");
            }
        }
    }

    fn speakers(&self) -> impl Iterator<Item = Speaker<'_>> {
        let providers = self.pilothouse.providers();
        self.vendors.iter().filter_map(move |(cdn, VendorState { memory, open })| {
            let provider = providers.get(cdn)?;
            Some(Speaker { calls: self, cdn, provider, memory, open })
        })
    }

    /// Makes the calls of one vendor, beside each other.
    async fn speak(&self, speaker: Speaker<'_>) {
        let heard = self.pilothouse.storage().signals();
        let heard = heard
            .filter(|signal| future::ready(matches!(signal, Signal::Changed(Topic::Jobs) | Signal::Lost)));
        // Without signals the polling goes on.
        let heard = heard.map(|_| ()).chain(stream::pending()).boxed();
        let mut ended = calls(speaker, heard).buffer_unordered(CALLS);
        while let Some(outcome) = ended.next().await {
            if let Err(error) = outcome {
                let error = &error as &dyn StdError;
                tracing::error!(cdn = speaker.cdn, error, "what a vendor answered could not be stored");
            }
        }
    }

    async fn report_health(&self) {
        loop {
            self.pilothouse.worker_succeeded(Self::NAME);
            sleep(POLL).await;
        }
    }
}

/// Calls of a vendor as they fall due.
fn calls<'a>(speaker: Speaker<'a>, heard: BoxStream<'static, ()>) -> BoxStream<'a, Call<'a>> {
    let next = move |mut heard| async move { Some((next_call(speaker, &mut heard).await, heard)) };
    stream::unfold(heard, next).boxed()
}

/// Waits until a call is due, and returns it to be made.
async fn next_call<'a>(speaker: Speaker<'a>, heard: &mut BoxStream<'static, ()>) -> Call<'a> {
    loop {
        let pause = match speaker.step().await {
            Ok(Step::Call(call)) => return call,
            Ok(Step::Done) => continue,
            Ok(Step::Idle(pause)) => pause.min(POLL),
            Err(error) => {
                let error = &error as &dyn StdError;
                tracing::error!(cdn = speaker.cdn, error, "a vendor could not be called; it is retried");
                POLL
            }
        };
        let ended = pin!(speaker.open.wait_for_end());
        future::select(pin!(sleep(pause)), future::select(ended, heard.next())).await;
    }
}
