//! Machines.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::ops::{Machine, MachineRepository};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{address, values};

const INSERT: &str = "INSERT INTO machine (machine_name, inside_ip, outside_ip, usage, is_initialized, location) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
const FIND: &str = "SELECT * FROM machine WHERE machine_name = $1";
const LIST: &str = "SELECT * FROM machine WHERE id >= $1 ORDER BY id LIMIT $2";
const UPDATE: &str = "UPDATE machine SET inside_ip = $2, outside_ip = $3, usage = $4, is_initialized = $5, \
     location = $6 WHERE machine_name = $1";
const DELETE: &str = "DELETE FROM machine WHERE machine_name = $1";

#[derive(FromRow)]
struct MachineRow {
    id: i64,
    machine_name: String,
    inside_ip: String,
    outside_ip: String,
    usage: String,
    is_initialized: bool,
    location: String,
}

impl TryFrom<MachineRow> for Machine {
    type Error = StorageError;

    fn try_from(row: MachineRow) -> StorageResult<Self> {
        let MachineRow { id, machine_name, inside_ip, outside_ip, usage, is_initialized, location } = row;
        let (inside_ip, outside_ip) = (address(&inside_ip)?, address(&outside_ip)?);
        Ok(Self { id, machine_name, inside_ip, outside_ip, usage, is_initialized, location })
    }
}

#[async_trait]
impl MachineRepository for Transaction {
    async fn insert(&mut self, machine: &Machine) -> StorageResult<bool> {
        let Machine { machine_name, inside_ip, outside_ip, usage, is_initialized, location, .. } = machine;
        let values = values![machine_name, *inside_ip, *outside_ip, usage, *is_initialized, location];
        Ok(self.connection.execute(INSERT, values).await? > 0)
    }

    async fn find(&mut self, machine_name: &str) -> StorageResult<Option<Machine>> {
        let found = self.connection.optional::<MachineRow>(FIND, values![machine_name]).await?;
        found.map(Machine::try_from).transpose()
    }

    async fn list(&mut self, page: Page) -> StorageResult<Vec<Machine>> {
        let rows = self.connection.all::<MachineRow>(LIST, values![page.start, page.count]).await?;
        rows.into_iter().map(Machine::try_from).collect()
    }

    async fn update(&mut self, machine: &Machine) -> StorageResult<bool> {
        let Machine { machine_name, inside_ip, outside_ip, usage, is_initialized, location, .. } = machine;
        let values = values![machine_name, *inside_ip, *outside_ip, usage, *is_initialized, location];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn delete(&mut self, machine_name: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![machine_name]).await? > 0)
    }
}
