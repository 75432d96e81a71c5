//! What hostile files cost.

use std::fmt::Write;
use std::time::{Duration, Instant};

use pilothouse_config_exchange::{apollo, json, nacos, properties, yaml};
use proptest::prelude::*;

/// Far above what any of them takes, and far below what they would without limits.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn aliases_do_not_multiply() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{below}]").unwrap();
    }
    let begun = Instant::now();
    let refused = yaml::read("f", text.as_bytes()).unwrap_err().to_string();
    assert!(refused.ends_with("holds more than 10000 keys"), "{refused}");
    // Maps without anything in them make no keys.
    let refused = yaml::read("f", text.replace('x', "{}").as_bytes()).unwrap_err().to_string();
    assert!(refused.ends_with("holds more than 1000000 values with its aliases"), "{refused}");
    let merged = (1..40).fold("a0: &a0 {x: 1}\n".to_owned(), |text, level| {
        let below = level - 1;
        text + &format!("a{level}: &a{level}\n  <<: [*a{below}, *a{below}]\n")
    });
    let refused = yaml::read("f", merged.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("more than"), "{refused}");
    let own = yaml::read("f", b"a: &a [*a]").unwrap_err().to_string();
    assert!(own.contains("nested more than 64 deep") || own.contains("alias"), "{own}");
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
}

#[test]
fn nesting_is_bounded() {
    for depth in [65, 100, 100_000] {
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        let begun = Instant::now();
        let refused = yaml::read("f", deep.as_bytes()).unwrap_err().reason;
        assert!(depth > 100 || refused.contains("nested more than 64 deep"), "{refused}");
        let refused = json::read("f", deep.as_bytes()).unwrap_err().reason;
        assert!(refused.contains("nested more than 64 deep"), "{refused}");
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    }
}

#[test]
fn long_keys_are_not_repeated() {
    let key = "k".repeat(1 << 20);
    let text = format!("{{\"{key}\": [{}{{}}]}}", "{},".repeat(1 << 20));
    let begun = Instant::now();
    assert!(json::read("f", text.as_bytes()).unwrap_err().reason.contains("longer than 4096 bytes"));
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (properties::read("f", &bytes), yaml::read("f", &bytes), json::read("f", &bytes));
        let _ = (apollo::read(&bytes, apollo::Selection::default()), nacos::read(&bytes));
    }

    #[test]
    fn no_damage_makes_a_reader_panic(place in 0usize..10_000, byte: u8) {
        for archive in [
            &include_bytes!("../data/apollo-export-sample.zip")[..],
            include_bytes!("../data/nacos-export-sample.zip"),
        ] {
            let mut damaged = archive.to_vec();
            let place = place % damaged.len();
            damaged[place] = byte;
            let selection = apollo::Selection { env: Some("DEV"), ..apollo::Selection::default() };
            let _ = (apollo::read(&damaged, selection), nacos::read(&damaged));
        }
    }
}
