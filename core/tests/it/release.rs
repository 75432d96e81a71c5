//! Releases: tasks without a hash take the file of their path into the blobs at that moment.

use std::sync::Arc;

use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{MemoryReleases, sha256};
use pilothouse_conformance::rows::machine;
use pilothouse_core::account::{Caller, Group};
use pilothouse_core::ops::{NewBatch, NewFile, NewTask, Sha256Digest, Targets, TaskFilter, TaskId};
use pilothouse_core::ports::BlobStore;
use pilothouse_core::{Error, ErrorKind, IdempotencyKey, Settings};
use pilothouse_storage_memory::MemoryStorage;

const PATH: &str = "/etc/motd";

struct Ops {
    fixture: Fixture,
    releases: Arc<MemoryReleases>,
    ann: Caller,
}

async fn ops() -> Ops {
    let releases = Arc::new(MemoryReleases::default());
    let storage = Arc::new(MemoryStorage::new().strict());
    let fixture = Fixture::builder(storage)
        .settings(Settings::default().with_blob_max_bytes(20))
        .releases(releases.clone())
        .build();
    let ann = fixture.account("ann", Group::ALL.into_iter().collect()).await;
    fixture.pilothouse.machines().add(&ann, machine(2)).await.unwrap();
    Ops { fixture, releases, ann }
}

fn task(file: Option<NewFile>) -> NewTask {
    NewTask {
        ip: machine(2).inside_ip,
        action: "update".into(),
        content: PATH.into(),
        description: "d".into(),
        file,
    }
}

impl Ops {
    async fn add(&self, file: Option<NewFile>) -> Result<TaskId, Error> {
        self.fixture.pilothouse.tasks().add(&self.ann, task(file)).await
    }

    /// Hash of the content with which an agent would carry the task out.
    async fn content(&self, task: TaskId) -> Sha256Digest {
        let updates = self.fixture.pilothouse.updates();
        updates.execute(&self.ann, task).await.unwrap();
        updates.find(&self.ann, task, None, 0).await.unwrap().content.sha256
    }

    async fn is_blob(&self, bytes: &[u8]) -> bool {
        self.fixture.blobs().find(sha256(bytes)).await.unwrap().is_some_and(|state| state.is_complete)
    }

    async fn tasks(&self) -> usize {
        let tasks = self.fixture.pilothouse.tasks();
        let page = pilothouse_core::Page::at(0, 100);
        tasks.list(&self.ann, &TaskFilter::default(), page).await.unwrap().rows.len()
    }
}

#[tokio::test]
async fn a_release_is_taken_when_the_task_is_added() {
    let ops = ops().await;
    ops.releases.put(PATH, Some(b"first"));
    let first = ops.add(None).await.unwrap();
    ops.releases.put(PATH, Some(b"second"));
    let mode = Some("0600".to_owned());
    let second = ops.add(Some(NewFile { mode, ..NewFile::default() })).await.unwrap();
    ops.releases.put(PATH, None);
    assert_eq!(ops.add(None).await.unwrap_err().kind(), ErrorKind::NotFound);
    let named = ops.fixture.blobs().put(b"named");
    let uploaded = ops.add(Some(NewFile { sha256: Some(named), ..NewFile::default() })).await.unwrap();
    assert_eq!(ops.content(first).await, sha256(b"first"), "what happens to the file later changes nothing");
    assert_eq!(ops.content(second).await, sha256(b"second"));
    assert_eq!(ops.content(uploaded).await, named);
    assert_eq!(ops.tasks().await, 3);
}

#[tokio::test]
async fn a_begun_blob_of_the_same_bytes_is_gone_on_with() {
    let ops = ops().await;
    ops.releases.put(PATH, Some(b"hello world"));
    let digest = sha256(b"hello world");
    ops.fixture.blobs().append(digest, 11, 0, b"hello").await.unwrap();
    ops.add(None).await.unwrap();
    assert!(ops.is_blob(b"hello world").await);
    ops.fixture.blobs().remove(digest).await.unwrap();
    ops.fixture.blobs().append(digest, 11, 0, b"wrong").await.unwrap();
    ops.add(None).await.unwrap();
    assert!(ops.is_blob(b"hello world").await, "bytes that others began wrongly are dropped");
    ops.releases.put(PATH, Some(b""));
    ops.add(None).await.unwrap();
    assert!(ops.is_blob(b"").await);
}

#[tokio::test]
async fn what_cannot_be_taken_adds_nothing() {
    let ops = ops().await;
    let refused = |error: Error, kind: ErrorKind, words: &str| {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    ops.releases.put(PATH, Some(&[b'x'; 21]));
    refused(
        ops.add(None).await.unwrap_err(),
        ErrorKind::Invalid,
        "content: the release has 21 bytes, more than the 20",
    );
    ops.releases.put(PATH, Some(&[b'x'; 20]));
    ops.add(None).await.unwrap();
    for read in [&b"other"[..], b"sho", b""] {
        ops.releases.put_changing(PATH, b"bytes", read);
        refused(ops.add(None).await.unwrap_err(), ErrorKind::Conflict, "changed while it was read");
        assert!(!ops.is_blob(b"bytes").await);
    }
    ops.releases.put_changing(PATH, b"bytes", b"bytes and more");
    ops.add(None).await.unwrap();
    assert!(ops.is_blob(b"bytes").await, "a file that has grown is the one that was opened");
    ops.releases.put(PATH, Some(b"good"));
    let relative = NewTask { content: "etc/motd".into(), ..task(None) };
    let tasks = ops.fixture.pilothouse.tasks();
    let all = vec![task(None), relative];
    refused(tasks.add_all(&ops.ann, all, None).await.unwrap_err(), ErrorKind::Invalid, "content: ");
    let missing = NewTask { content: "/etc/none".into(), ..task(None) };
    let all = vec![task(None), missing];
    refused(tasks.add_all(&ops.ann, all, None).await.unwrap_err(), ErrorKind::NotFound, "release");
    assert_eq!(ops.tasks().await, 2);
    let reader = ops.fixture.account("bob", [Group::ReadTasks].into_iter().collect()).await;
    let forbidden = tasks.add(&reader, NewTask { content: "/etc/none".into(), ..task(None) }).await;
    refused(forbidden.unwrap_err(), ErrorKind::Forbidden, "");
}

#[tokio::test]
async fn a_batch_takes_one_release_for_all_and_a_repeat_takes_none() {
    let ops = ops().await;
    ops.releases.put(PATH, Some(b"for all"));
    let new = NewBatch {
        targets: Targets::All,
        action: "update".into(),
        content: PATH.into(),
        description: "d".into(),
        file: NewFile::default(),
    };
    let key = IdempotencyKey::new("once", &["batch"]).unwrap();
    let batches = ops.fixture.pilothouse.batches();
    let added = batches.add(&ops.ann, new.clone(), Some(&key)).await.unwrap();
    let single = IdempotencyKey::new("one", &["task"]).unwrap();
    let tasks = ops.fixture.pilothouse.tasks();
    let one = tasks.add_all(&ops.ann, vec![task(None)], Some(&single)).await.unwrap();
    ops.releases.put(PATH, None);
    assert_eq!(batches.add(&ops.ann, new.clone(), Some(&key)).await.unwrap(), added);
    assert_eq!(tasks.add_all(&ops.ann, vec![task(None)], Some(&single)).await.unwrap(), one);
    assert_eq!(batches.add(&ops.ann, new, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(ops.content(added.task_ids[0]).await, sha256(b"for all"));
}
