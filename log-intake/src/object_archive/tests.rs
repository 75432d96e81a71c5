use std::collections::HashSet;
use std::path::Path as FilePath;
use std::slice::from_ref;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use pilothouse_access_log::archive::Pack;
use tempfile::TempDir;

use super::*;
use crate::archive_test::{chunk, gzip, pack, read};

/// Server with a folder of its own, on object storage that others use too.
struct Server {
    folder: TempDir,
    archive: ObjectArchive,
}

impl Server {
    fn new(objects: &Arc<InMemory>, store: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = ObjectArchive::new(FolderArchive::open(folder.path()).unwrap(), objects.clone(), store);
        Self { folder, archive }
    }

    fn write(&self, name: &str, text: &str) -> LogChunk {
        let data = gzip(text);
        let length = i64::try_from(data.len()).unwrap();
        self.archive.folder.write(&pack(name, data)).unwrap();
        chunk(LogFile::Pack(name.to_owned()), 0, length)
    }

    fn files(&self) -> usize {
        let count = |folder: &FilePath| std::fs::read_dir(folder).unwrap().count();
        count(&self.folder.path().join("packs")) + count(&self.folder.path().join("days"))
    }
}

/// The keys of all objects, sorted.
async fn keys(objects: &InMemory) -> Vec<String> {
    let listed: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let mut keys: Vec<_> = listed.iter().map(|object| object.location.to_string()).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_folder_reads_what_went_up() {
    let objects = Arc::new(InMemory::new());
    let (one, other) = (Server::new(&objects, "a1"), Server::new(&objects, "a1"));
    let first = one.write("first", "first");
    assert_eq!(read(&one.archive, from_ref(&first)).await.unwrap(), "first");
    let missing = read(&other.archive, from_ref(&first)).await.unwrap_err().to_string();
    assert!(missing.contains("first"), "{missing}");
    assert_eq!(one.archive.upload().await.unwrap(), 1);
    assert_eq!(one.archive.upload().await.unwrap(), 0);
    assert_eq!((one.files(), keys(&objects).await), (0, vec!["packs/first".to_owned(), "store".to_owned()]));
    let second = one.write("second", &"second".repeat(100_000));
    let both = [second, first.clone()];
    let expected = format!("{}first", "second".repeat(100_000));
    assert_eq!(read(&one.archive, &both).await.unwrap(), expected, "one is in the folder, and one is not");
    assert!(other.archive.read(both.to_vec()).await.is_err());
    one.archive.upload().await.unwrap();
    assert_eq!(read(&other.archive, &both).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_day_is_up_before_its_row() {
    let objects = Arc::new(InMemory::new());
    let (one, other) = (Server::new(&objects, "a1"), Server::new(&objects, "a1"));
    let large = (0..40_000).map(|n| (n * n).to_string()).collect::<Vec<_>>().concat();
    let texts = ["small", &large, "last"];
    let chunks = [one.write("p1", texts[0]), one.write("p2", texts[1]), other.write("p3", texts[2])];
    let day = chunks[0].day;
    assert!(
        other.archive.seal("1-1-3-3", day, &chunks).await.is_err(),
        "two packs are with the other server"
    );
    one.archive.upload().await.unwrap();
    let sealed = other.archive.seal("1-1-3-3", day, &chunks).await.unwrap();
    assert_eq!(other.archive.seal("1-1-3-3", day, &chunks).await.unwrap(), sealed, "as another server would");
    let whole = chunk(LogFile::Sealed("1-1-3-3".to_owned()), 0, sealed.length);
    assert_eq!(read(&one.archive, from_ref(&whole)).await.unwrap(), texts.concat());
    assert_eq!(other.files(), 1, "only its own pack is in its folder");

    let object = Path::from("days/2016-09-29-1-1-3-3.log.gz");
    let bytes = objects.get(&object).await.unwrap().bytes().await.unwrap();
    objects.put(&object, bytes.slice(..bytes.len() - 1).into()).await.unwrap();
    assert!(one.archive.read(vec![whole.clone()]).await.is_err(), "one that was cut short is no whole file");
    one.archive.delete("1-1-3-3", day).await.unwrap();
    one.archive.delete("1-1-3-3", day).await.unwrap();
    assert!(one.archive.read(vec![whole]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_nothing_points_at_are_deleted_wherever_they_are() {
    let objects = Arc::new(InMemory::new());
    let server = Server::new(&objects, "a1");
    server.write("kept-up", "a");
    server.write("orphan-up", "b");
    server.archive.upload().await.unwrap();
    server.write("kept", "c");
    server.write("orphan", "d");
    let later = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
    let keep = HashSet::from(["kept", "kept-up"].map(|name| LogFile::Pack(name.to_owned())));
    assert_eq!(server.archive.prune(keep.clone(), DateTime::UNIX_EPOCH, None).await.unwrap(), 0, "too young");
    assert_eq!(server.archive.prune(keep.clone(), later, None).await.unwrap(), 2);
    assert_eq!(server.archive.prune(keep, later, None).await.unwrap(), 0);
    assert_eq!(
        (server.files(), keys(&objects).await),
        (1, vec!["packs/kept-up".to_owned(), "store".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn object_storage_belongs_to_one_store() {
    let objects = Arc::new(InMemory::new());
    assert_eq!(ObjectArchive::owner(&*objects).await.unwrap(), None);
    let (one, other) = (Server::new(&objects, "a1"), Server::new(&objects, "b2"));
    one.archive.claim().await.unwrap();
    assert_eq!(ObjectArchive::owner(&*objects).await.unwrap().as_deref(), Some("a1"));
    Server::new(&objects, "a1").archive.claim().await.unwrap();
    let refused = other.archive.claim().await.unwrap_err().to_string();
    assert_eq!(refused, "it belongs to the store a1, and this is the store b2");
    let lines = other.write("lines", "of another store");
    assert!(other.archive.upload().await.is_err());
    assert!(other.archive.seal("1-1-1-1", lines.day, from_ref(&lines)).await.is_err());
    let later = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
    assert!(other.archive.prune(HashSet::new(), later, None).await.is_err());
    assert_eq!(keys(&objects).await, ["store"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_larger_than_a_part_goes_up_whole() {
    let objects = Arc::new(InMemory::new());
    let server = Server::new(&objects, "a1");
    let data: Vec<u8> = (0..=250).cycle().take(20 << 20).collect();
    let large = Pack { name: "large".to_owned(), members: Vec::new(), data };
    server.archive.folder.write(&large).unwrap();
    server.archive.upload().await.unwrap();
    let object = objects.get(&Path::from("packs/large")).await.unwrap().bytes().await.unwrap();
    assert!(object == large.data);
}
