//! Check of the state folder: the journal, every kept backup against its hash, and leftovers.

use crate::agent::Agent;
use crate::doctor::{Finding, Severity};
use crate::error::{Error, Result};
use crate::task_record::TaskRecord;

impl Agent {
    /// Checks everything that is kept, and removes temporary files that no task needs. A failure means that a revert cannot
    /// be done, or that a task could not be resolved.
    pub fn fsck(&mut self) -> Result<Vec<Finding>> {
        let mut findings = self.recovery();
        let torn = self.records().torn();
        if torn > 0 {
            let text = format!("journal: cut off {torn} bytes of a record that was not completely written");
            findings.push(Finding::new(Severity::Warning, text));
        }
        findings
            .push(Finding::new(Severity::Good, format!("journal: {} attempts", self.records().all().len())));
        for record in self.records().all() {
            findings.extend(self.leftover(record)?);
            if !record.is_done() {
                let text = format!("task {}: unfinished, and could not be resolved", record.task_id);
                findings.push(Finding::new(Severity::Failure, text));
            }
        }
        findings.extend(self.backups()?);
        Ok(findings)
    }

    fn recovery(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for recovered in self.recovered() {
            let task = &recovered.record.task_id;
            let message = recovered.report.message.as_deref().unwrap_or("resolved");
            let text = format!("task {task} of {}: {message}", recovered.record.path);
            findings.push(Finding::new(Severity::Warning, text));
        }
        findings
    }

    fn leftover(&self, record: &TaskRecord) -> Result<Option<Finding>> {
        let parent = match self.open_parent(&record.path) {
            Ok(parent) => parent,
            // What is no longer allowed, or no longer there, is left alone.
            Err(Error::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !record.is_done() || !parent.remove_temporary(&record.temporary)? {
            return Ok(None);
        }
        let text = format!("removed {} beside {}", record.temporary.escape_debug(), record.path);
        Ok(Some(Finding::new(Severity::Warning, text)))
    }

    fn backups(&self) -> Result<Vec<Finding>> {
        let known = self.records().kept_contents();
        let mut findings = Vec::new();
        for sha256 in &known {
            if !self.blobs.is_intact(sha256)? {
                let text =
                    format!("backup {sha256}: missing or damaged; the tasks that need it cannot be reverted");
                findings.push(Finding::new(Severity::Failure, text));
            }
        }
        if findings.is_empty() {
            findings
                .push(Finding::new(Severity::Good, format!("backups: {} contents, all intact", known.len())));
        }
        for name in self.blobs.unknown(&known)? {
            let text = format!("backup {name}: no record needs it; it may be removed by hand");
            findings.push(Finding::new(Severity::Warning, text));
        }
        Ok(findings)
    }
}
