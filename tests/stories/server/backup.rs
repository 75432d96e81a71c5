//! Backups: nothing half-written under a final name, whatever interrupts them, and a limited number of intact ones.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use chrono::DateTime;
use pilothouse_core::ops::{Task, TaskId, TaskNumber};
use pilothouse_core::ports::{Ids, RandomIds, Storage};
use pilothouse_storage_sqlx::{CheckedBackup, SqlxStorage};
use pilothouse_test_support::{ProcessGuard, Signal};

use crate::support::{Installation, TIMEOUT};

/// Names in a folder that begin like a backup or its draft.
fn left(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains("copy-")).collect();
    names.sort();
    names
}

/// Fills the store, so that a backup takes some time.
async fn fill(installation: &Installation, megabytes: usize) {
    let storage = SqlxStorage::sqlite(installation.file("data/pilothouse.db")).await.unwrap();
    let mut work = storage.begin().await.unwrap();
    for number in 0..megabytes * 256 {
        let task = Task {
            id: TaskNumber::UNSAVED,
            task_id: TaskId(RandomIds.uuid()),
            create_time: DateTime::UNIX_EPOCH,
            ip: "::1".parse().unwrap(),
            action: "update".to_owned(),
            content: "x".repeat(4096),
            description: number.to_string(),
            batch: None,
        };
        work.tasks().insert(&task).await.unwrap();
    }
    work.commit().await.unwrap();
    storage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_backup_leaves_nothing_that_looks_like_one() {
    let installation = Installation::sqlite();
    assert_eq!(installation.run(&["migrate"], "").code, Some(0));
    fill(&installation, 40).await;
    let folder = installation.file("");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let mut command = installation.command(&["backup", "copy-1.db"]);
        let mut backup = ProcessGuard::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped())).unwrap();
        let begun = Instant::now();
        while left(&folder).is_empty() {
            assert!(begun.elapsed() < TIMEOUT, "the backup does not begin");
            std::thread::sleep(Duration::from_millis(1));
        }
        backup.signal(signal);
        let status = backup.wait_for_exit(TIMEOUT).expect("the backup ends");
        assert!(!status.success(), "{signal:?}: the backup was not interrupted");
        let left = left(&folder);
        assert!(!left.contains(&"copy-1.db".to_owned()), "{signal:?}: {left:?}");
        if signal == Signal::KILL {
            assert!(left.iter().all(|name| name.starts_with(".copy-1.db.unfinished-")), "{left:?}");
        } else {
            assert!(left.is_empty(), "{signal:?}: {left:?}");
        }
    }
    let done = installation.run(&["backup", "copy-1.db"], "");
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "wrote copy-1.db\n"), "{done:?}");
    CheckedBackup::of(&installation.file("copy-1.db")).await.unwrap();
}

/// Sets the time at which a file was last written to some hours ago.
fn age(file: &Path, hours: u64) {
    let time = SystemTime::now() - Duration::from_secs(hours * 3600);
    fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_intact_backups_are_kept() {
    let installation = Installation::sqlite();
    let other = Installation::sqlite();
    let backup = |name: &str, more: &[&str]| {
        let done = installation.run(&[&["backup", name], more].concat(), "");
        assert_eq!(done.code, Some(0), "{done:?}");
        done.stdout
    };
    for (name, hours) in [("copy-1.db", 50), ("copy-2.db", 40), ("copy-3.db", 30), ("before-copy-1.db", 60)] {
        backup(name, &[]);
        age(&installation.file(name), hours);
    }
    // Damaged: it does not count, though it is newer.
    let mut bytes = fs::read(installation.file("copy-3.db")).unwrap();
    let half = bytes.len() / 2;
    bytes[4096..half].fill(0x55);
    fs::write(installation.file("copy-4.db"), bytes).unwrap();
    // Another store's, and no store at all.
    let foreign = installation.file("copy-5.db").display().to_string();
    assert_eq!(other.run(&["backup", &foreign], "").code, Some(0));
    fs::write(installation.file("copy-6.db"), "my notes").unwrap();

    let printed = backup("copy-7.db", &["--keep", "2"]);
    assert!(printed.starts_with("wrote copy-7.db\n"), "{printed}");
    assert_eq!(
        left(&installation.file("")),
        ["before-copy-1.db", "copy-3.db", "copy-5.db", "copy-6.db", "copy-7.db"]
    );
    for (arguments, words) in [
        (["backup", "copy.db", "--keep", "2"], "--keep: the file's name must hold a number"),
        (["backup", "copy-8.db", "--keep", "0"], "must be a number from 1 on"),
    ] {
        let refused = installation.run(&arguments, "");
        assert!(refused.code == Some(2) && refused.stderr.contains(words), "{refused:?}");
    }
}
