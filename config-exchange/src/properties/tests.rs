//! Reading and writing beside what Java did.

use serde_json::Value;

use super::read::{Line, decoded, parse};
use super::{read, write, write_readable};
use crate::Entry;

/// Results of a real `java.util.Properties`.
fn java() -> Value {
    serde_json::from_str(include_str!("../../tests/data/tricky.expected.json")).unwrap()
}

const TRICKY: &[u8] = include_bytes!("../../tests/data/tricky.properties");

/// Every key and value that a text gives, in its order.
fn puts(text: &str) -> Result<Value, String> {
    let lines = parse("t", text).map_err(|failure| failure.to_string())?;
    let puts = lines.into_iter().filter_map(|line| match line {
        Line::Entry { entry, .. } => Some(vec![entry.key, entry.value]),
        Line::Comment { .. } => None,
    });
    Ok(puts.collect::<Vec<_>>().into())
}

#[test]
fn the_tricky_file_is_read_as_java_reads_it() {
    let java = java();
    assert_eq!(puts(&decoded(TRICKY)).unwrap(), java["file"]["reader_utf8_puts"]);
    let latin1: String = TRICKY.iter().map(|byte| char::from(*byte)).collect();
    assert_eq!(puts(&latin1).unwrap(), java["file"]["stream_latin1_puts"]);
}

#[test]
fn single_cases_are_read_as_java_reads_them() {
    let java = java();
    let cases = java["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 41);
    for case in cases {
        let input = case["input"].as_str().unwrap();
        let latin1: String = input.bytes().map(char::from).collect();
        for (text, reader) in [(input, "reader_utf8"), (&*latin1, "stream_latin1")] {
            match &case[reader] {
                expected @ Value::Array(_) => assert_eq!(puts(text).as_ref(), Ok(expected), "{case}"),
                // An error in Java, or half a character, which no text here can hold.
                _ => assert!(puts(text).unwrap_err().contains("line 1: \\u"), "{case}"),
            }
        }
    }
}

#[test]
fn what_is_written_is_what_java_writes() {
    for case in java()["store"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let entry = Entry { key: text("key"), value: text("value"), description: String::new() };
        assert_eq!(write(&[entry]), text("stream") + "\n");
    }
}

fn entry(key: &str, value: &str, description: &str) -> Entry {
    Entry { key: key.to_owned(), value: value.to_owned(), description: description.to_owned() }
}

#[test]
fn comments_directly_above_a_key_are_its_description() {
    let text = "# head\n\n# one\n!two\n#\n  a=1\nb=2\n# three \\\nc=3\n#\nd=4\n# tail\n";
    let read = read("f.properties", text.as_bytes()).unwrap();
    let expected = [
        entry("a", "1", "one\ntwo\n"),
        entry("b", "2", ""),
        entry("c", "3", "three \\"),
        entry("d", "4", ""),
    ];
    assert_eq!(read.entries, expected);
    assert_eq!(
        read.dropped.into_texts(),
        [
            "f.properties line 1: a comment that stands above no key: head",
            "f.properties line 12: a comment that stands above no key: tail",
        ]
    );
}

#[test]
fn readable_text_has_a_line_for_each_line_of_a_value() {
    let entries = [entry("greeting", "你好: a=b #1", "说明"), entry("a b", "{\n  \"x\": 1\n}\n", "")];
    let written = write_readable(&entries);
    assert_eq!(written, "# 说明\ngreeting=你好: a=b #1\na\\ b={\\n\\\n\\  \"x\": 1\\n\\\n}\\n\n");
    assert_eq!(read("f", written.as_bytes()).unwrap().entries, entries);
}

#[test]
fn what_is_said_twice_and_what_has_no_key_is_listed() {
    let read = read("f", b"\xef\xbb\xbfa=1\nb=2\n=3\na=4\n").unwrap();
    assert_eq!(read.entries, [entry("b", "2", ""), entry("a", "4", "")]);
    assert_eq!(
        read.dropped.into_texts(),
        ["f line 1: the byte-order mark", "f line 3: an empty key", "f line 1: a, which line 4 says again"]
    );
}

#[test]
fn a_failure_names_file_and_line() {
    let refused = read("f.properties", b"a=1\n\nb=2\\\n\\u12x").unwrap_err();
    assert_eq!(refused.to_string(), "f.properties line 3: \\u must be followed by 4 hexadecimal digits");
    let many = "a\n".repeat(10) + &(0..10_000).fold(String::new(), |text, n| text + &format!("k{n}\n"));
    assert_eq!(read("f", many.as_bytes()).unwrap_err().reason, "holds more than 10000 keys");
}

#[test]
fn bytes_that_are_no_utf_8_are_latin_1() {
    assert_eq!(read("f", b"caf\xe9=\xfc").unwrap().entries, [entry("café", "ü", "")]);
}
