//! Unregistered hosts: kept-aside lines in a store, and counted when their host is registered.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::Prunable;
use pilothouse_core::cdn::{
    CdnId, DomainId, LogFile, LogSourceId, OTHER_HOSTS, UndoRecord, UnregisteredHost, UnregisteredKey,
    UnregisteredLines, UnregisteredLinesId, UnregisteredUsage,
};
use pilothouse_core::ports::{Storage, UnitOfWork};

use super::log_chunk::day;
use super::series::begin;
use crate::rows::{AWKWARD, add_cdn, moment};

/// Lines recorded at the `n`th second.
fn lines(cdn_id: CdnId, host: &str, n: i64) -> UnregisteredLines {
    UnregisteredLines {
        id: UnregisteredLinesId::UNSAVED,
        cdn_id,
        host: host.into(),
        source_id: LogSourceId(n),
        recorded: at(n),
        first: 1000 - n,
        last: 2000 + n,
        day: day(0),
        kept_from: day(1),
        file: LogFile::Pack(format!("p{n}")),
        offset: n,
        length: 90,
        lines: 2 + n,
        raw_length: 100 + n,
        is_open: n % 2 == 0,
        figures: vec![0, 255, 7],
    }
}

fn at(n: i64) -> DateTime<Utc> {
    moment(0) + TimeDelta::seconds(n)
}

/// The hosts of a cdn with their lines and dropped lines.
async fn listed(work: &mut Box<dyn UnitOfWork>, cdn_id: CdnId) -> Vec<(String, i64, i64)> {
    let hosts = work.unregistered().hosts(cdn_id).await.unwrap();
    hosts.into_iter().map(|host| (host.host, host.lines, host.dropped)).collect()
}

/// Lines come out as they went in; a host is listed with their sums, and is gone once it is taken.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (a, b) = (add_cdn(&storage, "a").await, add_cdn(&storage, "b").await);
    let mut work = begin(&storage).await;
    let all = [lines(a, "x.test", 1), lines(a, AWKWARD, 2), lines(a, "x.test", 3), lines(b, "x.test", 4)];
    work.unregistered().insert(&all).await.unwrap();
    work.unregistered().insert(&[]).await.unwrap();
    let usage = work.unregistered().usage(a).await.unwrap();
    assert_eq!(usage, UnregisteredUsage { hosts: 2, rows: 3, bytes: 306 });
    assert_eq!(work.pruning().count(Prunable::UnregisteredLines).await.unwrap(), 4);
    let hosts = work.unregistered().hosts(a).await.unwrap();
    let (host, times) = ("x.test".to_owned(), Some((997, 2003)));
    let (dropped, is_listed) = (0, false);
    let expected = UnregisteredHost { cdn_id: a, host, lines: 8, bytes: 204, times, dropped, is_listed };
    assert!(hosts.len() == 2 && hosts.contains(&expected), "{hosts:?}");
    let files = work.unregistered().files().await.unwrap();
    let expected = (1..=4).map(|n| LogFile::Pack(format!("p{n}")));
    assert_eq!(files.into_iter().collect::<BTreeSet<_>>(), expected.collect());

    assert!(!work.unregistered().withdraw("p1", 2).await.unwrap());
    assert!(work.unregistered().withdraw("p2", 2).await.unwrap());
    assert_eq!(listed(&mut work, a).await, [("x.test".to_owned(), 8, 0)], "a host without lines is none");
    let taken = work.unregistered().take(a, "x.test").await.unwrap();
    let expected = [&all[0], &all[2]].into_iter().zip(&taken);
    let expected: Vec<_> =
        expected.map(|(row, taken)| UnregisteredLines { id: taken.id, ..row.clone() }).collect();
    assert!(taken == expected && taken.is_sorted_by_key(|row| row.id), "{taken:?}");
    assert_eq!(work.unregistered().take(a, "x.test").await.unwrap(), []);
    assert_eq!(work.unregistered().usage(a).await.unwrap(), UnregisteredUsage::default());
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.unregistered().hosts(b).await.unwrap().len(), 1);
    assert_eq!(snapshot.unregistered().hosts(a).await.unwrap(), []);
}

