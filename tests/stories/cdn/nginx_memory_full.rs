//! An nginx whose shared memory for purges is full: it may drop its cache, but never a purge.

use pilothouse_test_support::edges_or_skip;

use crate::support::{EdgeFleet, Installation, complete, create_customer, queue, wait_for, wait_for_edges};

/// Number of objects that visitors request.
const OBJECTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn no_purge_is_lost_when_the_memory_is_full() {
    if !edges_or_skip("cdn::nginx_memory_full::no_purge_is_lost_when_the_memory_is_full") {
        return;
    }
    // Room for some hundred purges.
    let small =
        |shipped: String| shipped.replace("lua_shared_dict pilothouse 32m", "lua_shared_dict pilothouse 96k");
    let fleet = EdgeFleet::install_with(Installation::sqlite(), small).await;
    let (_server, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    let mut old = fleet.origin.change();
    fleet.assert_version("/kept", old).await;
    assert!(fleet.visit_all("/kept").await.iter().all(|(_, cache)| cache == "HIT"));
    let purged_first: Vec<_> = (0..OBJECTS).map(|n| format!("/first/{n}")).collect();
    for path in &purged_first {
        fleet.assert_version(path, old).await;
    }
    let first = fleet.origin.change();
    complete(&root, "refresh", &purged_first.iter().map(String::as_str).collect::<Vec<_>>()).await;

    for round in 0..4 {
        let path = |n: usize| format!("/full/{n}");
        for n in 0..OBJECTS {
            fleet.visit_all(&path(n)).await;
        }
        old = fleet.origin.change();
        let others = (0..900).map(|n| format!("/other/{round}/{n}"));
        let all: Vec<_> = (0..OBJECTS).map(path).chain(others).collect();
        let id = queue(&root, "refresh", &all).await;
        let prefixes: Vec<_> = (0..40).map(|n| format!("/prefix/{round}/{n}/{}*", "x".repeat(300))).collect();
        let prefixed = queue(&root, "refresh", &prefixes).await;
        for id in [id, prefixed] {
            let done = wait_for(&root, &id, |task| task["state"] != "pending").await;
            assert_eq!(done["percentComplete"], "100");
        }
        for n in 0..OBJECTS {
            fleet.assert_version(&path(n), old).await;
        }
    }
    for path in &purged_first {
        for (edge, (version, cache)) in fleet.edges.iter().zip(fleet.visit_all(path).await) {
            assert!(version >= first, "{} has {path} from before its purge ({cache})", edge.name);
        }
    }
    // The memory was full: it was reset, and the whole cache of nginx with it.
    let kept = fleet.visit_all("/kept").await;
    assert!(kept[..2].iter().all(|(version, _)| *version == old), "{kept:?}");
    assert!(kept[2..].iter().all(|(_, cache)| cache == "HIT"), "{kept:?}");
    wait_for_edges(&root, &[], "in_service").await;
}
