//! Packs and days on a disk.

use std::collections::HashSet;
use std::io::Read;
use std::time::{Duration, SystemTime};

use chrono::NaiveDate;
use pilothouse_access_log::Format;
use pilothouse_access_log::archive::{Archive, ArchiveError, Pack, Piece};
use sha2::{Digest, Sha256};

use crate::support::{A, B, Memory, gunzip, line, small, try_read};

fn piece(pack: &str, offset: u64, length: u64) -> Piece {
    Piece { pack: pack.to_owned(), offset, length, lines: 1 }
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
    let mut memory = Memory::default();
    try_read(&mut memory, Format::Tsv, &content, &small()).unwrap();
    assert!(memory.packs.len() > 5);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(&folder.path().join("logs")).unwrap();
    for pack in memory.packs.values() {
        archive.write(pack).unwrap();
    }
    let mut total = 0;
    for (id, domain) in [(A, "a.example.com"), (B, "b.example.com")] {
        for day in memory.days(id) {
            let of_day = memory.members.iter().filter(|(_, member)| (member.domain, member.day) == (id, day));
            let pieces: Vec<_> = of_day
                .map(|(pack, member)| Piece {
                    lines: member.lines,
                    ..piece(pack, member.offset, member.length)
                })
                .collect();
            let sealed = archive.seal(domain, day, &pieces).unwrap();
            assert_eq!(sealed.file, format!("{day}-{domain}.log.gz"));
            let mut file = Vec::new();
            archive.open_day(domain, day).unwrap().unwrap().read_to_end(&mut file).unwrap();
            assert_eq!(sealed.size, file.len() as u64);
            assert_eq!(sealed.sha256, hex::encode(Sha256::digest(&file)));
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
            archive.delete_day(domain, day).unwrap();
            assert!(archive.open_day(domain, day).unwrap().is_none());
        }
    }
    assert_eq!(total, 500);
}

#[test]
fn a_pack_is_written_once_and_read_within_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    let pack = Pack { name: "one".to_owned(), members: Vec::new(), data: b"0123456789".to_vec() };
    archive.write(&pack).unwrap();
    let again = archive.write(&Pack { data: b"other".to_vec(), ..pack.clone() }).unwrap_err();
    assert!(matches!(again, ArchiveError::Exists(name) if name == "one"));
    let mut text = String::new();
    archive.read(&piece("one", 3, 4)).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "3456");
    for (name, offset, length) in [("one", 3, 8), ("one", 11, 0), ("one", u64::MAX, 2), ("none", 0, 1)] {
        assert!(
            matches!(archive.read(&piece(name, offset, length)), Err(ArchiveError::Missing { .. })),
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
        assert!(matches!(archive.seal(domain, day, &[]), Err(ArchiveError::Name(_))), "{domain}");
        assert!(matches!(archive.open_day(domain, day), Err(ArchiveError::Name(_))), "{domain}");
        assert!(matches!(archive.delete_day(domain, day), Err(ArchiveError::Name(_))), "{domain}");
    }
    for name in ["", ".", "..", "../days/x", "a/b", "a.b", "\0", &"a".repeat(65)] {
        let pack = Pack { name: name.to_owned(), members: Vec::new(), data: Vec::new() };
        assert!(matches!(archive.write(&pack), Err(ArchiveError::Name(_))), "{name}");
        assert!(matches!(archive.delete(name), Err(ArchiveError::Name(_))), "{name}");
    }
}

#[test]
fn a_seal_that_fails_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    archive.write(&Pack { name: "one".to_owned(), members: Vec::new(), data: b"old".to_vec() }).unwrap();
    let sealed = archive.seal("a.example.com", day, &[piece("one", 0, 3)]).unwrap();
    assert!(archive.seal("a.example.com", day, &[piece("one", 0, 2), piece("one", 1, 3)]).is_err());
    let mut text = String::new();
    archive.open_day("a.example.com", day).unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), sealed.size), ("old", 3));
    assert_eq!(
        std::fs::read_dir(folder.path().join("days")).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn what_nothing_points_at_is_found_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    for name in ["one", "two", "three"] {
        archive.write(&Pack { name: name.to_owned(), members: Vec::new(), data: Vec::new() }).unwrap();
    }
    std::fs::write(folder.path().join("packs/.unfinished-abc"), "cut off").unwrap();
    let referenced = HashSet::from(["two".to_owned()]);
    let long_ago = SystemTime::now() - Duration::from_mins(1);
    assert!(archive.unreferenced(&referenced, long_ago).unwrap().is_empty(), "too young");
    assert_eq!(archive.delete_unfinished(long_ago).unwrap(), 0);
    assert_eq!(archive.unreferenced(&referenced, later()).unwrap(), ["one", "three"]);
    assert_eq!(archive.delete_unfinished(later()).unwrap(), 1);
    archive.delete("one").unwrap();
    archive.delete("one").unwrap();
    assert_eq!(archive.unreferenced(&referenced, later()).unwrap(), ["three"]);
}
