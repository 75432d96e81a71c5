//! Machine repository: the table `machine`.

use std::net::IpAddr;
use std::sync::LazyLock;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::ops::{BatchId, Machine, MachineFilter, MachineNumber, MachineRepository};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, statements};
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO machine (machine_name, inside_ip, outside_ip, usage, is_initialized, location) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    FIND = "SELECT * FROM machine WHERE machine_name = $1";
    BY_ID = "SELECT * FROM machine WHERE id = $1";
    NAMES = "SELECT machine_name FROM machine";
    WITH_ADDRESS = "SELECT * FROM machine WHERE inside_ip = $1 OR outside_ip = $1 ORDER BY id";
    OF_BATCH = "SELECT * FROM machine WHERE id IN (SELECT machine FROM file_order \
         JOIN task ON task.task_id = file_order.task_id WHERE task.batch = $1) ORDER BY id";
    RENAME = "UPDATE machine SET machine_name = $2 WHERE id = $1";
    UPDATE = "UPDATE machine SET inside_ip = $2, outside_ip = $3, usage = $4, is_initialized = $5, \
         location = $6 WHERE machine_name = $1";
    DELETE = "DELETE FROM machine WHERE machine_name = $1";
}

static LIST: LazyLock<ListStatements> = LazyLock::new(|| {
    let holds = ["machine_name", "usage", "location", "inside_ip", "outside_ip"]
        .map(|column| format!("REPLACE({column}, $5, '') <> {column}"));
    let condition = format!(
        "($3 IS NULL OR usage = $3) AND ($4 IS NULL OR location = $4) AND ($5 IS NULL OR {})",
        holds.join(" OR ")
    );
    ListStatements::new(concat!(module_path!(), "::LIST"), ("*", "machine", "id"), &condition, 3)
});

impl FromRow for Machine {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            machine_name: row.get("machine_name")?,
            inside_ip: row.get("inside_ip")?,
            outside_ip: outside_ip(&row.get::<String>("outside_ip")?)?,
            usage: row.get("usage")?,
            is_initialized: row.get("is_initialized")?,
            location: row.get("location")?,
        })
    }
}

/// The outside address as the table has it: empty where there is none.
fn stored(outside_ip: Option<IpAddr>) -> String {
    outside_ip.map(|ip| ip.to_string()).unwrap_or_default()
}

fn outside_ip(stored: &str) -> StorageResult<Option<IpAddr>> {
    let parsed = (!stored.is_empty()).then(|| stored.parse()).transpose();
    parsed.map_err(|_| StorageError::Corrupt { what: "outside_ip" })
}

#[async_trait]
impl MachineRepository for Transaction {
    async fn insert(&mut self, machine: &Machine) -> StorageResult<bool> {
        let Machine { machine_name, inside_ip, outside_ip, usage, is_initialized, location, .. } = machine;
        let values = values![machine_name, *inside_ip, stored(*outside_ip), usage, *is_initialized, location];
        Ok(self.connection.execute(INSERT, values).await? > 0)
    }

    async fn find(&mut self, machine_name: &str) -> StorageResult<Option<Machine>> {
        self.connection.optional(FIND, values![machine_name]).await
    }

    async fn by_id(&mut self, id: MachineNumber) -> StorageResult<Option<Machine>> {
        self.connection.optional(BY_ID, values![id]).await
    }

    async fn names(&mut self) -> StorageResult<Vec<String>> {
        self.connection.all(NAMES, values![]).await
    }

    async fn with_address(&mut self, ip: IpAddr) -> StorageResult<Vec<Machine>> {
        self.connection.all(WITH_ADDRESS, values![ip]).await
    }

    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<Machine>> {
        self.connection.all(OF_BATCH, values![&batch.0.as_bytes()[..]]).await
    }

    async fn list(&mut self, filter: &MachineFilter, page: Page) -> StorageResult<Vec<Machine>> {
        let MachineFilter { usage, location, text } = filter;
        let [usage, location, text] = [usage, location, text].map(Option::as_ref);
        let values = values![page.start, page.before, usage, location, text, page.count];
        self.connection.all(LIST.page(page.order), values).await
    }

    async fn count(&mut self, filter: &MachineFilter) -> StorageResult<u64> {
        let MachineFilter { usage, location, text } = filter;
        let [usage, location, text] = [usage, location, text].map(Option::as_ref);
        self.connection.count(LIST.count(), values![0, i64::MAX, usage, location, text]).await
    }

    async fn update(&mut self, machine: &Machine) -> StorageResult<bool> {
        let Machine { machine_name, inside_ip, outside_ip, usage, is_initialized, location, .. } = machine;
        let values = values![machine_name, *inside_ip, stored(*outside_ip), usage, *is_initialized, location];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn rename(&mut self, id: MachineNumber, machine_name: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(RENAME, values![id, machine_name]).await? > 0)
    }

    async fn delete(&mut self, machine_name: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![machine_name]).await? > 0)
    }
}
