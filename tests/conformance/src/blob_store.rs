//! Conformance suite of blob stores: what every store of contents passes.

use chrono::{DateTime, Utc};
use pilothouse_core::ErrorKind;
use pilothouse_core::ops::Sha256Digest;
use pilothouse_core::ports::{BlobState, BlobStore};

use crate::doubles::sha256;

/// Bytes of a blob that is larger than what a store reads at a time.
const LARGE: usize = 3 << 20;

/// Runs the whole suite. `other` is another server's view of the same, empty store, and may be `store` itself.
///
/// # Panics
/// When the store does not do what the port says.
pub async fn blob_store_conforms(store: &dyn BlobStore, other: &dyn BlobStore) {
    nothing_is_there_at_first(store).await;
    pieces_of_two_servers_are_one_blob(store, other).await;
    a_wrong_offset_changes_nothing(store).await;
    a_wrong_hash_drops_the_blob(store, other).await;
    an_empty_blob_is_complete_at_once(store).await;
    every_range_is_read(store, other).await;
    of_two_pieces_for_one_place_one_is_taken(store, other).await;
    blobs_are_listed_and_removed(store, other).await;
}

fn size(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap()
}

/// Bytes that no other case uses.
fn bytes(name: &str, length: usize) -> Vec<u8> {
    name.bytes().chain(0..=250).cycle().take(length).collect()
}

async fn put(store: &dyn BlobStore, bytes: &[u8]) -> Sha256Digest {
    let digest = sha256(bytes);
    assert!(store.append(digest, size(bytes), 0, bytes).await.unwrap().is_complete);
    digest
}

/// The bytes of a blob from an offset on, in reads of at most so many.
async fn read(store: &dyn BlobStore, digest: Sha256Digest, mut offset: i64, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let read = store.read(digest, offset, most).await.unwrap();
        assert!(read.len() <= most, "{} of at most {most}", read.len());
        if read.is_empty() {
            return bytes;
        }
        offset += size(&read);
        bytes.extend(read);
    }
}

async fn nothing_is_there_at_first(store: &dyn BlobStore) {
    let digest = sha256(b"nothing");
    assert_eq!(store.find(digest).await.unwrap(), None);
    assert_eq!(store.read(digest, 0, 1).await.unwrap_err().kind(), ErrorKind::NotFound);
    store.remove(digest).await.unwrap();
    assert_eq!(store.list_older(DateTime::<Utc>::MAX_UTC).await.unwrap(), []);
}

async fn pieces_of_two_servers_are_one_blob(store: &dyn BlobStore, other: &dyn BlobStore) {
    let whole = bytes("pieces", 100);
    let digest = sha256(&whole);
    let begun = |offset| BlobState { size: 100, offset, is_complete: false };
    assert_eq!(store.append(digest, 100, 0, &whole[..10]).await.unwrap(), begun(10));
    assert_eq!(other.find(digest).await.unwrap(), Some(begun(10)));
    assert_eq!(other.append(digest, 100, 10, &whole[10..50]).await.unwrap(), begun(50));
    assert_eq!(store.append(digest, 100, 50, &whole[50..99]).await.unwrap(), begun(99));
    assert_eq!(other.read(digest, 0, 1).await.unwrap_err().kind(), ErrorKind::NotFound, "it is not complete");
    let complete = BlobState { size: 100, offset: 100, is_complete: true };
    assert_eq!(store.append(digest, 100, 99, &whole[99..]).await.unwrap(), complete);
    for server in [store, other] {
        assert_eq!(server.find(digest).await.unwrap(), Some(complete));
        assert_eq!(read(server, digest, 0, 1000).await, whole);
    }
}

async fn a_wrong_offset_changes_nothing(store: &dyn BlobStore) {
    let whole = bytes("offset", 20);
    let digest = sha256(&whole);
    let refused = async |offset| store.append(digest, 20, offset, &whole[1..5]).await.unwrap_err().kind();
    assert_eq!(refused(3).await, ErrorKind::Conflict);
    assert_eq!(store.find(digest).await.unwrap(), None);
    let begun = store.append(digest, 20, 0, &whole[..4]).await.unwrap();
    for offset in [0, 3, 5] {
        assert_eq!(refused(offset).await, ErrorKind::Conflict, "{offset}");
        assert_eq!(store.find(digest).await.unwrap(), Some(begun));
    }
    assert!(store.append(digest, 20, 4, &whole[4..]).await.unwrap().is_complete);
}

