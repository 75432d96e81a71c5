//! The validator `jsonschema:…`.

use std::collections::HashMap;
use std::thread;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use tokio::sync::oneshot;

use super::Content;
use super::validator::{PATTERN_SIZE, invalid, rejected};
use crate::{Error, Result};

/// The most objects a schema may consist of, those that a reference stands for counted each time. They and the depth
/// of a value (128, by the parser) bound how much there is to check, and how deep.
const SCHEMA_SIZE: usize = 1000;
/// Keywords whose cost doubles with every level they are used on, or whose target is known only while checking.
const UNSUPPORTED: [&str; 4] = ["$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"];
/// Bytes of stack for the deepest check that those limits allow; only what is used costs memory.
const STACK: usize = 512 << 20;

/// Checks a value against its schema on a thread with enough stack.
pub(super) async fn checked(content: Content) -> Result<Content> {
    let (send, receive) = oneshot::channel();
    let work = move || {
        let text = content.validator.split_once(':').map_or("", |(_, schema)| schema);
        let answer = check(text, &content.value);
        // Nobody waits any more when the caller went away.
        let _ = send.send(answer.map(|()| content));
    };
    let thread = thread::Builder::new().name("validator".to_owned()).stack_size(STACK).spawn(work);
    thread.map_err(|error| Error::Internal(format!("a thread for checking a value: {error}")))?;
    receive.await.map_err(|_| Error::Internal("checking a value against its schema panicked".to_owned()))?
}

pub(super) fn check(text: &str, value: &str) -> Result<()> {
    let (validator, recursive) = build(text)?;
    let value: Value = match serde_json::from_str(value) {
        Ok(value) => value,
        Err(error) => return rejected(&format!("is not JSON: {error}")),
    };
    if validator.is_valid(&value) {
        return Ok(());
    }
    // Looking for the place does not remember what was checked before, which recursion makes endless.
    let found = if recursive { Ok(()) } else { validator.validate(&value) };
    match found {
        Ok(()) => rejected("does not satisfy its schema"),
        Err(error) => {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "/".to_owned() } else { place };
            rejected(&format!("does not satisfy its schema at {place}: {}", error.masked_with("it")))
        }
    }
}

/// The validator, and whether its schema is recursive. Nothing is ever fetched: a reference out of the schema is
/// refused.
fn build(text: &str) -> Result<(Validator, bool)> {
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| invalid("validator", &format!("is not a JSON schema: {error}")))?;
    let mut size = Size { schema: &schema, targets: HashMap::new(), recursive: false };
    size.of(&schema)?;
    let patterns = PatternOptions::regex().size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE);
    let built = jsonschema::options().with_pattern_options(patterns).build(&schema);
    let built = built.map_err(|error| invalid("validator", &format!("is not a JSON schema: {error}")))?;
    Ok((built, size.recursive))
}

/// Adds up a schema and what it refers to: a few references that each stand for two others are small to write and
/// endless to check.
struct Size<'a> {
    schema: &'a Value,
    /// The size of what a reference stands for; `None` while it is being added up.
    targets: HashMap<&'a str, Option<usize>>,
    recursive: bool,
}

impl<'a> Size<'a> {
    fn of(&mut self, schema: &'a Value) -> Result<usize> {
        let mut size = 0;
        match schema {
            Value::Object(members) => {
                size += 1;
                // Definitions count where they are referred to.
                let root = std::ptr::eq(schema, self.schema);
                let counted = |name: &str| !(root && matches!(name, "$defs" | "definitions"));
                for (name, member) in members.iter().filter(|(name, _)| counted(name)) {
                    size += match (name.as_str(), member) {
                        ("$ref", Value::String(reference)) => self.of_target(reference)?,
                        (name, _) if UNSUPPORTED.contains(&name) => {
                            return Err(invalid("validator", &format!("{name} is not supported")));
                        }
                        _ => self.of(member)?,
                    };
                }
            }
            Value::Array(items) => {
                for item in items {
                    size += self.of(item)?;
                }
            }
            _ => {}
        }
        if size > SCHEMA_SIZE {
            let why = format!("a JSON schema may have at most {SCHEMA_SIZE} objects, with what it refers to");
            return Err(invalid("validator", &why));
        }
        Ok(size)
    }

