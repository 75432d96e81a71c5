//! Metadata: kept by an update, given back by a revert, in every combination.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use pilothouse_agent::State;
use rustix::fs::XattrFlags;
use serde_json::json;

use crate::machine::{Machine, assert_report, names};

/// Everything of a file that a revert gives back.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Snapshot {
    bytes: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    xattrs: BTreeMap<String, Vec<u8>>,
}

fn snapshot(path: &Path) -> Snapshot {
    let metadata = fs::metadata(path).unwrap();
    let mut list = [0; 4096];
    let length = rustix::fs::listxattr(path, &mut list).unwrap_or(0);
    let mut xattrs = BTreeMap::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let mut value = [0; 4096];
        let length = rustix::fs::getxattr(path, &*name, &mut value).unwrap();
        xattrs.insert(name, value[..length].to_vec());
    }
    Snapshot {
        bytes: fs::read(path).unwrap(),
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        xattrs,
    }
}

/// Access ACL as the kernel keeps it: version 2, then tag, permissions and id of each entry. User 12 gets what mask allows.
fn acl(owner: u8, user: u8, mask: u8, others: u8) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    for (tag, permissions, id) in [
        (1, owner, u32::MAX),
        (2, user, 12),
        (4, 0, u32::MAX),
        (0x10, mask, u32::MAX),
        (0x20, others, u32::MAX),
    ] {
        bytes.extend([tag, 0, permissions, 0]);
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Sets an attribute, or tells that the file system has none.
fn set_xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    match rustix::fs::setxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(rustix::io::Errno::OPNOTSUPP) => {
            eprintln!("left out: this file system has no attribute {name}");
            false
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// File before an update, or no file.
#[derive(Clone, Debug)]
struct Case {
    mode: u32,
    owner: (u32, u32),
    acl: Option<Vec<u8>>,
    xattrs: Vec<(&'static str, Vec<u8>)>,
    /// Seconds from the epoch and nanoseconds after them.
    mtime: (i64, u32),
    size: usize,
    is_absent: bool,
    /// Whether the order changes mode and owner, too.
    changes_rights: bool,
}

/// Every mode with every owner, ACL and set of attributes. Sizes and times take turns, and so does what the order changes.
fn cases() -> Vec<Case> {
    let owners = if is_root() { vec![(0, 0), (12, 34)] } else { vec![own()] };
    let acls = [None, Some(acl(7, 6, 7, 5)), Some(acl(6, 4, 4, 0))];
    let xattrs: [Vec<(&str, Vec<u8>)>; 3] = [
        Vec::new(),
        vec![("user.note", b"kept \0 as it is".to_vec()), ("user.empty", Vec::new())],
        vec![("user.note", vec![b'x'; 1000])],
    ];
    let mtimes =
        [(0, 0), (1, 999_999_999), (-2, 500_000_000), (1_480_471_675, 123_456_789), (4_102_444_800, 1)];
    let sizes = [0, 1, 3, 4096, 65_537, 1_048_577, 4095];
    let mut cases = Vec::new();
    for mode in [0o600, 0o644, 0o400, 0o755, 0o777, 0o000] {
        for owner in &owners {
            let absent = cases.len();
            for (acl, xattrs) in acls.iter().flat_map(|acl| xattrs.iter().map(move |xattrs| (acl, xattrs))) {
                cases.push(Case {
                    mode,
                    owner: *owner,
                    acl: acl.clone(),
                    xattrs: xattrs.clone(),
                    mtime: mtimes[cases.len() % mtimes.len()],
                    size: sizes[cases.len() % sizes.len()],
                    is_absent: false,
                    changes_rights: cases.len() % 2 == 1,
                });
            }
            cases.push(Case { is_absent: true, ..cases[absent].clone() });
        }
    }
    // What an agent cannot read it can neither keep nor judge.
    cases.retain(|case| is_root() || case.mode & 0o400 != 0);
    cases
}

impl Case {
    fn create(&self, path: &Path) {
        fs::write(path, "old content ".repeat(self.size / 12 + 1).split_at(self.size).0).unwrap();
        for (attribute, value) in &self.xattrs {
            set_xattr(path, attribute, value);
        }
        let seconds = Duration::from_secs(self.mtime.0.unsigned_abs());
        let second = if self.mtime.0 < 0 {
            SystemTime::UNIX_EPOCH - seconds
        } else {
            SystemTime::UNIX_EPOCH + seconds
        };
        let time = second + Duration::from_nanos(self.mtime.1.into());
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        chown(path, Some(self.owner.0), Some(self.owner.1)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode)).unwrap();
        // An ACL changes the mode, so it comes last.
        if let Some(acl) = &self.acl {
            set_xattr(path, "system.posix_acl_access", acl);
        }
    }

    /// Members of an order that gives the file other rights, or of a file that is created.
    fn rights(&self) -> serde_json::Value {
        let (owner, group) = if is_root() { (34, 12) } else { own() };
        match (self.is_absent, self.changes_rights) {
            (true, _) => {
                json!({"mode": format!("{:04o}", self.mode), "owner": self.owner.0.to_string()})
            }
            (false, true) => json!({"mode": "0640", "owner": owner.to_string(), "group": group.to_string()}),
            (false, false) => json!({}),
        }
    }
}

#[test]
fn a_revert_gives_everything_back() {
    let machine = Machine::new();
    let cases = cases();
    assert!(cases.len() >= 100 || !is_root(), "only {} cases", cases.len());
    for (number, case) in cases.iter().enumerate() {
        let (name, task) = (format!("f{number}"), format!("t{number}"));
        let path = machine.file(&name);
        if !case.is_absent {
            case.create(&path);
        }
        let before = path.exists().then(|| snapshot(&path));
        let around = names(&machine.path("conf"));
        assert_report(&machine.apply_with(&task, &name, "new", case.rights()), State::Succeeded, "");
        let updated = snapshot(&path);
        assert_eq!(updated.bytes, b"new");
        match &before {
            None => assert_eq!((updated.mode, updated.owner.0), (case.mode, case.owner.0), "{case:?}"),
            Some(before) if case.changes_rights => {
                assert_eq!(updated.mode, 0o640, "{case:?}");
                assert!(updated.owner != before.owner || !is_root(), "{case:?}");
            }
            Some(before) => assert_eq!(
                (updated.mode, updated.owner, &updated.xattrs),
                (before.mode, before.owner, &before.xattrs),
                "{case:?}"
            ),
        }
        assert_report(&machine.revert(&task), State::Reverted, "");
        assert!(path.exists().then(|| snapshot(&path)) == before, "{case:?}");
        assert_eq!(names(&machine.path("conf")).len(), around.len(), "{case:?}");
    }
}

#[test]
fn a_removed_file_is_a_full_revert_of_a_created_one_and_back() {
    let machine = Machine::new();
    let members = json!({"mode": "0750"});
    assert_report(&machine.apply_with("t1", "a", "new", members), State::Succeeded, "");
    assert_eq!(snapshot(&machine.file("a")).mode, 0o750);
    assert_report(&machine.revert("t1"), State::Reverted, "");
    assert!(!machine.file("a").exists());
}

#[test]
fn an_order_changes_mode_and_owner_and_keeps_the_rest() {
    let machine = Machine::new();
    machine.write("a", "old");
    let path = machine.file("a");
    let has_acl = set_xattr(&path, "system.posix_acl_access", &acl(6, 6, 6, 4));
    let before = snapshot(&path);
    let own = own();
    let (owner, group) =
        if is_root() { ("12".to_owned(), "root".to_owned()) } else { (own.0.to_string(), own.1.to_string()) };
    let members = json!({"mode": "0640", "owner": owner, "group": group});
    assert_report(&machine.apply_with("t1", "a", "new", members), State::Succeeded, "");
    let after = snapshot(&path);
    assert_eq!(after.mode, 0o640, "the mode of the order wins over that of the old ACL");
    assert_eq!(after.owner.0.to_string(), owner);
    assert_eq!(after.xattrs.contains_key("system.posix_acl_access"), has_acl);
    assert_report(&machine.revert("t1"), State::Reverted, "");
    assert_eq!(snapshot(&path), before);
}

#[test]
fn an_acl_that_the_folder_gives_is_not_added_to_a_replaced_file() {
    let machine = Machine::new();
    machine.write("a", "old");
    let before = snapshot(&machine.file("a"));
    if !set_xattr(&machine.path("conf"), "system.posix_acl_default", &acl(7, 7, 7, 0)) {
        return;
    }
    assert_report(&machine.apply("t1", "a", "new"), State::Succeeded, "");
    let after = snapshot(&machine.file("a"));
    assert_eq!((after.mode, after.xattrs), (before.mode, before.xattrs));
    assert_report(&machine.apply_with("t2", "b", "new", json!({"mode": "0640"})), State::Succeeded, "");
    let created = snapshot(&machine.file("b"));
    assert_eq!(created.mode, 0o640);
    assert!(created.xattrs.contains_key("system.posix_acl_access"), "a created one keeps it");
}

fn own() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}
