//! Pruning of contents that no task names.

use std::sync::Arc;

use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::sha256;
use pilothouse_conformance::rows::machine;
use pilothouse_core::account::Group;
use pilothouse_core::ops::{NewFile, NewTask};
use pilothouse_core::ports::BlobStore;
use pilothouse_storage_memory::MemoryStorage;

#[tokio::test]
async fn contents_go_when_no_task_names_them() {
    let fixture = Fixture::builder(Arc::new(MemoryStorage::new().strict())).build();
    let ann = fixture.account("ann", Group::ALL.into_iter().collect()).await;
    fixture.pilothouse.machines().add(&ann, machine(2)).await.unwrap();
    let named = fixture.blobs().put(b"named");
    fixture.blobs().put(b"unnamed");
    fixture.blobs().append(sha256(b"begun"), 5, 0, b"beg").await.unwrap();
    let new = NewTask {
        ip: machine(2).inside_ip,
        action: "update".into(),
        content: "/etc/motd".into(),
        description: "d".into(),
        file: Some(NewFile { sha256: Some(named), ..NewFile::default() }),
    };
    let task = fixture.pilothouse.tasks().add(&ann, new).await.unwrap();
    assert_eq!(fixture.pilothouse.blobs().prune().await.unwrap(), 2);
    assert!(fixture.blobs().find(named).await.unwrap().is_some());
    assert_eq!(fixture.blobs().find(sha256(b"unnamed")).await.unwrap(), None);
    assert_eq!(fixture.blobs().find(sha256(b"begun")).await.unwrap(), None);
    assert_eq!(fixture.pilothouse.blobs().prune().await.unwrap(), 0);
    fixture.pilothouse.tasks().delete(&ann, task).await.unwrap();
    assert_eq!(fixture.pilothouse.blobs().prune().await.unwrap(), 1);
    assert_eq!(fixture.blobs().find(named).await.unwrap(), None);
}
