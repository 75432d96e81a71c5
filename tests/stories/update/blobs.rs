//! Blobs of several servers on one Postgres: they are taken only into the folder that all of them use.

use pilothouse_test_support::postgres_or_skip;

use crate::support::{ApiClient, Installation, ROOT};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_its_own_takes_no_blobs() {
    let Some(postgres) = postgres_or_skip("update::blobs::a_folder_of_its_own_takes_no_blobs") else {
        return;
    };
    let (database, blobs) = (postgres.database(), tempfile::tempdir().unwrap());
    let blob_dir = blobs.path().display().to_string();
    let shared = || Installation::postgres(&database).with("BLOB_DIR", &blob_dir);
    let (first, second, alone) = (shared(), shared(), Installation::postgres(&database));
    let (first, second) = (first.serve().await, second.serve().await);
    let root = ApiClient::new(&[&first, &second]).login(ROOT).await;
    // Its two pieces go to one server each, and the last hashes what both have taken.
    let sha256 = root.upload("shared by two servers").await;
    let alone = alone.serve().await;
    let other = ApiClient::new(&[&alone]).with_token(root.token());
    let refused = other.get(&format!("/api/blob?sha256={sha256}")).await;
    assert_eq!(refused.codes(), (503, 500), "{refused:?}");
    assert!(refused.body["info"].as_str().unwrap().starts_with("blob_dir of this server"), "{refused:?}");
    assert!(alone.log().contains("blobs are refused here"));
}
