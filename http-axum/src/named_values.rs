//! Named values of a request, from wherever they came: put together into one object. Lists may be spelt `x[]`, `x[0]` and
//! `x.0`, members of `data` as `data[x]` and `data.x`; a name with two different values is refused.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use pilothouse_core::{Error, Result};
use serde_json::{Map, Value};

/// The one member of arguments that is an object: what an action of the ops family takes.
const OBJECT: &str = "data";

/// Whether a name is one that caches, JSONP and advertising add to any URL: it means nothing here.
pub(crate) fn is_ignored(name: &str) -> bool {
    name == "_" || name == "callback" || name.starts_with("utm_")
}

/// Named values collected so far.
#[derive(Default)]
pub(crate) struct NamedValues {
    plain: Map<String, Value>,
    /// Elements by the name of their list.
    lists: BTreeMap<String, Elements>,
}

/// Elements of a list that was spelt out.
#[derive(Default)]
struct Elements {
    /// Those of `x[0]` and `x.0`, by the position that their names give.
    numbered: BTreeMap<u32, Value>,
    /// Those of `x[]`, which come last, in the order given.
    others: Vec<Value>,
}

/// The parts of a name.
enum Name<'a> {
    Plain,
    Element(&'a str, Option<u32>),
    Member(&'a str),
}

impl<'a> Name<'a> {
    fn of(name: &'a str) -> Self {
        let (root, inner) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some(parts) => parts,
            None => match name.split_once('.') {
                Some((root, inner)) if !inner.is_empty() => (root, inner),
                _ => return Self::Plain,
            },
        };
        let is_number = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit());
        if root.is_empty() {
            Self::Plain
        } else if inner.is_empty() {
            Self::Element(root, None)
        } else if is_number && let Ok(index) = inner.parse() {
            Self::Element(root, Some(index))
        } else if root == OBJECT {
            Self::Member(inner)
        } else {
            Self::Plain
        }
    }
}

impl NamedValues {
    /// Adds a value. Given twice, it must be the same; empty in one place and given in another counts as given.
    pub(crate) fn add(&mut self, name: String, value: Value) -> Result<()> {
        if is_ignored(&name) {
            return Ok(());
        }
        match Name::of(&name) {
            Name::Plain => add(&mut self.plain, name, value),
            Name::Member(member) => {
                let object = self.plain.entry(OBJECT).or_insert_with(|| Value::Object(Map::new()));
                match object {
                    Value::Object(members) => add(members, member.to_owned(), value),
                    _ => Err(twice(name)),
                }
            }
            Name::Element(root, None) => {
                self.lists.entry(root.to_owned()).or_default().others.push(value);
                Ok(())
            }
            Name::Element(root, Some(index)) => {
                match self.lists.entry(root.to_owned()).or_default().numbered.entry(index) {
                    Entry::Occupied(held) if *held.get() != value => Err(twice(name)),
                    Entry::Occupied(_) => Ok(()),
                    Entry::Vacant(free) => {
                        free.insert(value);
                        Ok(())
                    }
                }
            }
        }
    }

    /// The values, with a list for each name whose elements were spelt out.
    pub(crate) fn finish(self) -> Result<Map<String, Value>> {
        let Self { mut plain, lists } = self;
        for (name, Elements { numbered, others }) in lists {
            let mut values = match plain.remove(&name) {
                None => Vec::new(),
                Some(Value::Object(_)) => return Err(twice(name)),
                Some(value) => parts(value),
            };
            values.extend(numbered.into_values().chain(others).flat_map(|value| match value {
                Value::Array(values) => values,
                value => vec![value],
            }));
            values.retain(|value| !is_empty(value));
            plain.insert(name, Value::Array(values));
        }
        Ok(plain)
    }
}

fn add(into: &mut Map<String, Value>, name: String, value: Value) -> Result<()> {
    match into.get(&name) {
        Some(held) if !is_empty(held) => {
            if is_empty(&value) || is_same(held, &value) {
                return Ok(());
            }
            Err(twice(name))
        }
        Some(_) if is_empty(&value) => Ok(()),
        _ => {
            into.insert(name, value);
            Ok(())
        }
    }
}

