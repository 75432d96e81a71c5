use object_store::limit::LimitStore;
use object_store::memory::InMemory;
use pilothouse_cdn_providers::SecretSource;
use pilothouse_conformance::blob_store_conforms;
use pilothouse_core::{ErrorKind, Settings};
use pilothouse_storage_memory::MemoryStorage;
use pilothouse_test_support::S3Server;

use super::*;
use crate::object_storage;

/// Domain over a store of its own.
fn domain() -> Pilothouse {
    Pilothouse::new(Arc::new(MemoryStorage::new()), Settings::default()).unwrap()
}

fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}

#[tokio::test]
async fn the_suite_of_blob_stores_passes() {
    let objects = Arc::new(InMemory::new());
    let pilothouse = domain();
    let server = || BucketBlobs::new(objects.clone(), pilothouse.clone(), true);
    blob_store_conforms(&server(), &server()).await;
}

#[tokio::test]
async fn the_suite_passes_over_a_folder_in_place_of_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let objects = object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let blobs = BucketBlobs::new(Arc::new(objects), domain(), false);
    blob_store_conforms(&blobs, &blobs).await;
}

/// A server that is killed while it removes a blob leaves pieces, whose bytes need not be sent again.
#[tokio::test]
async fn what_a_crash_leaves_is_no_complete_blob() {
    let (objects, pilothouse) = (Arc::new(InMemory::new()), domain());
    let blobs = BucketBlobs::new(objects.clone(), pilothouse.clone(), false);
    let sha256 = digest(b"one two three");
    for (offset, piece) in [(0, &b"one "[..]), (4, b"two "), (8, b"three")] {
        blobs.append(sha256, 13, offset, piece).await.unwrap();
    }
    objects.delete(&key(sha256, 13, 8, true)).await.unwrap();
    let left = BlobState { size: 13, offset: 8, is_complete: false };
    assert_eq!(blobs.find(sha256).await.unwrap(), Some(left));
    objects.delete(&key(sha256, 13, 0, false)).await.unwrap();
    let begun = blobs.append(sha256, 13, 0, b"on").await.unwrap();
    assert_eq!(begun.offset, 2, "the piece behind the hole does not count");
    let grown = blobs.append(sha256, 13, 2, b"e ").await.unwrap();
    assert_eq!((grown.offset, blobs.find(sha256).await.unwrap().unwrap().offset), (4, 8));
    let other = BucketBlobs::new(objects, pilothouse, false);
    assert!(other.append(sha256, 13, 8, b"three").await.unwrap().is_complete);
    assert_eq!(blobs.read(sha256, 0, 100).await.unwrap(), b"on", "a read ends with its piece");
}

#[tokio::test]
async fn young_blobs_and_other_objects_are_not_listed() {
    let objects = Arc::new(InMemory::new());
    let blobs = BucketBlobs::new(objects.clone(), domain(), false);
    for foreign in ["README", "blobs/README", "blobs/README/1/0"] {
        objects.put(&Path::from(foreign), PutPayload::from_static(b"mine")).await.unwrap();
    }
    blobs.append(digest(b"ab"), 2, 0, b"a").await.unwrap();
    assert_eq!(blobs.list_older(DateTime::UNIX_EPOCH).await.unwrap(), []);
    assert_eq!(blobs.list_older(DateTime::<Utc>::MAX_UTC).await.unwrap(), [digest(b"ab")]);
}

/// The servers on one store use one bucket, and no other store does.
#[tokio::test]
async fn another_bucket_than_that_of_the_store_is_not_used() {
    let pilothouse = domain();
    let (objects, others) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
    let server = |objects: &Arc<InMemory>| BucketBlobs::new(objects.clone(), pilothouse.clone(), true);
    assert_eq!(server(&objects).refusal().await.unwrap(), None);
    assert!(server(&objects).append(digest(b"a"), 1, 0, b"a").await.unwrap().is_complete);
    let of_another_store = BucketBlobs::new(objects, domain(), false);
    for (other, why) in [(server(&others), "the other servers"), (of_another_store, "another store")] {
        assert!(other.refusal().await.unwrap().is_some_and(|told| told.contains(why)), "{why}");
        assert_eq!(other.find(digest(b"a")).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(other.list_older(DateTime::<Utc>::MAX_UTC).await.unwrap(), []);
    }
}

#[tokio::test]
async fn the_suite_passes_over_an_s3_server() {
    const NAME: &str = "bucket_blobs::tests::the_suite_passes_over_an_s3_server";
    let Some(server) = S3Server::start_or_skip(NAME, "contents") else { return };
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Some(SecretSource::File(file))
    };
    let settings = crate::settings::Settings {
        s3_endpoint: Some(format!("http://127.0.0.1:{}", server.port)),
        s3_access_key_id: secret("key", S3Server::ACCESS_KEY),
        s3_secret_access_key: secret("secret", S3Server::SECRET_KEY),
        ..Default::default()
    };
    let location = "s3://contents/a/b".parse().unwrap();
    let objects = object_storage::open(&settings, "blob_dir", &location).unwrap();
    // This server looks whether an object is there and then writes it, which is not one step as the protocol has it.
    let objects = Arc::new(LimitStore::new(objects, 1));
    let pilothouse = domain();
    let view = || BucketBlobs::new(objects.clone(), pilothouse.clone(), true);
    blob_store_conforms(&view(), &view()).await;
}