/// Dropped lines are counted with their host, and together once it has none left; pruned ones are not.
pub(crate) async fn dropped(storage: Arc<dyn Storage>) {
    let cdn = add_cdn(&storage, "a").await;
    let mut work = begin(&storage).await;
    let name = |host: &str, lines: i64, dropped: i64| (host.to_owned(), lines, dropped);
    let all =
        [lines(cdn, "x.test", 1), lines(cdn, "y.test", 2), lines(cdn, "x.test", 3), lines(cdn, "z.test", 4)];
    work.unregistered().insert(&all).await.unwrap();
    work.unregistered().drop_first(cdn, 1).await.unwrap();
    assert_eq!(listed(&mut work, cdn).await[0], name("x.test", 5, 3));
    work.unregistered().drop_host(cdn).await.unwrap();
    let expected = [name(OTHER_HOSTS, 0, 4), name("x.test", 5, 3), name("z.test", 6, 0)];
    assert_eq!(listed(&mut work, cdn).await, expected, "y.test had the oldest last lines");
    work.unregistered().count_dropped(cdn, "z.test", 7).await.unwrap();
    work.unregistered().count_dropped(cdn, "gone.test", 2).await.unwrap();
    assert_eq!(work.unregistered().prune(at(4), 0).await.unwrap(), 0);
    assert_eq!(work.unregistered().prune(at(4), 9).await.unwrap(), 1);
    let expected = [name(OTHER_HOSTS, 0, 9), name("z.test", 6, 7)];
    assert_eq!(listed(&mut work, cdn).await, expected, "x.test was pruned, which drops nothing more");
    assert_eq!(work.unregistered().usage(cdn).await.unwrap().hosts, 1);
    work.unregistered().insert(&[lines(cdn, "x.test", 5), lines(cdn, "w.test", 8)]).await.unwrap();
    assert_eq!(work.unregistered().delete_source(LogSourceId(8)).await.unwrap(), 1);
    assert_eq!(work.unregistered().delete_source(LogSourceId(8)).await.unwrap(), 0);
    assert_eq!(work.unregistered().prune(at(9), 1).await.unwrap(), 1);
    let expected = [name(OTHER_HOSTS, 0, 16), name("x.test", 7, 0)];
    assert_eq!(listed(&mut work, cdn).await, expected);
    work.commit().await.unwrap();
}

