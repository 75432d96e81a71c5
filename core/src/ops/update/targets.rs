//! Targets of a batch: which machines it is for, and the tasks that it is added as.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Batch, BatchId, Batches, NewFile};
use crate::account::{Caller, CallerTransaction, Entry, Group};
use crate::ops::task::check_texts;
use crate::ops::{Machine, MachineFilter, MachineNumber, Task, TaskId, TaskNumber};
use crate::ports::LockKey;
use crate::{Error, IdempotencyKey, Page, Result};

/// Which machines a batch is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Those of these addresses, which are bound to machines when the batch is executed.
    Addresses(Vec<IpAddr>),
    /// Those of these names.
    Names(Vec<String>),
    /// Those of this purpose.
    Usage(String),
    /// Those at this location.
    Location(String),
    /// Every machine.
    All,
}

/// A batch to be added: one task for each machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBatch {
    /// Machines, at most [`Batches::MOST_MACHINES`].
    pub targets: Targets,
    /// 1 to 32 of `[a-z0-9_-]`.
    pub action: String,
    /// The file: 1 to 4096 bytes.
    pub content: String,
    /// 1 to 4096 bytes.
    pub description: String,
    /// Content and conditions.
    pub file: NewFile,
}

/// Batch that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedBatch {
    /// Batch.
    pub batch_id: BatchId,
    /// Its tasks.
    pub task_ids: Vec<TaskId>,
    /// Names of their machines, in the same order; empty for an address that no machine or more than one has.
    pub machines: Vec<String>,
}

/// One machine of a batch.
struct Target {
    ip: IpAddr,
    /// `None` of an address, which is bound later.
    machine: Option<MachineNumber>,
    name: String,
}

impl Batches<'_> {
    /// The most machines of one batch.
    pub const MOST_MACHINES: usize = 1000;

    /// Adds a task for each machine; needs group 2. All or none. A request that was accepted with the same key within a day
    /// adds nothing, and is answered as it was then.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn add(
        &self,
        caller: &Caller,
        new: NewBatch,
        key: Option<&IdempotencyKey>,
    ) -> Result<AddedBatch> {
        self.0.require(caller, Group::WriteTasks)?;
        let NewBatch { targets, action, content, description, mut file } = new;
        check_texts(&action, &content, &description)?;
        self.0.check_file(&content, &file)?;
        targets.check()?;
        if let Some(answer) = self.0.answer_before_blobs(caller, key).await? {
            return AddedBatch::from_json(&answer);
        }
        self.0.take_releases(std::iter::once((&*content, &mut file))).await?;
        let sha256 = file.sha256.ok_or_else(|| Error::invalid("sha256", "is required"))?;
        let blob = self.0.find_blob(sha256).await?;
        let create_time = self.0.clock().now();
        let mut work = self.0.write_as(caller).await?;
        let targets = work.resolve(&targets).await?;
        let added = AddedBatch {
            batch_id: BatchId(self.0.ids().uuid()),
            task_ids: targets.iter().map(|_| TaskId(self.0.ids().uuid())).collect(),
            machines: targets.iter().map(|target| target.name.clone()).collect(),
        };
        if let Some(answer) = work.answered_before(key, &added.to_json()).await? {
            return AddedBatch::from_json(&answer);
        }
        let batch = Some(added.batch_id);
        work.batches().insert(&Batch::pending(added.batch_id, create_time)).await?;
        // No blob is removed while tasks are added that name it.
        work.lock(LockKey::Blobs).await?;
        let size = work.require_blob(blob).await?;
        for (task_id, target) in added.task_ids.iter().copied().zip(targets) {
            let (action, content, description) = (action.clone(), content.clone(), description.clone());
            let ip = target.ip;
            let id = TaskNumber::UNSAVED;
            let task = Task { id, task_id, ip, action, create_time, content, description, batch };
            work.tasks().insert(&task).await?;
            work.record(Entry::new("task.add", task_id.to_string()).new_digest(task.digest())).await?;
            let content = file.clone().into_content(task_id, sha256, size);
            work.orders().insert(&content, target.machine).await?;
        }
        work.record(Entry::new("batch.add", added.batch_id.to_string())).await?;
        work.commit().await?;
        Ok(added)
    }
}

