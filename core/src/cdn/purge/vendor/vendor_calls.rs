//! Vendor calls: sends batches to vendors and asks about their tasks, one server at a time for each vendor.
//!
//! Every step is in the store before the next begins. That a batch is about to be sent is written before the call, so a
//! server that takes over knows what the vendor may have, and asks the vendor before it sends again where that costs.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use tokio::time::sleep;

use super::speaker::{Speaker, Step};
use super::vendor_memory::VendorMemory;
use crate::ports::{Signal, Topic};
use crate::{Pilothouse, Result};

/// Longest pause between two looks at what is due, which make up for lost signals, and in which leadership is renewed.
pub(super) const POLL: Duration = Duration::from_secs(1);

/// Speakers of the vendors of a store. Several may run side by side, in one process or many.
#[derive(Debug)]
pub struct VendorCalls {
    pub(super) pilothouse: Pilothouse,
    /// Random name that tells this one from others.
    pub(super) name: String,
    memories: BTreeMap<String, Mutex<VendorMemory>>,
}

impl VendorCalls {
    /// The name under which [`Pilothouse::workers`] lists it.
    pub(crate) const NAME: &'static str = "vendor calls";

    /// Over a domain, whose providers it uses.
    pub fn new(pilothouse: Pilothouse) -> Self {
        let providers = pilothouse.providers().iter();
        let vendors = providers.filter(|(_, provider)| provider.capabilities().is_vendor);
        let memory = |can| Mutex::new(VendorMemory::new(can));
        let memories =
            vendors.map(|(cdn, provider)| (cdn.to_owned(), memory(provider.capabilities()))).collect();
        let name = pilothouse.ids().uuid().simple().to_string();
        Self { pilothouse, name, memories }
    }

    /// Makes calls as they fall due, until it is dropped.
    pub async fn run(&self) {
        let speakers = self.speakers().map(|speaker| self.speak(speaker));
        future::join(future::join_all(speakers), self.report_health()).await;
    }

    /// Makes every call that is due now; how many steps that took.
    pub async fn turn(&self) -> Result<usize> {
        let mut steps = 0;
        for speaker in self.speakers() {
            while let Step::Done = speaker.step().await? {
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
        self.memories.iter().filter_map(move |(cdn, memory)| {
            let provider = providers.get(cdn)?;
            Some(Speaker { calls: self, cdn, provider, memory })
        })
    }

    async fn speak(&self, speaker: Speaker<'_>) {
        let heard = self.pilothouse.storage().signals();
        let heard = heard
            .filter(|signal| future::ready(matches!(signal, Signal::Changed(Topic::Jobs) | Signal::Lost)));
        // Without signals the polling goes on.
        let mut heard = pin!(heard.map(|_| ()).chain(stream::pending()));
        loop {
            let pause = match speaker.step().await {
                Ok(Step::Done) => continue,
                Ok(Step::Idle(pause)) => pause.min(POLL),
                Err(error) => {
                    let error = &error as &dyn StdError;
                    tracing::error!(cdn = speaker.cdn, error, "a vendor could not be called; it is retried");
                    POLL
                }
            };
            future::select(pin!(sleep(pause)), heard.next()).await;
        }
    }

    async fn report_health(&self) {
        loop {
            self.pilothouse.worker_succeeded(Self::NAME);
            sleep(POLL).await;
        }
    }
}