async fn a_wrong_hash_drops_the_blob(store: &dyn BlobStore, other: &dyn BlobStore) {
    let whole = bytes("hash", 30);
    let digest = sha256(&whole);
    // The wrong bytes are another server's: a hash of the own ones alone would be that of other bytes.
    store.append(digest, 30, 0, &whole[..10]).await.unwrap();
    other.append(digest, 30, 10, &[7; 10]).await.unwrap();
    let refused = store.append(digest, 30, 20, &whole[20..]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(store.find(digest).await.unwrap(), None);
    put(other, &whole).await;
    assert_eq!(read(store, digest, 0, 30).await, whole);
}

async fn an_empty_blob_is_complete_at_once(store: &dyn BlobStore) {
    let digest = put(store, b"").await;
    let complete = BlobState { size: 0, offset: 0, is_complete: true };
    assert_eq!(store.find(digest).await.unwrap(), Some(complete));
    assert_eq!(store.read(digest, 0, 10).await.unwrap(), b"");
}

async fn every_range_is_read(store: &dyn BlobStore, other: &dyn BlobStore) {
    let whole = bytes("range", LARGE);
    let digest = sha256(&whole);
    let (one, two) = (LARGE / 3, LARGE / 2);
    for (from, to) in [(0, one), (one, two), (two, LARGE)] {
        store.append(digest, size(&whole), size(&whole[..from]), &whole[from..to]).await.unwrap();
    }
    for from in [0, 1, one - 1, one, two + 1, LARGE - 1, LARGE] {
        let found = read(other, digest, size(&whole[..from]), 1 << 18).await;
        assert!(found == whole[from..], "from {from}");
    }
    assert_eq!(other.read(digest, size(&whole) + 1, 10).await.unwrap(), b"");
}

async fn of_two_pieces_for_one_place_one_is_taken(store: &dyn BlobStore, other: &dyn BlobStore) {
    let whole = bytes("race", 1000);
    let digest = sha256(&whole);
    let (mut offset, mut rounds) = (0, 0);
    while offset < 1000 {
        let at = usize::try_from(offset).unwrap();
        let (short, long) = (&whole[at..1000.min(at + 90)], &whole[at..1000.min(at + 170)]);
        let (one, two) =
            tokio::join!(store.append(digest, 1000, offset, short), other.append(digest, 1000, offset, long));
        let taken: Vec<_> = [one, two]
            .into_iter()
            .filter_map(|append| match append {
                Ok(state) => Some(state),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                    None
                }
            })
            .collect();
        // Beside the piece that completes a blob another one does no harm.
        assert!(taken.len() == 1 || taken.iter().any(|state| state.is_complete), "{taken:?}");
        offset = store.find(digest).await.unwrap().map_or(0, |found| found.offset);
        assert!(taken.iter().any(|state| state.offset == offset), "{taken:?}, and now {offset}");
        rounds += 1;
        assert!(rounds < 1000, "it does not grow");
    }
    assert_eq!(read(other, digest, 0, 333).await, whole);
}

async fn blobs_are_listed_and_removed(store: &dyn BlobStore, other: &dyn BlobStore) {
    let begun = sha256(&bytes("begun", 10));
    store.append(begun, 10, 0, b"begun").await.unwrap();
    let whole = put(store, b"to be removed").await;
    // Its pieces are remembered from now on.
    assert_eq!(read(other, whole, 0, 100).await, b"to be removed");
    let listed = other.list_older(DateTime::<Utc>::MAX_UTC).await.unwrap();
    assert!(listed.contains(&begun) && listed.contains(&whole));
    for digest in listed {
        store.remove(digest).await.unwrap();
        store.remove(digest).await.unwrap();
        assert_eq!(other.find(digest).await.unwrap(), None);
    }
    assert_eq!(store.list_older(DateTime::<Utc>::MAX_UTC).await.unwrap(), []);
    assert_eq!(store.read(whole, 0, 1).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Uploaded again, in other pieces.
    other.append(whole, 13, 0, b"to be").await.unwrap();
    other.append(whole, 13, 5, b" removed").await.unwrap();
    assert_eq!(read(store, whole, 3, 100).await, b"be removed");
}
