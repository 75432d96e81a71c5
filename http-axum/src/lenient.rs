//! JSON as the documents' callers write it: integers and booleans may be text, and nothing else is bent.
//!
//! [`unique`] parses JSON and refuses an object that names a member twice; [`read`] turns the value into a type, with
//! errors that name the member and what it must be.

use std::fmt;

use pilothouse_core::Error;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::{Map, Number, Value};

/// Parses JSON in which no object names a member twice.
pub(crate) fn unique(json: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice::<Unique>(json).map(|unique| unique.0)
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Unique(value) = members.next_value()?;
            if map.insert(name.clone(), value).is_some() {
                return Err(de::Error::custom(format_args!("the member {name} is given twice")));
            }
        }
        Ok(Value::Object(map))
    }
}

/// Turns a value into a `T`. `prefix` is the path of the value itself, for errors. `unknown` is told the path of every
/// member that `T` does not know.
pub(crate) fn read<T: DeserializeOwned>(
    value: Value,
    prefix: &str,
    mut unknown: impl FnMut(&str),
) -> Result<T, Error> {
    refuse_nul(&value, prefix)?;
    let mut note =
        |path: serde_ignored::Path<'_>| unknown(&join(prefix, &path.to_string().replace(".?", "")));
    let deserializer = serde_ignored::Deserializer::new(Lenient(value), &mut note);
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string().replace(".?", "");
        let path = join(prefix, if path == "." { "" } else { &path });
        match error.into_inner() {
            Wrong::Missing(name) => Error::invalid(join(&path, name), "is required"),
            Wrong::Other(why) => Error::invalid(if path.is_empty() { "body".to_owned() } else { path }, why),
        }
    })
}

/// No text holds NUL, which not every store can keep or even look for.
fn refuse_nul(value: &Value, path: &str) -> Result<(), Error> {
    match value {
        Value::String(text) if text.contains('\0') => {
            Err(Error::invalid(path.to_owned(), "must not hold the control character U+0000"))
        }
        Value::Array(values) => values.iter().try_for_each(|value| refuse_nul(value, path)),
        Value::Object(members) => {
            members.iter().try_for_each(|(name, value)| refuse_nul(value, &join(path, name)))
        }
        _ => Ok(()),
    }
}

fn join(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        ("", name) => name.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, name) => format!("{prefix}.{name}"),
    }
}

/// Why a value is not a `T`.
#[derive(Debug)]
enum Wrong {
    Missing(&'static str),
    Other(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name} is required"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::Other(why.to_string())
    }

    fn missing_field(name: &'static str) -> Self {
        Self::Missing(name)
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        Self::Other(match expected.as_str() {
            "a string" => "must be text".to_owned(),
            "a boolean" => "must be true or false".to_owned(),
            "a sequence" => "must be a list".to_owned(),
            "i64" | "i32" | "u8" | "u16" | "u32" | "u64" => "must be an integer".to_owned(),
            other if other.starts_with("struct") => "must be an object".to_owned(),
            other => format!("must be {other}"),
        })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match Self::invalid_type(unexpected, expected) {
            Self::Other(why) if why == "must be an integer" => Self::Other("is out of range".to_owned()),
            other => other,
        }
    }
}

/// A value whose text may stand for an integer or a boolean where one is wanted.
struct Lenient(Value);

impl Lenient {
    fn integer(self) -> Value {
        match &self.0 {
            Value::String(text) if text.len() <= 20 => text.parse::<i64>().map_or(self.0, Value::from),
            _ => self.0,
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.integer() {
                Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                    (Some(number), _) => visitor.visit_i64(number),
                    (None, Some(number)) => visitor.visit_u64(number),
                    (None, None) => Err(Wrong::Other("must be an integer".into())),
                },
                _ => Err(Wrong::Other("must be an integer".into())),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Wrong;

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.0 {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) if text.eq_ignore_ascii_case("true") => visitor.visit_bool(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => visitor.visit_bool(false),
            _ => Err(Wrong::Other("must be true or false".into())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    /// A struct may not be given as a list of its members.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if self.0.is_object() {
            self.deserialize_any(visitor)
        } else {
            Err(Wrong::Other("must be an object".into()))
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_i64(number),
                (None, Some(number), _) => visitor.visit_u64(number),
                (None, None, number) => visitor.visit_f64(number.unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(values) => visitor.visit_seq(Elements(values.into_iter())),
            Value::Object(members) => visitor.visit_map(Members { rest: members.into_iter(), value: None }),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map enum
        identifier ignored_any
    }
}

struct Elements(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Elements {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        self.0.next().map(|value| seed.deserialize(Lenient(value))).transpose()
    }
}

struct Members {
    rest: serde_json::map::IntoIter,
    value: Option<Value>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Wrong> {
        seed.deserialize(Lenient(self.value.take().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Outer {
        id: i64,
        flag: Option<bool>,
        data: Inner,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        name: String,
        small: Option<u8>,
        list: Option<Vec<String>>,
    }

    fn outer(value: Value) -> Result<Outer, String> {
        let mut unknown = Vec::new();
        let read =
            read(value, "", |path| unknown.push(path.to_owned())).map_err(|error| error.to_string())?;
        if unknown.is_empty() { Ok(read) } else { Err(format!("unknown {}", unknown.join(","))) }
    }

    #[test]
    fn text_may_stand_for_integers_and_booleans() {
        let read =
            outer(json!({"id": "-7", "flag": "False", "data": {"name": "5", "small": "255"}})).unwrap();
        assert_eq!(
            (read.id, read.flag, read.data.small, read.data.name.as_str()),
            (-7, Some(false), Some(255), "5")
        );
    }

    #[test]
    fn errors_name_the_member() {
        let why = |value| outer(value).unwrap_err();
        assert_eq!(why(json!({"id": 1})), "data: is required");
        assert_eq!(why(json!({"id": 1, "data": {}})), "data.name: is required");
        assert_eq!(why(json!({"id": "x", "data": {"name": ""}})), "id: must be an integer");
        assert_eq!(why(json!({"id": 1.5, "data": {"name": ""}})), "id: must be an integer");
        assert_eq!(why(json!({"id": 1, "data": {"name": 5}})), "data.name: must be text");
        assert_eq!(why(json!({"id": 1, "data": {"name": "", "small": 256}})), "data.small: is out of range");
        assert_eq!(why(json!({"id": 1, "data": []})), "data: must be an object");
        assert_eq!(why(json!({"id": 1, "data": {"name": "", "list": "x"}})), "data.list: must be a list");
        assert_eq!(why(json!([])), "body: must be an object");
        assert_eq!(why(json!({"id": 1, "data": {"name": "", "x": 1}, "y": 2})), "unknown data.x,y");
    }

    #[test]
    fn nul_is_refused_by_name() {
        let refused = outer(json!({"id": 1, "data": {"name": "a", "list": ["b", "\0"]}})).unwrap_err();
        assert_eq!(refused, "data.list: must not hold the control character U+0000");
    }

    #[test]
    fn a_member_given_twice_is_refused() {
        assert!(unique(br#"{"a":1,"b":{"c":1,"c":1}}"#).is_err());
        assert_eq!(
            unique(br#"{"a":[1,null,"x",1.5,true]}"#).unwrap(),
            json!({"a": [1, null, "x", 1.5, true]})
        );
    }
}
