//! The end of an attempt: whatever happened before, the hash of the file decides about the outcome.

use crate::agent::{Agent, now};
use crate::error::{Error, Refusal, Result};
use crate::file_version::Side;
use crate::metadata::Setting;
use crate::order::Action;
use crate::report::{Report, TaskResult};
use crate::staging::{Source, swap};
use crate::task_record::{Phase, State, TaskRecord};

/// Whether an attempt ran to its end, or was found unfinished at the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Course {
    Running,
    Recovered,
}

/// Whether an attempt is settled, or the old file should be back and is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    Settled,
    OldFileMissing,
}

/// Causes that are told beside an outcome.
#[derive(Debug, Default)]
struct Messages(Vec<String>);

impl Messages {
    fn add(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    fn add_failure(&mut self, done: Result<()>) {
        if let Err(error) = done {
            self.add(error.chain());
        }
    }

    fn joined(&self) -> Option<String> {
        if self.0.is_empty() { None } else { Some(self.0.join("; ")) }
    }
}

impl Agent {
    /// Finishes an attempt: looks at the file, runs the reload or puts the old file back, and records the outcome.
    /// `error` ended the attempt before.
    ///
    /// A file that cannot be read leaves the attempt unfinished, and the next start looks again.
    pub(crate) fn finish(&mut self, record: TaskRecord, course: Course, error: Option<&Error>) -> Report {
        let mut messages = Messages::default();
        if let Some(error) = error {
            messages.add(error.chain());
        }
        if course == Course::Recovered {
            messages.add("the agent was interrupted");
        }
        let mut side = self.side(&record);
        let mut ending = Ending::Settled;
        if matches!(side, Ok(Side::After)) {
            ending = self.after_swap(&record, course, error.is_some(), &mut messages);
            // The old file may have come back.
            side = self.side(&record);
        } else if course == Course::Recovered && matches!(side, Ok(Side::Before)) && record.may_have_swapped()
        {
            // The kill may have come between the old file's return and its reload.
            self.reload_old(&record, &mut messages);
        }
        messages.add_failure(self.remove_temporary(&record));
        let state = match side {
            // The next start tries again to put the old file back.
            Ok(Side::After) if ending == Ending::OldFileMissing => {
                return report(&record, State::Conflict, messages.joined());
            }
            Ok(side) => record.state_of(side),
            Err(Error::Refused(refusal)) => {
                messages.add(refusal.to_string());
                State::Conflict
            }
            Err(error) => {
                messages.add(error.chain());
                return report(&record, State::Conflict, messages.joined());
            }
        };
        self.record_outcome(record, state, &mut messages)
    }

    /// Records the outcome. Where that fails, the next start judges the attempt once more.
    fn record_outcome(&mut self, mut record: TaskRecord, state: State, messages: &mut Messages) -> Report {
        record.phase = Phase::Done;
        record.state = Some(state);
        record.replaced |= matches!(state, State::Succeeded | State::Conflict);
        record.message = messages.joined();
        record.time = now();
        if let Err(error) = self.journal.append(&record) {
            messages.add(error.chain());
            if state == State::Succeeded && record.confirm_seconds > 0 {
                // The next start would take the window for interrupted; what it would do is done now.
                self.put_back_and_reload(&record, messages);
                let state = match self.side(&record) {
                    Ok(Side::Before) => State::Failed,
                    _ => State::Conflict,
                };
                return report(&record, state, messages.joined());
            }
        }
        messages.add_failure(self.collect_garbage(&record));
        report(&record, state, messages.joined())
    }

    fn side(&self, record: &TaskRecord) -> Result<Side> {
        self.look(&record.path).map(|found| record.side(&found))
    }

    /// End of an update after its swap: the reload, and the old file where that fails or the confirm window broke off. Without
    /// a server the window ends with the reload; with one, when a report after it arrived.
    fn after_swap(
        &self,
        record: &TaskRecord,
        course: Course,
        had_error: bool,
        messages: &mut Messages,
    ) -> Ending {
        let is_update = record.action == Action::Update;
        if course == Course::Recovered || had_error {
            // The rename may not have been made durable.
            messages.add_failure(self.open_parent(&record.path).and_then(|parent| parent.sync()));
        }
        if course == Course::Recovered && is_update && record.confirm_seconds > 0 {
            messages.add("the old file comes back, since the confirm window was interrupted");
            return self.put_back_and_reload(record, messages);
        }
        let reloaded = record.reload.as_ref().map_or(Ok(()), |reload| self.run_command(reload, None));
        let Err(told) = reloaded.map_err(|told| format!("reload {told}")).and_then(|()| {
            let needs_word = is_update && course == Course::Running && record.confirm_seconds > 0;
            if needs_word { self.progress.confirmed(record.confirm_seconds) } else { Ok(()) }
        }) else {
            return Ending::Settled;
        };
        messages.add(told);
        if !is_update {
            return Ending::Settled;
        }
        messages.add("the old file comes back");
        self.put_back_and_reload(record, messages)
    }

    /// Puts the old file back and reloads it, so that what reads the file does not go on with the new one.
    fn put_back_and_reload(&self, record: &TaskRecord, messages: &mut Messages) -> Ending {
        let done = self.put_back(record);
        // An fsync that failed does not undo the rename.
        let is_back = done.is_ok() || matches!(self.side(record), Ok(Side::Before));
        messages.add_failure(done);
        if !is_back {
            return Ending::OldFileMissing;
        }
        self.reload_old(record, messages);
        Ending::Settled
    }

    /// Runs the reload for the old file; its failure is told beside the outcome.
    fn reload_old(&self, record: &TaskRecord, messages: &mut Messages) {
        if let Some(reload) = &record.reload
            && let Err(told) = self.run_command(reload, None)
        {
            messages.add(format!("reload of the old file: {told}"));
        }
    }

    /// Puts the old file back after the new one was swapped in, with its metadata and modification time.
    fn put_back(&self, record: &TaskRecord) -> Result<()> {
        let parent = self.open_parent(&record.path)?;
        let found = parent.find()?;
        if record.side(&found.version) != Side::After {
            return Err(Refusal::Changed(record.path.to_string()).into());
        }
        parent.remove_temporary(&record.temporary)?;
        self.stage(&parent, &record.temporary, &record.old, Source::Backup, Setting::Restored)?;
        swap(&parent, record, &found, &record.old)
    }

    fn remove_temporary(&self, record: &TaskRecord) -> Result<()> {
        match self.open_parent(&record.path) {
            Ok(parent) => parent.remove_temporary(&record.temporary).map(drop),
            // Without the folder, or the right to write there, there is nothing that may be removed.
            Err(Error::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes the content of the order, and backups that no record needs any more.
    fn collect_garbage(&self, record: &TaskRecord) -> Result<()> {
        if let Some(sha256) = record.new.sha256() {
            self.blobs.remove_incoming(sha256)?;
        }
        for sha256 in self.journal.records().forgotten_contents(&record.path) {
            self.blobs.remove_backup(&sha256)?;
        }
        Ok(())
    }
}

fn report(record: &TaskRecord, state: State, message: Option<String>) -> Report {
    let result = TaskResult {
        state,
        old_sha256: record.old.sha256().cloned(),
        new_sha256: record.new.sha256().cloned(),
        changed: matches!(state, State::Succeeded | State::Reverted),
        plan: None,
    };
    Report { result, message }
}
