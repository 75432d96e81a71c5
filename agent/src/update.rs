//! Updating a file, and planning it.

use crate::agent::{Agent, now};
use crate::command_runner::STAGED;
use crate::error::{Refusal, Result};
use crate::file_version::{FileVersion, Found, Side};
use crate::finish::Course;
use crate::local_account::{group_id, user_id};
use crate::metadata::{FileMetadata, Setting};
use crate::order::{Action, Content, FileMode, Order};
use crate::parent_folder::ParentFolder;
use crate::path::TargetPath;
use crate::progress::Step;
use crate::report::{FileRights, Plan, Report, TaskResult};
use crate::staging::{Source, swap};
use crate::task_record::{Phase, State, TaskRecord, temporary_name};

/// Mode of a new file where the order gives none.
const DEFAULT_MODE: u32 = 0o644;

/// State of the file before anything is written.
#[derive(Debug)]
struct Preflight {
    parent: ParentFolder,
    found: Found,
    new: FileVersion,
    content: Content,
}

impl Preflight {
    fn is_needless(&self) -> bool {
        self.found.version.is_same_for_update(&self.new)
    }

    fn record(&self, order: &Order) -> TaskRecord {
        TaskRecord {
            task_id: order.task_id.clone(),
            attempt: order.attempt,
            fence: order.attempt,
            path: order.path.clone(),
            time: now(),
            action: Action::Update,
            phase: Phase::Prepared,
            old: self.found.version.clone(),
            new: self.new.clone(),
            overwritten: None,
            temporary: temporary_name(&order.path, &order.task_id, order.attempt),
            reload: order.reload.clone(),
            confirm_seconds: order.confirm_seconds,
            state: None,
            replaced: false,
            message: None,
        }
    }

    fn result(&self, state: State) -> TaskResult {
        TaskResult {
            state,
            old_sha256: self.found.version.sha256().cloned(),
            new_sha256: self.new.sha256().cloned(),
            changed: false,
            plan: None,
        }
    }
}

impl Agent {
    /// Replaces the file, unless it is already what the order asks for.
    pub(crate) fn update(&mut self, order: &Order) -> Report {
        if let Some(report) = self.ended_before(order) {
            return report;
        }
        let preflight = match self.preflight(order) {
            Ok(preflight) => preflight,
            Err(error) => return Report::refused(State::Failed, order.sha256.clone(), &error),
        };
        let mut record = preflight.record(order);
        if preflight.is_needless() {
            record.phase = Phase::Done;
            record.state = Some(State::Succeeded);
            let message = self.journal.append(&record).err().map(|error| error.chain());
            return Report { result: preflight.result(State::Succeeded), message };
        }
        if let Err(error) = self.prepare(order, &preflight, &record) {
            let message = Some(error.chain());
            // The failure is what is told; the next start removes what is left.
            let _ = self.blobs.remove_incoming(&preflight.content.sha256);
            return Report { result: preflight.result(State::Failed), message };
        }
        let error = self.replace(order, &preflight, &mut record).err();
        if error.is_some() {
            // Through the descriptor, since the path may lead elsewhere by now. The end of the attempt tries again.
            let _ = preflight.parent.remove_temporary(&record.temporary);
        }
        self.finish(record, Course::Running, error.as_ref())
    }

    /// Tells what an update would do, without writing anything.
    pub(crate) fn plan(&self, order: &Order) -> Report {
        let preflight = match self.preflight(order) {
            Ok(preflight) => preflight,
            Err(error) => return Report::refused(State::Failed, order.sha256.clone(), &error),
        };
        let action = match &preflight.found.version {
            _ if preflight.is_needless() => "nothing",
            FileVersion::Absent => "create",
            FileVersion::Present { .. } => "replace",
        };
        let from = FileRights::of(&preflight.found.version);
        let to = FileRights::of(&preflight.new);
        let mut result = preflight.result(State::Planned);
        result.plan = Some(Plan { action, from, to });
        Report { result, message: None }
    }

    /// An attempt that has ended is never carried out again: a repeated order is answered by what the file is.
    fn ended_before(&self, order: &Order) -> Option<Report> {
        let record = self.records().attempt(&order.task_id, order.attempt)?;
        if !record.is_done() || record.path != order.path {
            return None;
        }
        let state = match self.look(&record.path).map(|found| Side::of(&found, &record.old, &record.new)) {
            Ok(Side::After) => State::Succeeded,
            Ok(Side::Before) => State::Failed,
            Ok(Side::Neither) | Err(_) => State::Conflict,
        };
        let ended = if state == State::Succeeded {
            None
        } else {
            let before = record.message.as_deref().map_or(String::new(), |message| format!(" ({message})"));
            Some(format!(
                "attempt {} has ended before{before}; only a new attempt writes again",
                order.attempt
            ))
        };
        let result = TaskResult {
            state,
            old_sha256: record.old.sha256().cloned(),
            new_sha256: record.new.sha256().cloned(),
            changed: false,
            plan: None,
        };
        Some(Report { result, message: ended })
    }

