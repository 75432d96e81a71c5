//! Validator `jsonschema:`: a schema that the value must match.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::Refusal;
use crate::pattern::PATTERN_SIZE;

/// The most objects a schema may consist of, those that a reference stands for counted each time. They and the depth
/// of a value (128, by the parser) bound how much there is to check, and how deep.
const SCHEMA_SIZE: usize = 1000;
/// Keywords whose cost doubles with every level they are used on, or whose target is known only while checking.
const UNSUPPORTED: [&str; 4] = ["$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"];
/// Bytes of stack for the deepest check that those limits allow; only what is used costs memory.
pub const SCHEMA_STACK: usize = 512 << 20;

/// Checks a value, a JSON text, against a schema. Nothing is ever fetched. Call it on a thread with [`SCHEMA_STACK`] bytes
/// of stack.
pub fn json_schema(text: &str, value: &str) -> Result<(), Refusal> {
    let (validator, recursive) = build(text)?;
    let value: Value = match serde_json::from_str(value) {
        Ok(value) => value,
        Err(error) => return Err(Refusal::value(format!("is not JSON: {error}"))),
    };
    if validator.is_valid(&value) {
        return Ok(());
    }
    // Looking for the place does not remember what was checked before, which recursion makes endless.
    let found = if recursive { Ok(()) } else { validator.validate(&value) };
    match found {
        Ok(()) => Err(Refusal::value("does not satisfy its schema")),
        Err(error) => {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "/".to_owned() } else { place };
            let why = error.masked_with("it");
            Err(Refusal::value(format!("does not satisfy its schema at {place}: {why}")))
        }
    }
}

/// Compiled schema, and whether its schema is recursive. Nothing is ever fetched: a reference out of the schema is
/// refused.
fn build(text: &str) -> Result<(Validator, bool), Refusal> {
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| Refusal::validator(format!("is not a JSON schema: {error}")))?;
    let mut size = Size { schema: &schema, targets: HashMap::new(), recursive: false };
    size.of(&schema)?;
    let patterns = PatternOptions::regex().size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE);
    let built = jsonschema::options().with_pattern_options(patterns).build(&schema);
    let built = built.map_err(|error| Refusal::validator(format!("is not a JSON schema: {error}")))?;
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
    fn of(&mut self, schema: &'a Value) -> Result<usize, Refusal> {
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
                            return Err(Refusal::validator(format!("{name} is not supported")));
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
            return Err(Refusal::validator(why));
        }
        Ok(size)
    }

    fn of_target(&mut self, reference: &'a str) -> Result<usize, Refusal> {
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
            Refusal::validator("every $ref must be # or like #/$defs/name, and there must be such a place")
        })?;
        self.targets.insert(reference, None);
        let size = self.of(target)?;
        self.targets.insert(reference, Some(size));
        Ok(size)
    }
}
