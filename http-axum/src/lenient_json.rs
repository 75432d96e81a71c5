//! Lenient reading of JSON values, as the documents' callers write them: integers and booleans may be text, booleans 0 and
//! 1, text a number, and what is optional may be empty. Errors name the member and what it must be.
//!
//! One deserializer does it all. Its generic methods are compiled once for each type that is ever read, so they only hand
//! over to functions that are not generic.

use std::cell::RefCell;

use pilothouse_core::Error;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::json_refusal::{Wrong, join};
use crate::optional_member::{SELECTOR, TEXT_OR_EMPTY};

/// Turns a value into a `T`. `prefix` is the path of the value itself, for errors; the path of every member that `T` does
/// not know is added to `unknown`.
pub(crate) fn read<T: DeserializeOwned>(
    value: Value,
    prefix: &str,
    unknown: &mut Vec<String>,
) -> Result<T, Error> {
    refuse_nul(&value, prefix)?;
    let unknown = RefCell::new(unknown);
    let lenient = Lenient { value, place: &Place::Root(prefix), unknown: &unknown, may_be_empty: false };
    T::deserialize(lenient).map_err(|wrong| wrong.into_error(prefix))
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

/// Position of a value within the one that is read.
enum Place<'p> {
    /// The value itself, under this path.
    Root(&'p str),
    /// A member of an object.
    Member(&'p Place<'p>, &'p str),
    /// An element of a list, counted from 0.
    Element(&'p Place<'p>, usize),
}

impl Place<'_> {
    fn path(&self) -> String {
        match self {
            Self::Root(prefix) => (*prefix).to_owned(),
            Self::Member(parent, name) => join(&parent.path(), name),
            Self::Element(parent, index) => join(&parent.path(), &index.to_string()),
        }
    }
}

/// A value whose text may stand for an integer or a boolean where one is wanted.
struct Lenient<'p, 'u> {
    value: Value,
    place: &'p Place<'p>,
    unknown: &'p RefCell<&'u mut Vec<String>>,
    /// Whether empty text is a value, although it is optional.
    may_be_empty: bool,
}

/// An integer of JSON: `i64` where it fits.
enum Integer {
    Signed(i64),
    Unsigned(u64),
}

impl<'p, 'u> Lenient<'p, 'u> {
    fn integer(self) -> Result<Integer, Wrong> {
        let number = match self.value {
            Value::Number(number) => number,
            Value::String(text) if text.len() <= 20 => match text.parse::<i64>() {
                // Neither "+5" nor "007": elsewhere that is another text.
                Ok(number) if number.to_string() == text => return Ok(Integer::Signed(number)),
                _ => return Err(Wrong::new("must be an integer")),
            },
            _ => return Err(Wrong::new("must be an integer")),
        };
        match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Ok(Integer::Signed(number)),
            (None, Some(number)) => Ok(Integer::Unsigned(number)),
            (None, None) => Err(Wrong::new("must be an integer")),
        }
    }

    fn boolean(self) -> Result<bool, Wrong> {
        match self.value {
            Value::Bool(value) => Ok(value),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Value::String(text) if text == "1" => Ok(true),
            Value::String(text) if text == "0" => Ok(false),
            Value::Number(number) if number.as_i64() == Some(1) => Ok(true),
            Value::Number(number) if number.as_i64() == Some(0) => Ok(false),
            _ => Err(Wrong::new("must be true or false, 1 or 0")),
        }
    }

    fn text(self, expected: &dyn Expected) -> Result<String, Wrong> {
        match self.value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(Wrong::expected(expected)),
        }
    }

    fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            Value::Array(values) => values.is_empty(),
            _ => false,
        }
    }

    fn elements(self, expected: &dyn Expected) -> Result<Elements<'p, 'u>, Wrong> {
        match self.value {
            Value::Array(values) => Ok(Elements {
                rest: values.into_iter().enumerate(),
                place: self.place,
                unknown: self.unknown,
            }),
            _ => Err(Wrong::expected(expected)),
        }
    }

    fn members(self, expected: &dyn Expected) -> Result<Members<'p, 'u>, Wrong> {
        match self.value {
            Value::Object(members) => Ok(Members {
                rest: members.into_iter(),
                name: String::new(),
                value: Value::Null,
                place: self.place,
                unknown: self.unknown,
            }),
            _ => Err(Wrong::expected(expected)),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.integer()? {
                Integer::Signed(number) => visitor.visit_i64(number),
                Integer::Unsigned(number) => visitor.visit_u64(number),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient<'_, '_> {
    type Error = Wrong;

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let text = self.text(&visitor)?;
        visitor.visit_string(text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let is_given = match &self.value {
            Value::Null => false,
            Value::String(text) => self.may_be_empty || !text.is_empty(),
            _ => true,
        };
        if is_given { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if name == SELECTOR && self.is_empty() {
            return Err(Wrong::new("must not be empty; leave it out for no selection"));
        }
        visitor.visit_newtype_struct(Self { may_be_empty: name == TEXT_OR_EMPTY, ..self })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let elements = self.elements(&visitor)?;
        visitor.visit_seq(elements)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let members = self.members(&visitor)?;
        visitor.visit_map(members)
    }

    /// A struct may not be given as a list of its members.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_map(self.members(&"an object")?)
    }

    /// Only what a type does not know is ignored.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.unknown.borrow_mut().push(self.place.path());
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_i64(number),
                (None, Some(number), _) => visitor.visit_u64(number),
                (None, None, number) => visitor.visit_f64(number.unwrap_or_default()),
            },
            Value::String(_) => self.deserialize_string(visitor),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

/// Elements of a list, in order.
struct Elements<'p, 'u> {
    rest: std::iter::Enumerate<std::vec::IntoIter<Value>>,
    place: &'p Place<'p>,
    unknown: &'p RefCell<&'u mut Vec<String>>,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some((index, value)) = self.rest.next() else { return Ok(None) };
        let place = Place::Element(self.place, index);
        let lenient = Lenient { value, place: &place, unknown: self.unknown, may_be_empty: false };
        match seed.deserialize(lenient) {
            Ok(element) => Ok(Some(element)),
            Err(wrong) => Err(wrong.in_element(index)),
        }
    }
}

/// Members of an object, by name.
struct Members<'p, 'u> {
    rest: serde_json::map::IntoIter,
    name: String,
    value: Value,
    place: &'p Place<'p>,
    unknown: &'p RefCell<&'u mut Vec<String>>,
}

impl<'de> MapAccess<'de> for Members<'_, '_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.name = name;
        self.value = value;
        seed.deserialize(StrDeserializer::new(&self.name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Wrong> {
        let place = Place::Member(self.place, &self.name);
        let value = self.value.take();
        let lenient = Lenient { value, place: &place, unknown: self.unknown, may_be_empty: false };
        match seed.deserialize(lenient) {
            Ok(value) => Ok(value),
            Err(wrong) => Err(wrong.in_member(&self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::optional_member::{selector, text_or_empty};

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
        let read = read(value, "", &mut unknown).map_err(|error| error.to_string())?;
        if unknown.is_empty() { Ok(read) } else { Err(format!("unknown {}", unknown.join(","))) }
    }

    #[test]
    fn text_may_stand_for_integers_and_booleans() {
        let read = outer(json!({"id": "-7", "flag": "False", "data": {"name": 5, "small": "255"}})).unwrap();
        assert_eq!(
            (read.id, read.flag, read.data.small, read.data.name.as_str()),
            (-7, Some(false), Some(255), "5")
        );
        for (flag, value) in [(json!(1), true), (json!("1"), true), (json!(0), false), (json!("0"), false)] {
            let read = outer(json!({"id": 1, "flag": flag, "data": {"name": ""}})).unwrap();
            assert_eq!(read.flag, Some(value));
        }
        for id in ["+5", "007", "00", "", "-", " 5", "5.0", "12345678901234567890"] {
            let refused = outer(json!({"id": id, "data": {"name": ""}})).unwrap_err();
            assert_eq!(refused, "id: must be an integer", "{id}");
        }
    }

    #[derive(Debug, Deserialize)]
    struct Optional {
        #[serde(default, deserialize_with = "selector")]
        nodes: Option<String>,
        #[serde(default, deserialize_with = "selector")]
        percent: Option<i64>,
        #[serde(default, deserialize_with = "text_or_empty")]
        value: Option<String>,
        name: Option<String>,
        count: Option<i64>,
    }

    #[test]
    fn empty_is_not_given_but_for_selectors_and_text_that_may_be_empty() {
        let optional =
            |value| read::<Optional>(value, "", &mut Vec::new()).map_err(|error| error.to_string());
        let empty = optional(json!({"value": "", "name": "", "count": ""})).unwrap();
        assert_eq!((empty.value.as_deref(), empty.name, empty.count), (Some(""), None, None));
        let null = optional(json!({"value": null, "name": null, "count": null})).unwrap();
        assert_eq!((null.value, null.name, null.count), (None, None, None));
        let given = optional(json!({"nodes": "11", "percent": "5"})).unwrap();
        assert_eq!((given.nodes.as_deref(), given.percent), (Some("11"), Some(5)));
        for value in [json!(null), json!(""), json!(" "), json!([])] {
            for name in ["nodes", "percent"] {
                let refused = optional(json!({name: value})).unwrap_err();
                assert_eq!(refused, format!("{name}: must not be empty; leave it out for no selection"));
            }
        }
    }

    #[test]
    fn errors_name_the_member() {
        let why = |value| outer(value).unwrap_err();
        assert_eq!(why(json!({"id": 1})), "data: is required");
        assert_eq!(why(json!({"id": 1, "data": {}})), "data.name: is required");
        assert_eq!(why(json!({"id": "x", "data": {"name": ""}})), "id: must be an integer");
        for text in ["+5", "007", "-0", " 5", "5 ", "5.0", "1e3", ""] {
            assert_eq!(why(json!({"id": text, "data": {"name": ""}})), "id: must be an integer", "{text:?}");
        }
        assert_eq!(why(json!({"id": 1.5, "data": {"name": ""}})), "id: must be an integer");
        assert_eq!(why(json!({"id": 1, "data": {"name": true}})), "data.name: must be text");
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
}
