//! Validator `yaml`: the value must be a stream of YAML 1.2.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::Refusal;

/// The most lists and maps that may lie in each other.
const DEPTH: usize = 128;

/// Checks YAML 1.2: any number of documents. Aliases are looked up and never written out.
pub fn yaml(value: &str) -> Result<(), Refusal> {
    let mut open: Vec<Collection> = Vec::new();
    for event in Parser::new_from_str(value) {
        let (event, span) = event.map_err(|error| {
            let (line, column) = (error.marker().line(), error.marker().col() + 1);
            let why = error.info();
            Refusal::value(format!("is not YAML: {why} at line {line} column {column}"))
        })?;
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, ..) => {
                let is_plain = style == ScalarStyle::Plain;
                place(&mut open, Some(Key::of(&text, is_plain)), line)?;
            }
            Event::Alias(_) => place(&mut open, None, line)?,
            Event::SequenceStart(..) => {
                place(&mut open, None, line)?;
                open.push(Collection::List);
            }
            Event::MappingStart(..) => {
                place(&mut open, None, line)?;
                open.push(Collection::Map { keys: HashSet::new(), is_value_next: false });
            }
            Event::SequenceEnd | Event::MappingEnd => drop(open.pop()),
            _ => {}
        }
        if open.len() > DEPTH {
            return Err(Refusal::value(format!("is YAML nested more than {DEPTH} deep")));
        }
    }
    Ok(())
}

/// A list or a map that has begun and not ended.
enum Collection {
    List,
    Map { keys: HashSet<Key>, is_value_next: bool },
}

/// Key of a map. `1` and `'1'` are different, and so are `true` and `'true'`.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    text: String,
    is_text: bool,
}

impl Key {
    fn of(text: &str, is_plain: bool) -> Self {
        let is_word = matches!(
            text,
            "" | "~" | "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE"
        );
        let is_other =
            is_word || text.parse::<f64>().is_ok() || text.starts_with("0x") || text.starts_with("0o");
        Self { text: text.to_owned(), is_text: !(is_plain && is_other) }
    }
}

/// Puts a node into the collection that is open: a key or a value in a map. Refuses a key that is there twice, but for the
/// merge key.
fn place(open: &mut [Collection], key: Option<Key>, line: usize) -> Result<(), Refusal> {
    let Some(Collection::Map { keys, is_value_next }) = open.last_mut() else { return Ok(()) };
    let is_key = !*is_value_next;
    *is_value_next = is_key;
    let Some(key) = key.filter(|key| is_key && key.text != "<<") else { return Ok(()) };
    if keys.contains(&key) {
        return Err(Refusal::value(format!(
            "is not YAML: the key {} is there twice at line {line}",
            key.text
        )));
    }
    keys.insert(key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(value: &str) -> String {
        yaml(value).unwrap_err().to_string()
    }

    #[test]
    fn documents_pass() {
        for value in ["", "a: 1\nb: [x, 'y']\n", "- &a 1\n- *a\n", "a: 1\n---\nb: 2\n"] {
            yaml(value).unwrap_or_else(|refusal| panic!("{value}: {refusal}"));
        }
    }

    #[test]
    fn a_key_is_there_once() {
        for (value, refusal) in [
            ("a: 1\na: 2", "the key a is there twice at line 2"),
            ("a: 1\n'a': 2", "the key a is there twice at line 2"),
            ("x:\n  b: [a, a]\n  c: {d: 1, d: 2}", "the key d is there twice at line 3"),
            ("? a\n: 1\n? a\n: 2", "the key a is there twice at line 3"),
            ("- 1: x\n  1: y", "the key 1 is there twice at line 2"),
        ] {
            assert_eq!(refused(value), format!("value: is not YAML: {refusal}"));
        }
        for value in [
            "1: a\n'1': b",
            "a: a\nb: a",
            "- {a: 1}\n- {a: 2}",
            "a: 1\n---\na: 2",
            "[x, x]",
            "? [a]\n: 1\n? [a]\n: 2",
        ] {
            yaml(value).unwrap_or_else(|refusal| panic!("{value}: {refusal}"));
        }
        yaml("b: &b {x: 1}\nc: &c {y: 1}\nd: {<<: *b, <<: *c, *b : 1}").unwrap();
    }

    #[test]
    fn a_refusal_says_where_and_repeats_no_line() {
        let refusal = refused("user: root\npassword: [hunter2\n");
        assert!(refusal.starts_with("value: is not YAML: ") && refusal.contains("line "), "{refusal}");
        for refusal in [refusal, refused("a: 'hunter2")] {
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_aliases_cost_nothing() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        yaml(&deep(DEPTH)).unwrap();
        assert_eq!(refused(&deep(DEPTH + 1)), "value: is YAML nested more than 128 deep");
        assert!(refused(&"[".repeat(1 << 20)).starts_with("value: is not YAML: recursion limit"));
        assert_eq!(refused(&"- ".repeat(1 << 19)), "value: is YAML nested more than 128 deep");

        let laugh = |n: usize| format!("a{0}: &a{0} [*a{n}, *a{n}, *a{n}]\n", n + 1);
        let laughs: String = (0..60).map(laugh).collect();
        yaml(&format!("a0: &a0 [lol]\n{laughs}")).unwrap();
        assert!(refused("a: *nobody").starts_with("value: is not YAML: "));
    }
}