impl Targets {
    fn check(&self) -> Result<()> {
        let (field, number, distinct) = match self {
            Self::Addresses(ips) => ("ips", ips.len(), ips.iter().collect::<BTreeSet<_>>().len()),
            Self::Names(names) => {
                ("machines.names", names.len(), names.iter().collect::<BTreeSet<_>>().len())
            }
            Self::Usage(_) | Self::Location(_) | Self::All => return Ok(()),
        };
        let most = Batches::MOST_MACHINES;
        if !(1..=most).contains(&number) {
            return Err(Error::invalid(field, format!("must be a list of 1 to {most}")));
        }
        if distinct < number {
            return Err(Error::invalid(field, "must not name one twice"));
        }
        Ok(())
    }
}

impl CallerTransaction<'_> {
    async fn resolve(&mut self, targets: &Targets) -> Result<Vec<Target>> {
        match targets {
            Targets::Addresses(ips) => self.resolve_addresses(ips).await,
            Targets::Names(names) => {
                let mut found = Vec::with_capacity(names.len());
                for name in names {
                    let machine = self.machines().find(name).await?;
                    let missing = || Error::invalid("machines.names", format!("there is no machine {name}"));
                    found.push(machine.ok_or_else(missing)?.into());
                }
                Ok(found)
            }
            Targets::Usage(usage) => {
                let filter = MachineFilter { usage: Some(usage.clone()), ..MachineFilter::default() };
                self.resolve_filter("machines.usage", &filter).await
            }
            Targets::Location(location) => {
                let filter = MachineFilter { location: Some(location.clone()), ..MachineFilter::default() };
                self.resolve_filter("machines.location", &filter).await
            }
            Targets::All => self.resolve_filter("machines.all", &MachineFilter::default()).await,
        }
    }

    async fn resolve_addresses(&mut self, ips: &[IpAddr]) -> Result<Vec<Target>> {
        let mut targets = Vec::with_capacity(ips.len());
        for ip in ips {
            let found = self.machines().with_address(*ip).await?;
            let name = match &found[..] {
                [one] => one.machine_name.clone(),
                _ => String::new(),
            };
            targets.push(Target { ip: *ip, machine: None, name });
        }
        Ok(targets)
    }

    async fn resolve_filter(&mut self, field: &'static str, filter: &MachineFilter) -> Result<Vec<Target>> {
        let most = Batches::MOST_MACHINES;
        let page = Page::at(0, i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1));
        let found = self.machines().list(filter, page).await?;
        if found.is_empty() {
            return Err(Error::invalid(field, "is that of no machine"));
        }
        if found.len() > most {
            return Err(Error::invalid(field, format!("is that of more than {most} machines")));
        }
        Ok(found.into_iter().map(Target::from).collect())
    }
}

impl From<Machine> for Target {
    fn from(machine: Machine) -> Self {
        Self { ip: machine.inside_ip, machine: Some(machine.id), name: machine.machine_name }
    }
}

impl AddedBatch {
    fn to_json(&self) -> String {
        let ids: Vec<_> = self.task_ids.iter().map(ToString::to_string).collect();
        json!([self.batch_id.to_string(), ids, self.machines]).to_string()
    }

    fn from_json(text: &str) -> Result<Self> {
        let unreadable = || Error::Internal("the kept answer of a batch is unreadable".into());
        let kept: Value = serde_json::from_str(text).map_err(|_| unreadable())?;
        let texts = |value: &Value| -> Option<Vec<String>> {
            value.as_array()?.iter().map(|text| Some(text.as_str()?.to_owned())).collect()
        };
        let task_ids = texts(&kept[1]).ok_or_else(unreadable)?;
        Ok(Self {
            batch_id: kept[0].as_str().ok_or_else(unreadable)?.parse()?,
            task_ids: task_ids.iter().map(|id| id.parse()).collect::<Result<_>>()?,
            machines: texts(&kept[2]).ok_or_else(unreadable)?,
        })
    }
}
