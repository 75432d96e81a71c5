//! Policy on real files: whatever a path says, nothing outside the allowed folder is written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use pilothouse_agent::Order;
use pilothouse_test_support::{Rng, env_number};
use serde_json::json;

use crate::machine::{Machine, assert_report};

/// Number of generated paths, unless `PILOTHOUSE_TEST_INPUTS` says another.
const PATHS: u64 = 10_000;

/// Everything below a folder, with what a write would change.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let stat = fs::symlink_metadata(&path).unwrap();
        if stat.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path, (stat.ino(), stat.size(), stat.ctime(), stat.ctime_nsec()));
    }
    found
}

/// A path made of pieces that have led out of folders before.
fn path(rng: &mut Rng, root: &str) -> String {
    const PIECES: &[&str] = &[
        "/",
        "//",
        "/.",
        "/..",
        "/../outside",
        "/conf",
        "/outside",
        "/outside/a",
        "/link",
        "/linked",
        "/a",
        "/b",
        "~",
        "$HOME",
        "`id`",
        "\0",
        "\n",
        " ",
        "%2e%2e",
        "\u{202e}",
        "é",
        "e\u{301}",
        "\\..\\",
        "..",
        "conf",
        "confx",
        "/conf2",
        "...",
        "*",
    ];
    let mut path = match rng.u8(..8) {
        0 => String::new(),
        1 => "/".to_owned(),
        2 => root.to_owned(),
        3 => format!("{root}/conf/../outside"),
        _ => format!("{root}/conf"),
    };
    for _ in 0..rng.u8(..5) {
        match rng.u8(..12) {
            0 => path.push(char::from(rng.u8(1..))),
            1 => path.push_str(&"long/".repeat(rng.usize(..900))),
            _ => path.push_str(PIECES[rng.usize(..PIECES.len())]),
        }
    }
    path
}

#[test]
fn no_generated_path_leads_to_a_write_outside() {
    let seed = env_number("PILOTHOUSE_TEST_SEED", 1);
    let mut rng = Rng::with_seed(seed);
    let machine = Machine::new();
    let root = machine.root.path().display().to_string();
    for folder in ["outside", "conf2", "conf/b", "conf/conf"] {
        fs::create_dir(machine.path(folder)).unwrap();
    }
    fs::write(machine.path("outside/a"), "outside").unwrap();
    symlink(machine.path("outside"), machine.file("link")).unwrap();
    symlink(machine.path("outside/a"), machine.file("linked")).unwrap();
    let order = machine.order("t", "a", "new");
    let mut agent = machine.agent();
    let outside = [tree(&machine.path("outside")), tree(&machine.path("conf2"))];
    let mut written = 0;
    for number in 0..env_number("PILOTHOUSE_TEST_INPUTS", PATHS) {
        let mut order = order.clone();
        order.insert("path".to_owned(), json!(path(&mut rng, &root)));
        order.insert("task_id".to_owned(), json!(format!("t{number}")));
        let Ok(order) = Order::parse(&serde_json::to_string(&order).unwrap()) else { continue };
        let report = agent.apply(&order);
        if report.result.changed {
            written += 1;
            assert!(order.path.as_str().starts_with(&format!("{root}/conf/")), "seed {seed}: {}", order.path);
        }
    }
    assert!(written > 5, "seed {seed}: only {written} of the paths lead into the folder");
    assert_eq!([tree(&machine.path("outside")), tree(&machine.path("conf2"))], outside, "seed {seed}");
    let mut top: Vec<_> =
        fs::read_dir(machine.root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    top.sort();
    assert_eq!(top, ["agent.toml", "conf", "conf2", "outside", "state", "t.blob"], "seed {seed}");
}

#[test]
fn every_byte_may_be_in_a_name() {
    let machine = Machine::new();
    let mut agent = machine.agent();
    for byte in 1..128_u8 {
        if byte == b'/' {
            continue;
        }
        let name = format!("n{}", char::from(byte));
        let order = machine.order(&format!("t{byte}"), &name, "new");
        let report = agent.apply(&crate::machine::parse(&order));
        assert_report(&report, pilothouse_agent::State::Succeeded, "");
        assert_eq!(machine.read(&name), "new");
    }
}

#[test]
fn settings_decide_and_the_state_folder_is_out_of_reach() {
    let machine = Machine::new();
    let root = machine.root.path().display().to_string();
    let text = format!(
        "state_dir = \"{root}/conf/state\"\nreserve_percent = 0\nallow = [\"{root}/conf\"]\ndeny = [\"{root}/conf/keys\"]\n"
    );
    fs::write(machine.settings_file(), text).unwrap();
    fs::create_dir(machine.file("keys")).unwrap();
    for (name, told) in [
        ("state/journal", "own files"),
        ("state/blobs/a", "own files"),
        ("keys/a", "`deny`"),
        (".ssh/authorized_keys", "SSH keys"),
        ("../agent.toml", "components . and .."),
    ] {
        let order = machine.order("t1", name, "new");
        match Order::parse(&serde_json::to_string(&order).unwrap()) {
            Ok(order) => assert_report(&machine.agent().apply(&order), pilothouse_agent::State::Failed, told),
            Err(refusal) => assert!(refusal.to_string().contains(told), "{refusal}"),
        }
    }
}