fn twice(name: String) -> Error {
    Error::invalid(name, "is given twice, with different values")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

/// Whether two values say the same, one of them perhaps as text.
fn is_same(held: &Value, value: &Value) -> bool {
    match (held, value) {
        (Value::Bool(flag), Value::String(text)) | (Value::String(text), Value::Bool(flag)) => {
            text.parse() == Ok(*flag)
        }
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            *text == number.to_string()
        }
        (Value::Array(_), Value::String(_)) | (Value::String(_), Value::Array(_)) => {
            parts(held.clone()) == parts(value.clone())
        }
        (held, value) => held == value,
    }
}

/// The elements of a list, or of a text that has commas between them.
fn parts(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        Value::String(text) => text.split(',').map(|part| Value::String(part.trim().to_owned())).collect(),
        value => vec![value],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn collect(pairs: &[(&str, Value)]) -> Result<Value> {
        let mut values = NamedValues::default();
        for (name, value) in pairs {
            values.add((*name).to_owned(), value.clone())?;
        }
        values.finish().map(Value::Object)
    }

    #[test]
    fn lists_are_understood_in_every_spelling() {
        for names in [["x[]", "x[]"], ["x[0]", "x[1]"], ["x.0", "x.1"], ["x", "x[]"], ["x.0", "x[]"]] {
            let collected = collect(&[(names[0], json!("a")), (names[1], json!("b"))]).unwrap();
            assert_eq!(collected, json!({"x": ["a", "b"]}), "{names:?}");
        }
        assert_eq!(collect(&[("x[1]", json!("b")), ("x[0]", json!("a"))]).unwrap(), json!({"x": ["a", "b"]}));
        assert_eq!(collect(&[("x[]", json!(["a", "b"]))]).unwrap(), json!({"x": ["a", "b"]}));
        assert_eq!(
            collect(&[("x", json!("a,b")), ("x.0", json!("c"))]).unwrap(),
            json!({"x": ["a", "b", "c"]})
        );
        assert_eq!(collect(&[("x[]", json!(""))]).unwrap(), json!({"x": []}));
        for name in ["x.a", "x[a]", "x.", "[0]", ".0", "x[0]y", "x[0][1]"] {
            assert_eq!(collect(&[(name, json!("a"))]).unwrap(), json!({name: "a"}), "{name} is no list");
        }
        assert!(collect(&[("x[0]", json!("a")), ("x[0]", json!("b"))]).is_err());
    }

    /// As many as a body has room for: comparing each with each would take minutes.
    #[test]
    fn a_list_of_half_a_million_elements_is_collected() {
        let mut values = NamedValues::default();
        for index in 0..500_000 {
            values.add(format!("x[{index}]"), json!("a")).unwrap();
        }
        assert_eq!(values.finish().unwrap()["x"].as_array().unwrap().len(), 500_000);
    }

    #[test]
    fn members_of_data_may_be_spelt_out() {
        let collected =
            collect(&[("action", json!("add")), ("data[ip]", json!("::1")), ("data.action", json!("x"))]);
        assert_eq!(collected.unwrap(), json!({"action": "add", "data": {"ip": "::1", "action": "x"}}));
        assert!(collect(&[("data", json!("x")), ("data[ip]", json!("::1"))]).is_err());
    }

    #[test]
    fn twice_the_same_is_once_and_empty_gives_way() {
        let same =
            collect(&[("id", json!(5)), ("id", json!("5")), ("flag", json!(true)), ("flag", json!("true"))]);
        assert_eq!(same.unwrap(), json!({"id": 5, "flag": true}));
        assert!(collect(&[("id", json!(5)), ("id", json!("6"))]).is_err());
        assert_eq!(
            collect(&[("x", json!("")), ("x", json!("a")), ("x", Value::Null)]).unwrap(),
            json!({"x": "a"})
        );
        assert_eq!(
            collect(&[("nodes", json!(["a", "b"])), ("nodes", json!("a,b"))]).unwrap(),
            json!({"nodes": ["a", "b"]})
        );
        assert_eq!(
            collect(&[("_", json!("1")), ("callback", json!("f")), ("utm_source", json!("x"))]).unwrap(),
            json!({})
        );
    }
}