    fn of_target(&mut self, reference: &'a str) -> Result<usize> {
        match self.targets.get(reference) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => {
                self.recursive = true;
                return Ok(1);
            }
            None => {}
        }
        let target = reference.strip_prefix('#').and_then(|pointer| self.schema.pointer(pointer));
        let target = target.ok_or_else(|| {
            invalid("validator", "every $ref must be # or like #/$defs/name, and there must be such a place")
        })?;
        self.targets.insert(reference, None);
        let size = self.of(target)?;
        self.targets.insert(reference, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    async fn checked(schema: &str, value: &str) -> Result<()> {
        let validator = format!("jsonschema:{schema}");
        let content = Content { value: value.into(), validator, description: String::new() };
        content.checked().await.map(|_| ())
    }

    async fn refused(schema: &str, value: &str) -> String {
        checked(schema, value).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_value_must_satisfy_its_schema() {
        let schema = r#"{"type":"object","required":["port"],"properties":{"port":{"type":"integer"}}}"#;
        checked(schema, r#"{"port":80}"#).await.unwrap();
        assert_eq!(
            refused(schema, r#"{"port":"hunter2"}"#).await,
            "value: does not satisfy its schema at /port: it is not of type \"integer\""
        );
        assert!(refused(schema, "{}").await.ends_with("at /: \"port\" is a required property"));
        assert!(refused(schema, "{").await.starts_with("value: is not JSON: "));
        assert!(refused("{", "{}").await.starts_with("validator: is not a JSON schema: "));
        assert!(
            refused(r#"{"type":"nothing"}"#, "{}").await.starts_with("validator: is not a JSON schema: ")
        );
        let long = format!(r#"{{"enum":["{}"]}}"#, "x".repeat(5000));
        assert!(refused(&long, "1").await.len() < 400);
    }

    #[tokio::test]
    async fn nothing_is_fetched() {
        for outside in ["http://127.0.0.1:9/x", "https://example.com/x", "file:///etc/passwd"] {
            let refused = refused(&format!(r#"{{"$ref":"{outside}"}}"#), "{}").await;
            assert!(refused.starts_with("validator: every $ref must be # or like"), "{refused}");
        }
    }

    /// A value as deep as the parser takes.
    fn nested(inner: &str) -> String {
        format!("{}{inner}{}", "[".repeat(126), "]".repeat(126))
    }

    #[tokio::test]
    async fn a_schema_cannot_take_the_server_down() {
        let begun = Instant::now();
        checked(r##"{"$ref":"#"}"##, "1").await.unwrap();
        assert!(refused(r#"{"pattern":"(a+)+(\\w{100}){1000}"}"#, "1").await.starts_with("validator: "));
        let many = |n: usize| format!("{{\"allOf\":[{}{{}}]}}", "{},".repeat(n));
        let too_large = "validator: a JSON schema may have at most 1000 objects, with what it refers to";
        checked(&many(998), "1").await.unwrap();
        assert_eq!(refused(&many(999), "1").await, too_large);

        // Every level twice the one below.
        let level = |n: usize| {
            format!(r##""d{n}":{{"allOf":[{{"$ref":"#/$defs/d{0}"}},{{"$ref":"#/$defs/d{0}"}}]}}"##, n + 1)
        };
        let levels: Vec<_> = (0..100).map(level).collect();
        let doubling = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d100":{{}}}}}}"##, levels.join(","));
        assert_eq!(refused(&doubling, "1").await, too_large);
        // The same, by recursion into the value.
        let tree = r##"{"items":{"anyOf":[{"$ref":"#"},{"$ref":"#"}]},"not":{"const":7}}"##;
        checked(tree, &nested("1")).await.unwrap();
        assert!(refused(tree, &nested("7")).await.starts_with("value: "));

        // What may look more than once at what lies below.
        for wrap in [
            r#"{"anyOf":[#]}"#,
            r#"{"oneOf":[#,false]}"#,
            r#"{"if":#,"then":true,"else":false}"#,
            r#"{"not":{"not":#}}"#,
        ] {
            let link = |n: usize| {
                let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, n + 1);
                format!(r#""d{n}":{}"#, wrap.replace('#', &next))
            };
            let links: Vec<_> = (0..100).map(link).collect();
            let schema = |end: &str| {
                format!(r##"{{"$defs":{{{},"d100":{end}}},"$ref":"#/$defs/d0"}}"##, links.join(","))
            };
            checked(&schema("true"), "1").await.unwrap();
            assert!(refused(&schema("false"), "1").await.starts_with("value: "));
        }
        let unsupported = refused(r#"{"items":{"unevaluatedItems":false}}"#, "1").await;
        assert_eq!(unsupported, "validator: unevaluatedItems is not supported");

        // As deep as can be: a long chain of references, walked again on every level of the value.
        let link = |n: usize| format!(r##""d{n}":{{"$ref":"#/$defs/d{}"}}"##, n + 1);
        let links: Vec<_> = (0..900).map(link).collect();
        let chain = format!(
            r##"{{"$defs":{{{},"d900":{{"items":{{"$ref":"#/$defs/d0"}},"not":{{"const":7}}}}}},"$ref":"#/$defs/d899"}}"##,
            links.join(",")
        );
        checked(&chain, &nested("1")).await.unwrap();
        assert!(refused(&chain, &nested("7")).await.starts_with("value: "));
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    }
}
