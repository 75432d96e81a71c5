//! Cdns of the settings.

use std::sync::Arc;

use pilothouse_core::{ErrorKind, Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;

use super::fixture::kind;

#[tokio::test]
async fn servers_started_at_once_record_each_configured_cdn_once() {
    let storage = Arc::new(MemoryStorage::new().strict());
    let start = |cdns: &[&str]| {
        Pilothouse::new(storage.clone(), Settings::default().with_cdns(cdns.iter().copied())).unwrap()
    };
    let (one, two) = (start(&["level3", "qcloud"]), start(&["qcloud", "own"]));
    let (one_cdns, two_cdns) = (one.cdns(), two.cdns());
    let (first, second) = tokio::join!(one_cdns.ensure_configured(), two_cdns.ensure_configured());
    first.unwrap();
    second.unwrap();
    one.cdns().ensure_configured().await.unwrap();
    let cdns = one.storage().read().await.unwrap().cdns().list().await.unwrap();
    assert_eq!(cdns.iter().map(|cdn| &*cdn.name).collect::<Vec<_>>(), ["level3", "qcloud", "own"]);
    assert_eq!(kind(start(&["q cloud"]).cdns().ensure_configured().await), ErrorKind::Invalid);
    start(&["qcould"]).cdns().ensure_configured().await.unwrap();
}