    /// Refuses everything that can be refused before a byte is written.
    fn preflight(&self, order: &Order) -> Result<Preflight> {
        let content = order.content()?;
        if let Some(deadline) = order.deadline
            && now() > deadline
        {
            return Err(Refusal::Deadline(deadline).into());
        }
        self.require_fence(order)?;
        self.require_resolved(&order.path)?;
        self.require_commands(order)?;
        let parent = self.open_parent(&order.path)?;
        let found = parent.find()?;
        if let Some(what) = found.open.as_ref().and_then(|open| open.unfit) {
            return Err(parent.unfit(what));
        }
        require_expectation(order, &found)?;
        let metadata = wanted_metadata(order, &parent, &found)?;
        let new = FileVersion::Present { sha256: content.sha256.clone(), size: content.size, metadata };
        if !found.version.is_same_for_update(&new) {
            let old = size(&found.version);
            self.require_space(&parent, order.path.folder(), content.size, old)?;
        }
        Ok(Preflight { parent, found, new, content })
    }

    fn require_fence(&self, order: &Order) -> Result<(), Refusal> {
        let highest = self.records().highest_attempt(&order.task_id);
        if order.attempt < highest {
            return Err(Refusal::StaleAttempt { attempt: order.attempt, highest });
        }
        match self.records().attempt(&order.task_id, order.attempt) {
            Some(record) if record.path != order.path => {
                Err(Refusal::Order(format!("this attempt was for {}", record.path)))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn require_resolved(&self, path: &TargetPath) -> Result<(), Refusal> {
        let unresolved = self.records().of_path(path).find(|record| !record.is_done());
        unresolved.map_or(Ok(()), |record| Err(Refusal::Unresolved(record.task_id.to_string())))
    }

    fn require_commands(&self, order: &Order) -> Result<(), Refusal> {
        for name in [&order.check, &order.reload].into_iter().flatten() {
            let Some(command) = self.settings.commands.get(name) else {
                return Err(Refusal::Command(format!("command {name} is not declared in the settings")));
            };
            let names_staged = command.argv.iter().any(|argument| argument.contains(STAGED));
            if order.reload.as_ref() == Some(name) && names_staged {
                return Err(Refusal::Command(format!(
                    "command {name} names {STAGED}, which there is not when a reload runs"
                )));
            }
        }
        Ok(())
    }

    /// Takes in the new content, keeps the old one, and records both. A backup that cannot be made ends the attempt here.
    fn prepare(&mut self, order: &Order, preflight: &Preflight, record: &TaskRecord) -> Result<()> {
        let Some(blob) = &order.blob else {
            return Err(Refusal::Order("an update needs `blob`, the file with the content".to_owned()).into());
        };
        self.progress.reached(Step::Backup)?;
        self.blobs.import(blob, &preflight.content)?;
        if let (Some(open), FileVersion::Present { sha256, size, .. }) =
            (&preflight.found.open, &preflight.found.version)
        {
            let content = Content { sha256: sha256.clone(), size: *size };
            self.blobs.back_up(&open.file, &content)?;
        }
        self.journal.append(record)
    }

    fn replace(&mut self, order: &Order, preflight: &Preflight, record: &mut TaskRecord) -> Result<()> {
        let Preflight { parent, found, new, .. } = preflight;
        let setting = if found.open.is_none() { Setting::Created } else { Setting::Updated };
        self.progress.reached(Step::Stage)?;
        self.stage(parent, &record.temporary, new, Source::Incoming, setting)?;
        if let Some(check) = &order.check {
            self.progress.reached(Step::Check)?;
            let folder = order.path.folder().trim_end_matches('/');
            let staged = format!("{folder}/{}", record.temporary);
            self.run_command(check, Some(&staged)).map_err(Refusal::Check)?;
            if parent.hash_of_temporary(&record.temporary)? != preflight.content.sha256 {
                return Err(Refusal::Check(format!("{check} changed the staged file")).into());
            }
        }
        self.progress.reached(Step::Swap)?;
        record.phase = Phase::Swapping;
        self.journal.append(record)?;
        self.require_fence(order)?;
        swap(parent, record, found, new)
    }
}

fn require_expectation(order: &Order, found: &Found) -> Result<(), Refusal> {
    let Some(expected) = &order.expect_sha256 else { return Ok(()) };
    if found.version.sha256() == Some(expected) {
        return Ok(());
    }
    let found = found.version.sha256().map_or("none".to_owned(), ToString::to_string);
    Err(Refusal::Expectation { expected: expected.to_string(), found })
}

/// Metadata of the new file: the order's, else the old file's, else that of a new file.
fn wanted_metadata(order: &Order, parent: &ParentFolder, found: &Found) -> Result<FileMetadata> {
    let mut metadata = match found.version.metadata() {
        Some(metadata) => metadata.clone(),
        None => FileMetadata {
            mode: DEFAULT_MODE,
            uid: rustix::process::geteuid().as_raw(),
            gid: parent.group_of_new_files()?,
            mtime: 0,
            mtime_nanoseconds: 0,
            xattrs: std::collections::BTreeMap::new(),
        },
    };
    if let Some(mode) = order.mode {
        metadata.mode = FileMode::bits(mode);
    }
    if let Some(owner) = &order.owner {
        metadata.uid = user_id(owner)?;
    }
    if let Some(group) = &order.group {
        metadata.gid = group_id(group)?;
    }
    Ok(metadata)
}

pub(crate) fn size(version: &FileVersion) -> u64 {
    match version {
        FileVersion::Absent => 0,
        FileVersion::Present { size, .. } => *size,
    }
}
