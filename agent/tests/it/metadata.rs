//! Metadata: kept by an update, given back by a revert, in every combination.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use pilothouse_agent::State;
use rustix::fs::XattrFlags;
use serde_json::json;

use crate::machine::{Machine, assert_report};

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

#[test]
fn a_revert_gives_everything_back() {
    let machine = Machine::new();
    let owners = if is_root() { vec![(0, 0), (12, 34)] } else { vec![own()] };
    let xattrs: [&[(&str, Vec<u8>)]; 4] = [
        &[],
        &[("user.note", b"kept \0 as it is".to_vec()), ("user.empty", Vec::new())],
        &[("system.posix_acl_access", acl(7, 6, 7, 5))],
        &[("system.posix_acl_access", acl(6, 4, 4, 0)), ("user.note", vec![b'x'; 1000])],
    ];
    let mut round = 0;
    for mode in [0o600, 0o644, 0o400, 0o755, 0o777, 0o000] {
        for (owner, attributes) in
            owners.iter().flat_map(|owner| xattrs.iter().map(move |list| (owner, list)))
        {
            round += 1;
            let name = format!("f{round}");
            let path = machine.file(&name);
            machine.write(&name, "old");
            let (acls, others): (Vec<_>, Vec<_>) =
                attributes.iter().partition(|(name, _)| name.starts_with("system."));
            for (attribute, value) in others {
                set_xattr(&path, attribute, value);
            }
            let time = SystemTime::UNIX_EPOCH + Duration::new(981_173_106 + round, 789_012_345);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            chown(&path, Some(owner.0), Some(owner.1)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            // An ACL changes the mode, so it comes last.
            for (attribute, value) in acls {
                set_xattr(&path, attribute, value);
            }
            if !is_root() && mode & 0o400 == 0 {
                continue;
            }
            let before = snapshot(&path);
            assert_report(&machine.apply(&format!("t{round}"), &name, "new"), State::Succeeded, "");
            let updated = snapshot(&path);
            assert_eq!(updated.bytes, b"new");
            assert_eq!(
                (updated.mode, updated.owner, &updated.xattrs),
                (before.mode, before.owner, &before.xattrs)
            );
            assert_report(&machine.revert(&format!("t{round}")), State::Reverted, "");
            assert_eq!(snapshot(&path), before, "mode {mode:o}, owner {owner:?}");
        }
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
