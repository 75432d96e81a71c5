//! Blobs: how they are removed while tasks are added that name them. The strict store refuses to wait for the blob store within
//! a transaction.

use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::MemoryBlobs;
use pilothouse_conformance::rows::machine;
use pilothouse_core::account::{Caller, Group};
use pilothouse_core::ops::{NewBatch, NewFile, NewTask, Sha256Digest, Targets, TaskFilter};
use pilothouse_core::ports::{BlobState, BlobStore};
use pilothouse_core::{Error, ErrorKind, Page, Pilothouse, Result};
use pilothouse_storage_memory::MemoryStorage;

/// Call of a blob store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Find,
    Remove,
}

/// Blob store of one server, in one of whose calls another server works.
#[derive(Debug)]
struct Interrupted {
    blobs: Arc<MemoryBlobs>,
    call: Call,
    meanwhile: OnceLock<Other>,
    told: Mutex<Vec<ErrorKind>>,
}

/// The other server, and what it does.
#[derive(Debug)]
struct Other {
    pilothouse: Pilothouse,
    /// Who adds a task; without one it prunes.
    adds: Option<(Caller, NewTask)>,
}

impl Interrupted {
    async fn reached(&self, call: Call) {
        let Some(other) = self.meanwhile.get().filter(|_| self.call == call) else { return };
        let Some((ann, task)) = &other.adds else { return other.pilothouse.housekeep().await.unwrap() };
        let refused = other.pilothouse.tasks().add(ann, task.clone()).await.unwrap_err();
        self.told.lock().unwrap().push(refused.kind());
    }
}

#[async_trait]
impl BlobStore for Interrupted {
    async fn find(&self, sha256: Sha256Digest) -> Result<Option<BlobState>> {
        let found = self.blobs.find(sha256).await;
        self.reached(Call::Find).await;
        found
    }

    async fn append(&self, sha256: Sha256Digest, size: i64, offset: i64, bytes: &[u8]) -> Result<BlobState> {
        self.blobs.append(sha256, size, offset, bytes).await
    }

    async fn read(&self, sha256: Sha256Digest, offset: i64, most: usize) -> Result<Vec<u8>> {
        self.blobs.read(sha256, offset, most).await
    }

    async fn list_older(&self, before: DateTime<Utc>) -> Result<Vec<Sha256Digest>> {
        self.blobs.list_older(before).await
    }

    async fn remove(&self, sha256: Sha256Digest) -> Result<()> {
        self.reached(Call::Remove).await;
        self.blobs.remove(sha256).await
    }
}

/// Two servers on one store and one blob store.
struct Servers {
    fixture: Fixture,
    ann: Caller,
    blobs: Arc<MemoryBlobs>,
}

async fn servers() -> Servers {
    let fixture = Fixture::new(Arc::new(MemoryStorage::new().strict()));
    let ann = fixture.account("ann", Group::ALL.into_iter().collect()).await;
    fixture.pilothouse.machines().add(&ann, machine(2)).await.unwrap();
    Servers { fixture, ann, blobs: Arc::new(MemoryBlobs::default()) }
}

fn task(sha256: Sha256Digest) -> NewTask {
    NewTask {
        ip: machine(2).inside_ip,
        action: "update".into(),
        content: "/etc/motd".into(),
        description: "d".into(),
        file: Some(NewFile { sha256: Some(sha256), ..NewFile::default() }),
    }
}

impl Servers {
    fn server(&self) -> Pilothouse {
        self.fixture.another_server().with_blob_store(self.blobs.clone())
    }

    /// A server in one of whose calls of the blob store another one prunes, or adds this task.
    fn interrupted(&self, call: Call, adds: Option<NewTask>) -> (Pilothouse, Arc<Interrupted>) {
        let meanwhile = Other { pilothouse: self.server(), adds: adds.map(|task| (self.ann.clone(), task)) };
        let store = Interrupted {
            blobs: self.blobs.clone(),
            call,
            meanwhile: OnceLock::from(meanwhile),
            told: Mutex::default(),
        };
        let store = Arc::new(store);
        (self.fixture.another_server().with_blob_store(store.clone()), store)
    }

    async fn tasks(&self) -> usize {
        let page = Page::at(0, 10);
        let listed = self.fixture.pilothouse.tasks().list(&self.ann, &TaskFilter::default(), page).await;
        listed.unwrap().rows.len()
    }

    async fn is_there(&self, sha256: Sha256Digest) -> bool {
        self.blobs.find(sha256).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn only_blobs_that_no_task_names_are_pruned() {
    let servers = servers().await;
    let server = servers.server();
    let (named, unnamed) = (servers.blobs.put(b"named"), servers.blobs.put(b"unnamed"));
    let id = server.tasks().add(&servers.ann, task(named)).await.unwrap();
    server.housekeep().await.unwrap();
    assert!(servers.is_there(named).await && !servers.is_there(unnamed).await);
    let missing = server.tasks().add(&servers.ann, task(unnamed)).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid, "{missing}");
    servers.blobs.put(b"unnamed");
    server.tasks().add(&servers.ann, task(unnamed)).await.unwrap();
    server.tasks().delete(&servers.ann, id).await.unwrap();
    server.housekeep().await.unwrap();
    assert!(!servers.is_there(named).await && servers.is_there(unnamed).await);
}

#[tokio::test]
async fn a_blob_that_is_pruned_while_a_task_is_added_refuses_the_task() {
    let servers = servers().await;
    let (server, _) = servers.interrupted(Call::Find, None);
    let sha256 = servers.blobs.put(b"new");
    let batch = NewBatch {
        targets: Targets::All,
        action: "update".into(),
        content: "/etc/motd".into(),
        description: "d".into(),
        file: NewFile { sha256: Some(sha256), ..NewFile::default() },
    };
    let gone = |refused: Error| {
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
        assert!(refused.to_string().contains("upload it again"), "{refused}");
    };
    gone(server.tasks().add(&servers.ann, task(sha256)).await.unwrap_err());
    let newer = NewFile { sha256: Some(servers.blobs.put(b"newer")), ..NewFile::default() };
    gone(server.batches().add(&servers.ann, NewBatch { file: newer, ..batch }, None).await.unwrap_err());
    assert_eq!(servers.tasks().await, 0);
}

#[tokio::test]
async fn no_task_takes_a_blob_that_is_being_removed() {
    let servers = servers().await;
    let sha256 = servers.blobs.put(b"new");
    let (server, store) = servers.interrupted(Call::Remove, Some(task(sha256)));
    server.housekeep().await.unwrap();
    assert_eq!(*store.told.lock().unwrap(), [ErrorKind::Conflict]);
    assert!(!servers.is_there(sha256).await);
    assert_eq!(servers.tasks().await, 0);
    // Uploaded again it is as good as any.
    servers.blobs.put(b"new");
    servers.server().tasks().add(&servers.ann, task(sha256)).await.unwrap();
}
