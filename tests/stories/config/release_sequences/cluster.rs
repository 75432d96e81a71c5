//! Servers of the sequences on one store, which is backed up and restored.

use pilothouse_test_support::{Database, Postgres, ProcessGuard};

use crate::support::{ApiClient, Installation, ROOT, TIMEOUT, TestServer};

/// Store of a cluster.
enum Store {
    /// The file of the one installation.
    File,
    Database(&'static Postgres, Database),
}

/// Backup of a store. Restoring it twice would give two histories the same epoch.
pub(super) enum Backup {
    /// Name of the file.
    File(String),
    Database(Database),
}

/// One server on SQLite, or two on Postgres.
pub(super) struct Cluster {
    store: Store,
    installations: Vec<Installation>,
    servers: Vec<TestServer>,
    backups: u32,
}

impl Cluster {
    pub(super) async fn sqlite() -> Self {
        Self::start(Store::File, vec![Installation::sqlite()]).await
    }

    pub(super) async fn postgres(postgres: &'static Postgres) -> Self {
        let database = postgres.database();
        let installations = [&database, &database].map(Installation::postgres).into();
        Self::start(Store::Database(postgres, database), installations).await
    }

    async fn start(store: Store, installations: Vec<Installation>) -> Self {
        let mut servers = Vec::new();
        for installation in &installations {
            servers.push(installation.serve().await);
        }
        Self { store, installations, servers, backups: 0 }
    }

    pub(super) fn servers(&self) -> &[TestServer] {
        &self.servers
    }

    /// A client of all servers in turn, logged in.
    pub(super) async fn root(&self) -> ApiClient {
        ApiClient::new(&self.servers.iter().collect::<Vec<_>>()).login(ROOT).await
    }

    pub(super) fn process(&mut self, which: usize) -> &mut ProcessGuard {
        &mut self.servers[which].process
    }

    /// Starts a server that has ended, on its port.
    pub(super) async fn start_again(&mut self, which: usize) {
        let port = self.servers[which].port;
        self.servers[which] = self.installations[which].serve_again(port).await;
    }

    async fn start_all_again(&mut self) {
        for which in 0..self.servers.len() {
            self.start_again(which).await;
        }
    }

    fn stop_all(&mut self) {
        for server in &mut self.servers {
            server.process.stop(TIMEOUT);
        }
    }

    /// Keeps the state of now. A database can be copied only while no server uses it.
    pub(super) async fn backup(&mut self) -> Backup {
        self.backups += 1;
        match &self.store {
            Store::File => {
                let name = format!("backup-{}.db", self.backups);
                let made = self.installations[0].run(&["backup", &name], "");
                assert_eq!(made.code, Some(0), "{made:?}");
                Backup::File(name)
            }
            Store::Database(postgres, database) => {
                let (postgres, database) = (*postgres, database.clone());
                self.stop_all();
                let copy = postgres.copy(&database);
                self.start_all_again().await;
                Backup::Database(copy)
            }
        }
    }

    /// Goes back to a backup, after a crash of the server where the store is a file.
    pub(super) async fn restore(&mut self, backup: Backup) {
        match (backup, &mut self.store) {
            (Backup::File(name), Store::File) => {
                self.servers[0].process.kill9();
                let restored = self.installations[0].run(&["restore", &name, "--replace"], "");
                assert_eq!(restored.code, Some(0), "{restored:?}");
            }
            (Backup::Database(copy), Store::Database(_, database)) => {
                *database = copy;
                let database = database.clone();
                self.stop_all();
                self.installations = [&database, &database].map(Installation::postgres).into();
            }
            _ => unreachable!("a backup is of the store"),
        }
        self.start_all_again().await;
    }
}
