//! Reverting a task: the stored bytes and metadata come back, or the file goes where there was none.

use crate::agent::{Agent, now};
use crate::error::{Error, Refusal, Result};
use crate::file_version::{FileVersion, Found, Side};
use crate::finish::Course;
use crate::journal::VERSIONS;
use crate::metadata::Setting;
use crate::order::{Action, Content, Order, TaskId};
use crate::parent_folder::ParentFolder;
use crate::progress::Step;
use crate::report::{Report, TaskResult};
use crate::staging::{Source, swap};
use crate::task_record::{Phase, State, TaskRecord, temporary_name};
use crate::update::size;

/// State of the file and its backup before a revert writes anything.
#[derive(Debug)]
struct Preflight {
    parent: ParentFolder,
    found: Found,
}

impl Agent {
    /// Puts back what the task's update replaced. A file that is not the task's any more is a conflict, unless `force`; what
    /// a forced revert overwrites is kept among the backups.
    pub fn revert(&mut self, task: &TaskId, force: bool) -> Report {
        let attempt = self.records().highest_attempt(task);
        self.revert_attempt(task, attempt, force)
    }

    pub(crate) fn revert_by_order(&mut self, order: &Order) -> Report {
        let highest = self.records().highest_attempt(&order.task_id);
        let refusal = if order.attempt < highest {
            Some(Refusal::StaleAttempt { attempt: order.attempt, highest })
        } else if order.deadline.is_some_and(|deadline| now() > deadline) {
            order.deadline.map(Refusal::Deadline)
        } else {
            let mut records = self.records().all().iter().filter(|record| record.task_id == order.task_id);
            let other = records.find(|record| record.path != order.path);
            other.map(|record| Refusal::Order(format!("this task was for {}", record.path)))
        };
        match refusal {
            Some(refusal) => Report::refused(State::RevertFailed, None, &refusal.into()),
            None => self.revert_attempt(&order.task_id, order.attempt, order.force),
        }
    }

    fn revert_attempt(&mut self, task: &TaskId, attempt: u32, force: bool) -> Report {
        let mut of_task = self.records().all().iter().rev().filter(|record| record.task_id == *task);
        let newest = of_task.clone().next().cloned();
        let Some(mut record) = of_task.find(|record| record.replaced || !record.is_done()).cloned() else {
            return never_replaced(task, newest.as_ref());
        };
        let preflight = match self.preflight_of_revert(&record) {
            Ok(preflight) => preflight,
            Err(error) => return refused(&record, State::RevertFailed, &error),
        };
        if preflight.found.version == record.old {
            return self.already_old(record, attempt);
        }
        if !force && let Err(refusal) = self.require_own(&record, &preflight.found) {
            return refused(&record, State::Conflict, &refusal.into());
        }
        let error = match self.prepare_revert(&mut record, attempt, &preflight.found) {
            Ok(()) => self.put_old(&mut record, &preflight).err(),
            Err(error) => return refused(&record, State::RevertFailed, &error),
        };
        if error.is_some() {
            // Through the descriptor, since the path may lead elsewhere by now. The end of the attempt tries again.
            let _ = preflight.parent.remove_temporary(&record.temporary);
        }
        self.finish(record, Course::Running, error.as_ref())
    }

    fn preflight_of_revert(&self, record: &TaskRecord) -> Result<Preflight> {
        self.require_resolved(&record.path)?;
        if !self.records().keeps_backup(record) {
            let told =
                format!("the last {VERSIONS} versions of {} are kept, and this is an older one", record.path);
            return Err(Refusal::Revert(told).into());
        }
        if let Some(sha256) = record.old.sha256()
            && !self.blobs.is_intact(sha256)?
        {
            return Err(Error::Damaged(format!("the backup {sha256} is missing or damaged")));
        }
        let parent = self.open_parent(&record.path)?;
        let found = parent.find()?;
        if let Some(what) = found.open.as_ref().and_then(|open| open.unfit) {
            return Err(parent.unfit(what));
        }
        let old = size(&found.version);
        self.require_space(&parent, record.path.folder(), size(&record.old), old)?;
        Ok(Preflight { parent, found })
    }

    /// Whether the file is what the task left, and no later task has taken it over.
    fn require_own(&self, record: &TaskRecord, found: &Found) -> Result<(), Refusal> {
        if Side::of(&found.version, &record.new, &record.old) == Side::Neither {
            let found = found.version.sha256().map_or("none".to_owned(), ToString::to_string);
            return Err(Refusal::Revert(format!(
                "{} was changed since: its SHA-256 is {found}; --force overwrites it",
                record.path
            )));
        }
        let is_later = |other: &&TaskRecord| !other.is_attempt(&record.task_id, record.attempt);
        let mut later = self.records().of_path(&record.path).rev().take_while(is_later);
        match later.find(|other| other.replaced && other.state == Some(State::Succeeded)) {
            Some(other) => Err(Refusal::Revert(format!(
                "task {} has replaced {} since; revert that first, or use --force",
                other.task_id, record.path
            ))),
            None => Ok(()),
        }
    }

    /// Keeps what is not the task's own content, and records the revert.
    fn prepare_revert(&mut self, record: &mut TaskRecord, attempt: u32, found: &Found) -> Result<()> {
        record.overwritten = None;
        let is_new =
            found.version.sha256() == record.new.sha256() && record.old.sha256() != record.new.sha256();
        if !is_new {
            if let (Some(open), FileVersion::Present { sha256, size, .. }) = (&found.open, &found.version) {
                self.blobs.back_up(&open.file, &Content { sha256: sha256.clone(), size: *size })?;
            }
            record.overwritten = Some(found.version.clone());
        }
        record.action = Action::Revert;
        record.phase = Phase::Prepared;
        record.fence = record.fence.max(attempt);
        record.state = None;
        record.message = None;
        record.temporary = temporary_name(&record.path, &record.task_id, record.fence);
        record.time = now();
        self.journal.append(record)
    }

    fn put_old(&mut self, record: &mut TaskRecord, preflight: &Preflight) -> Result<()> {
        let Preflight { parent, found } = preflight;
        self.stage(parent, &record.temporary, &record.old, Source::Backup, Setting::Restored)?;
        self.progress.reached(Step::Swap)?;
        record.phase = Phase::Swapping;
        self.journal.append(record)?;
        swap(parent, record, found, &record.old)
    }

    /// Records that the file is already the old one, metadata included.
    fn already_old(&mut self, mut record: TaskRecord, attempt: u32) -> Report {
        record.action = Action::Revert;
        record.state = Some(State::Reverted);
        record.fence = record.fence.max(attempt);
        record.message = None;
        record.time = now();
        let message = self.journal.append(&record).err().map(|error| error.chain());
        Report { result: result(Some(&record), State::Reverted), message }
    }
}

/// A task that never replaced the file has nothing to put back.
fn never_replaced(task: &TaskId, record: Option<&TaskRecord>) -> Report {
    match record {
        Some(_) => Report { result: result(record, State::Reverted), message: None },
        None => {
            let refusal = Refusal::Revert(format!("the journal knows no task {task}"));
            Report::refused(State::RevertFailed, None, &refusal.into())
        }
    }
}

fn refused(record: &TaskRecord, state: State, error: &Error) -> Report {
    Report { result: result(Some(record), state), message: Some(error.chain()) }
}

fn result(record: Option<&TaskRecord>, state: State) -> TaskResult {
    TaskResult {
        state,
        old_sha256: record.and_then(|record| record.old.sha256().cloned()),
        new_sha256: record.and_then(|record| record.new.sha256().cloned()),
        changed: false,
        plan: None,
    }
}