/// Rows of one host, day and kind of file are a crowd together, without open ones and those of a log that can be forgotten;
/// they are replaced without anything being counted as dropped.
pub(crate) async fn crowds_are_replaced(storage: Arc<dyn Storage>) {
    let (a, b) = (add_cdn(&storage, "a").await, add_cdn(&storage, "b").await);
    let mut work = begin(&storage).await;
    let of = |cdn, host, n| UnregisteredLines { is_open: false, ..lines(cdn, host, n) };
    let merged = |n: i64| UnregisteredLines { file: LogFile::Sealed(format!("s{n}")), ..of(a, "x.test", n) };
    let open = UnregisteredLines { is_open: true, ..of(a, "x.test", 5) };
    let next_day = UnregisteredLines { day: day(1), ..of(a, "x.test", 6) };
    let undone = of(a, "x.test", 8);
    let others = [of(a, "y.test", 4), open, next_day, undone, of(b, "x.test", 9), merged(10)];
    work.unregistered().insert(&others).await.unwrap();
    let crowd = [of(a, "x.test", 1), of(a, "x.test", 2), of(a, "x.test", 3)];
    work.unregistered().insert(&crowd).await.unwrap();
    let record = UndoRecord {
        source_id: LogSourceId(8),
        domain_id: DomainId(1),
        recorded: at(0),
        options: String::new(),
        pack: String::new(),
        lines: 1,
        counted_later: 0,
        figures: Vec::new(),
    };
    work.log_undo().insert(&[record]).await.unwrap();
    work.unregistered().count_dropped(a, "x.test", 77).await.unwrap();

    let key = UnregisteredKey { cdn_id: a, host: "x.test".into(), day: day(0), is_merged: false };
    assert_eq!(work.unregistered().crowded(4, 9).await.unwrap(), []);
    assert_eq!(work.unregistered().crowded(3, 9).await.unwrap(), std::slice::from_ref(&key));
    assert_eq!(work.unregistered().crowded(1, 9).await.unwrap().len(), 5);
    assert_eq!(work.unregistered().crowded(1, 2).await.unwrap().len(), 2);
    let found = work.unregistered().of_key(&key, 9).await.unwrap();
    assert_eq!(found.iter().map(|row| row.lines).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(work.unregistered().of_key(&key, 2).await.unwrap(), found[..2]);

    let usage = work.unregistered().usage(a).await.unwrap();
    let whole = UnregisteredLines { lines: 12, raw_length: 306, ..merged(11) };
    work.unregistered().insert(&[whole]).await.unwrap();
    let ids: Vec<_> = found.iter().map(|row| row.id).collect();
    assert_eq!(work.unregistered().delete(&ids).await.unwrap(), 3);
    assert_eq!(work.unregistered().delete(&ids).await.unwrap(), 0);
    let after = UnregisteredUsage { rows: usage.rows - 2, ..usage };
    assert_eq!(work.unregistered().usage(a).await.unwrap(), after);
    let merged_key = UnregisteredKey { is_merged: true, ..key };
    let merged = work.unregistered().of_key(&merged_key, 9).await.unwrap();
    assert_eq!(merged.iter().map(|row| row.lines).collect::<Vec<_>>(), [12, 12]);
    // The row that was merged last is no newer than the newest of the host.
    for (host, n) in [("y.test", 20), ("x.test", 21), ("x.test", 19)] {
        work.unregistered().insert(&[of(a, host, n)]).await.unwrap();
    }
    work.unregistered().drop_host(a).await.unwrap();
    let hosts = listed(&mut work, a).await;
    assert_eq!(hosts.iter().map(|(host, ..)| &**host).collect::<Vec<_>>(), [OTHER_HOSTS, "x.test"]);
    assert_eq!(hosts[1].2, 77, "nothing more was dropped");
}

/// Lines of a host that the settings list are within no limit and have no age, until it is no longer listed or without lines.
pub(crate) async fn listed_hosts_stay(storage: Arc<dyn Storage>) {
    let (a, b) = (add_cdn(&storage, "a").await, add_cdn(&storage, "b").await);
    let mut work = begin(&storage).await;
    work.unregistered().set_listed(a, "x.test", true).await.unwrap();
    assert_eq!(listed(&mut work, a).await, [], "nothing is noted of a host without lines");
    let all = [lines(a, "x.test", 1), lines(a, "y.test", 2), lines(a, "x.test", 3), lines(b, "x.test", 4)];
    work.unregistered().insert(&all).await.unwrap();
    work.unregistered().set_listed(a, "x.test", true).await.unwrap();
    let usage = UnregisteredUsage { hosts: 1, rows: 1, bytes: 102 };
    assert_eq!(work.unregistered().usage(a).await.unwrap(), usage);
    let hosts = work.unregistered().hosts(a).await.unwrap();
    assert_eq!(hosts.iter().map(|host| host.is_listed).collect::<Vec<_>>(), [true, false]);
    assert!(!work.unregistered().hosts(b).await.unwrap()[0].is_listed, "of another cdn");
    for _ in 0..2 {
        work.unregistered().drop_host(a).await.unwrap();
    }
    work.unregistered().drop_first(a, 9).await.unwrap();
    assert_eq!(work.unregistered().prune(at(9), 9).await.unwrap(), 1, "that of the other cdn");
    let name = |host: &str, lines: i64, dropped: i64| (host.to_owned(), lines, dropped);
    assert_eq!(listed(&mut work, a).await, [name(OTHER_HOSTS, 0, 4), name("x.test", 8, 0)]);

    work.unregistered().set_listed(a, "x.test", false).await.unwrap();
    assert_eq!(work.unregistered().prune(at(9), 1).await.unwrap(), 1);
    work.unregistered().set_listed(a, "x.test", true).await.unwrap();
    assert_eq!(work.unregistered().take(a, "x.test").await.unwrap().len(), 1);
    work.unregistered().insert(&[lines(a, "x.test", 5)]).await.unwrap();
    assert_eq!(work.unregistered().prune(at(9), 9).await.unwrap(), 1, "it was noted of lines that are gone");
    work.commit().await.unwrap();
}
