//! Archive: packs and sealed files on a disk.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::NaiveDate;
use pilothouse_access_log::Format;
use pilothouse_access_log::archive::{Archive, ArchiveError, ArchiveFile, FileRange, Pack};
use sha2::{Digest, Sha256};

use crate::support::{A, B, MemoryLedger, gunzip, gzip, line, small, try_read};

fn range(pack: &str, offset: u64, length: u64) -> FileRange {
    FileRange { file: ArchiveFile::Pack(pack.to_owned()), offset, length, lines: 1 }
}

/// Content of a sealed file.
fn day_file(folder: &Path, domain: &str, day: NaiveDate) -> Vec<u8> {
    std::fs::read(folder.join("days").join(format!("{day}-{domain}.log.gz"))).unwrap()
}

fn files(archive: &Archive) -> Vec<ArchiveFile> {
    archive.files().unwrap().into_iter().map(|file| file.file).collect()
}

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_mins(1)
}

#[test]
fn sealed_days_are_the_source_lines_in_order() {
    let mut content = Vec::new();
    for number in 0..500_i64 {
        let host = if number % 3 == 0 { "b.example.com" } else { "A.example.com:80" };
        content.extend(line(host, 1_795_190_000 + number * 400, 7).into_bytes());
    }
    let mut memory = MemoryLedger::default();
    try_read(&mut memory, Format::Tsv, &content, &small()).unwrap();
    assert!(memory.packs.len() > 5);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(&folder.path().join("logs")).unwrap();
    for pack in memory.packs.values() {
        archive.write(pack).unwrap();
    }
    let (mut total, mut together, mut apart) = (0, 0, 0);
    for (id, domain) in [(A, "a.example.com"), (B, "b.example.com")] {
        for day in memory.days(id) {
            let of_day = memory.members.iter().filter(|(_, member)| (member.domain, member.day) == (id, day));
            let ranges: Vec<_> = of_day
                .map(|(pack, member)| FileRange {
                    lines: member.lines,
                    ..range(pack, member.offset, member.length)
                })
                .collect();
            let sealed = archive.seal(domain, day, &ranges).unwrap();
            assert_eq!(sealed.file, format!("{day}-{domain}.log.gz"));
            let file = day_file(&folder.path().join("logs"), domain, day);
            assert_eq!(sealed.size, file.len() as u64);
            assert_eq!(sealed.sha256[..], Sha256::digest(&file)[..]);
            together += sealed.size;
            apart += ranges.iter().map(|range| range.length).sum::<u64>();
            let expected: Vec<_> = content
                .split_inclusive(|&byte| byte == b'\n')
                .filter(|line| {
                    let text = std::str::from_utf8(line).unwrap();
                    let time = text.split('.').next().unwrap().parse::<i64>().unwrap() + 8 * 3600;
                    let host = text.split('\t').nth(1).unwrap().to_lowercase();
                    host.starts_with(domain)
                        && chrono::DateTime::from_timestamp(time, 0).unwrap().date_naive() == day
                })
                .collect();
            assert_eq!(sealed.lines, expected.len() as u64);
            assert!(gunzip(&file) == expected.concat());
            total += sealed.lines;
            let file = ArchiveFile::Sealed(domain.to_owned(), day);
            archive.delete(&file).unwrap();
            archive.delete(&file).unwrap();
            assert!(!files(&archive).contains(&file));
        }
    }
    assert_eq!(total, 500);
    assert!(together * 2 < apart, "small ranges are compressed together: {together} of {apart}");
}

#[test]
fn a_pack_is_written_once_and_read_within_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    let pack = Pack { name: "one".to_owned(), members: Vec::new(), data: b"0123456789".to_vec() };
    archive.write(&pack).unwrap();
    let again = archive.write(&Pack { data: b"other".to_vec(), ..pack.clone() }).unwrap_err();
    assert!(matches!(again, ArchiveError::PackExists(name) if name == "one"));
    let mut text = String::new();
    archive.read(&range("one", 3, 4)).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "3456");
    for (name, offset, length) in [("one", 3, 8), ("one", 11, 0), ("one", u64::MAX, 2), ("none", 0, 1)] {
        assert!(
            matches!(archive.read(&range(name, offset, length)), Err(ArchiveError::Missing { .. })),
            "{name} {offset} {length}"
        );
    }
}

