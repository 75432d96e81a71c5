//! A log between two batches.

use super::{Feeder, Parsed, RulesError};
use crate::source::{OpenLine, Tracker};
use crate::{Rules, SourceKey};

/// How far a growing log was read, without the rules: the domains may be others when it goes on.
#[derive(Debug)]
pub struct Paused {
    tracker: Tracker,
    key: Option<SourceKey>,
    known: Option<i64>,
    recorded: u64,
    carry: Vec<u8>,
    long: Option<Tracker>,
    open: Option<OpenLine>,
}

impl Feeder<'_> {
    /// Hands out what was counted since the last time, as [`Feeder::take`] does, and rests.
    pub fn pause(mut self, pack_name: String) -> (Parsed, Paused) {
        let parsed = self.take(pack_name);
        let Self { tracker, key, known, recorded, carry, long, open, .. } = self;
        (parsed, Paused { tracker, key, known, recorded, carry, long, open })
    }
}

impl Paused {
    /// Tells under which number the last batch was recorded, so that the next one can name it.
    pub fn recorded(&mut self, id: i64) {
        self.known = Some(id);
    }

    /// Goes on.
    pub fn resume<'a>(self, rules: &Rules<'a>) -> Result<Feeder<'a>, RulesError> {
        let Self { tracker, key, known, recorded, carry, long, open } = self;
        Ok(Feeder { tracker, key, known, recorded, carry, long, open, ..Feeder::new(rules)? })
    }
}
