//! The task that `/api/task` adds: for one machine, or for many as a batch.

use pilothouse_core::Error;
use pilothouse_core::ops::{NewBatch, NewFile, NewTask, Sha256Digest, Targets};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::args::ip_address;
use crate::list::List;
use crate::optional_member::selector;

/// A task to add.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddTask {
    /// The machine's IPv4 or IPv6 address; required, unless `ips` or `machines` is given.
    #[serde(default, deserialize_with = "selector")]
    #[schema(min_length = 2, max_length = 45, example = "192.168.1.1")]
    ip: Option<String>,
    /// Addresses of 1 to 1,000 machines, each of at most 45 bytes, which are bound to machines when the batch is executed.
    #[serde(default, deserialize_with = "selector")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 1000)]
    ips: Option<List>,
    /// Machines by name, purpose or location, or all of them: 1 to 1,000.
    #[serde(default, deserialize_with = "selector")]
    machines: Option<MachineTargets>,
    /// Command: 1 to 32 of `a-z 0-9 _ -`.
    #[schema(pattern = "^[a-z0-9_-]{1,32}$", example = "update")]
    action: String,
    /// Path of the file.
    #[schema(min_length = 1, max_length = 4096, example = "/path/to/file")]
    content: String,
    /// Description that people read: 1 to 4,096 bytes.
    #[schema(min_length = 1, max_length = 4096, example = "更新xxx功能")]
    description: String,
    /// SHA-256 of a complete blob, the new content of the file. Without it the content is the file of that path beneath
    /// `release_root` of the settings; where that is not set, the members below are refused, and an agent of ours cannot
    /// carry the task out.
    #[schema(
        pattern = "^[0-9a-fA-F]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    sha256: Option<String>,
    /// Mode of the new file: octal digits from 0000 to 0777; by default that of the old file.
    #[schema(pattern = "^[0-7]{3,4}$", example = "0644")]
    mode: Option<String>,
    /// User of the new file, by name or number; by default that of the old file.
    #[schema(min_length = 1, max_length = 64, example = "root")]
    owner: Option<String>,
    /// Group of the new file, by name or number; by default that of the old file.
    #[schema(min_length = 1, max_length = 64, example = "root")]
    group: Option<String>,
    /// SHA-256 that the file must have until then.
    #[schema(
        pattern = "^[0-9a-fA-F]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    expect_sha256: Option<String>,
    /// Name of a command that the agent declares, which checks the staged file.
    #[schema(min_length = 1, max_length = 64, example = "nginx-test")]
    check: Option<String>,
    /// Name of a command that the agent declares, which runs after the file was replaced.
    #[schema(min_length = 1, max_length = 64, example = "nginx-reload")]
    reload: Option<String>,
    /// Seconds within which the agent's report after its checks must arrive, else the old file comes back: 0, or 30 to 3600.
    #[schema(minimum = 0, maximum = 3600, example = 0)]
    confirm_seconds: Option<i64>,
    /// Unix time in seconds before which nobody begins.
    #[schema(minimum = 0, example = 0)]
    not_before: Option<i64>,
    /// Seconds from the order within which an agent must begin; by default a day.
    #[schema(minimum = 1, maximum = 2_592_000, example = 86400)]
    deadline_seconds: Option<i64>,
}

/// Machines of a batch: exactly one of the members.
#[derive(Deserialize, ToSchema)]
pub(super) struct MachineTargets {
    /// Machines of these names, each of at most 128 bytes.
    #[serde(default, deserialize_with = "selector")]
    #[schema(min_items = 1, max_items = 1000)]
    names: Option<Vec<String>>,
    /// Machines of this purpose.
    #[serde(default, deserialize_with = "selector")]
    #[schema(min_length = 1, max_length = 1024)]
    usage: Option<String>,
    /// Machines at this location.
    #[serde(default, deserialize_with = "selector")]
    #[schema(min_length = 1, max_length = 256)]
    location: Option<String>,
    /// Every machine: `true`.
    #[serde(default, deserialize_with = "selector")]
    all: Option<bool>,
}

impl MachineTargets {
    fn targets(&self) -> Result<Targets, Error> {
        Ok(match (&self.names, &self.usage, &self.location, self.all) {
            (Some(names), None, None, None) => Targets::Names(names.clone()),
            (None, Some(usage), None, None) => Targets::Usage(usage.clone()),
            (None, None, Some(location), None) => Targets::Location(location.clone()),
            (None, None, None, Some(true)) => Targets::All,
            (None, None, None, Some(false)) => {
                return Err(Error::invalid("machines.all", "must be true where it is given"));
            }
            _ => {
                let why = "must hold exactly one of names, usage, location and all";
                return Err(Error::invalid("machines", why));
            }
        })
    }
}

/// What is added.
pub(super) enum NewTasks {
    /// A task for one machine.
    One(Box<NewTask>),
    /// A task for each of many machines.
    Batch(Box<NewBatch>),
}

impl AddTask {
    /// The task, or the batch for many machines.
    pub(super) fn read(self) -> Result<NewTasks, Error> {
        let Self { ip, ips, machines, action, content, description, .. } = &self;
        let (action, content, description) = (action.clone(), content.clone(), description.clone());
        let targets = match (ip, ips, machines) {
            (Some(ip), None, None) => {
                let ip = ip_address("ip", ip)?;
                let file = Some(self.file()?);
                let task = NewTask { ip, action, content, description, file };
                return Ok(NewTasks::One(Box::new(task)));
            }
            (None, Some(List(ips)), None) => {
                let read = ips.iter().map(|ip| ip_address("ips", ip));
                Targets::Addresses(read.collect::<Result<_, _>>()?)
            }
            (None, None, Some(machines)) => machines.targets()?,
            (None, None, None) => return Err(Error::invalid("data.ip", "is required")),
            _ => return Err(Error::invalid("ip", "must not stand beside another of ip, ips and machines")),
        };
        let file = self.file()?;
        Ok(NewTasks::Batch(Box::new(NewBatch { targets, action, content, description, file })))
    }

    /// The content; whether it may be a release is decided where the task is added.
    fn file(self) -> Result<NewFile, Error> {
        let expect_sha256 = self.expect_sha256.as_deref();
        let sha256 = self.sha256.as_deref();
        Ok(NewFile {
            sha256: sha256.map(|text| Sha256Digest::parse("sha256", text)).transpose()?,
            mode: self.mode,
            owner: self.owner,
            group: self.group,
            expect_sha256: expect_sha256
                .map(|text| Sha256Digest::parse("expect_sha256", text))
                .transpose()?,
            check: self.check,
            reload: self.reload,
            confirm_seconds: self.confirm_seconds.unwrap_or(0),
            not_before: self.not_before,
            deadline_seconds: self.deadline_seconds,
        })
    }
}