#[test]
fn names_cannot_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    for domain in [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "a..b",
        ".a",
        "a.",
        "A.example.com",
        "a\0b",
        "a b",
        &"a".repeat(300),
    ] {
        assert!(matches!(archive.seal(domain, day, &[]), Err(ArchiveError::InvalidName(_))), "{domain}");
        let file = ArchiveFile::Sealed(domain.to_owned(), day);
        assert!(matches!(archive.delete(&file), Err(ArchiveError::InvalidName(_))), "{domain}");
        let range = FileRange { file, offset: 0, length: 0, lines: 0 };
        assert!(matches!(archive.read(&range), Err(ArchiveError::InvalidName(_))), "{domain}");
    }
    for name in ["", ".", "..", "../days/x", "a/b", "a.b", "\0", &"a".repeat(65)] {
        let pack = Pack { name: name.to_owned(), members: Vec::new(), data: Vec::new() };
        assert!(matches!(archive.write(&pack), Err(ArchiveError::InvalidName(_))), "{name}");
        let file = ArchiveFile::Pack(name.to_owned());
        assert!(matches!(archive.delete(&file), Err(ArchiveError::InvalidName(_))), "{name}");
    }
}

#[test]
fn large_ranges_are_copied_between_small_ones() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    // What hardly compresses is large.
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()[7]
    };
    let large: Vec<u8> = (0..200_000).map(|_| random()).collect();
    let texts = [b"one\n".to_vec(), large.clone(), b"two\n".to_vec(), b"three\n".to_vec(), large];
    let mut data = Vec::new();
    let mut ranges = Vec::new();
    for text in &texts {
        let member = gzip(text);
        ranges.push(range("one", data.len() as u64, member.len() as u64));
        data.extend(member);
    }
    archive.write(&Pack { name: "one".to_owned(), members: Vec::new(), data }).unwrap();
    let sealed = archive.seal("a", day, &ranges).unwrap();
    assert!(gunzip(&day_file(folder.path(), "a", day)) == texts.concat());
    // What was sealed is sealed again with what came later.
    let whole = FileRange {
        file: ArchiveFile::Sealed("a".to_owned(), day),
        offset: 0,
        length: sealed.size,
        lines: 5,
    };
    archive.seal("b", day, &[whole, ranges[0].clone()]).unwrap();
    assert!(gunzip(&day_file(folder.path(), "b", day)) == [texts.concat(), b"one\n".to_vec()].concat());
}

#[test]
fn a_seal_that_fails_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    let data = gzip(b"old");
    let length = data.len() as u64;
    archive.write(&Pack { name: "one".to_owned(), members: Vec::new(), data }).unwrap();
    archive.seal("a.example.com", day, &[range("one", 0, length)]).unwrap();
    for wrong in [range("one", 1, length), range("one", 0, length - 2), range("one", 1, length - 1)] {
        assert!(archive.seal("a.example.com", day, &[range("one", 0, length), wrong]).is_err());
    }
    assert_eq!(gunzip(&day_file(folder.path(), "a.example.com", day)), b"old");
    assert_eq!(
        std::fs::read_dir(folder.path().join("days")).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn old_files_are_found_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    archive.write(&Pack { name: "one".to_owned(), members: Vec::new(), data: Vec::new() }).unwrap();
    archive.seal("7-1-2-2", day, &[]).unwrap();
    std::fs::write(folder.path().join("packs/.unfinished-abc"), "cut off").unwrap();
    std::fs::write(folder.path().join("days/notes.txt"), "somebody's").unwrap();
    std::fs::write(folder.path().join("packs/notes.txt"), "somebody's").unwrap();
    let long_ago = SystemTime::now() - Duration::from_mins(1);
    assert!(archive.files().unwrap().iter().all(|file| file.written > long_ago));
    assert_eq!(archive.delete_unfinished(long_ago).unwrap(), 0);
    let (pack, sealed) =
        (ArchiveFile::Pack("one".to_owned()), ArchiveFile::Sealed("7-1-2-2".to_owned(), day));
    assert_eq!(files(&archive), [pack.clone(), sealed.clone()]);
    for file in [&pack, &sealed] {
        let path = file.relative_path().unwrap();
        assert_eq!(ArchiveFile::from_relative_path(&path).as_ref(), Some(file), "{path}");
        assert!(archive.open_file(file).unwrap().is_some());
    }
    for other in ["packs/", "packs/a.b", "days/2026-11-21-..log.gz", "store", "packs/../one", "elsewhere/one"]
    {
        assert_eq!(ArchiveFile::from_relative_path(other), None, "{other}");
    }
    assert_eq!(archive.delete_unfinished(later()).unwrap(), 1);
    for _ in 0..2 {
        archive.delete(&pack).unwrap();
        archive.delete(&sealed).unwrap();
    }
    assert!(archive.files().unwrap().is_empty() && archive.open_file(&pack).unwrap().is_none());
    assert!(folder.path().join("days/notes.txt").exists() && folder.path().join("packs/notes.txt").exists());
}
