//! Value parsing: a deserializer that gives strings the text as it is and reads every other type as JSON.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

type Error = serde_json::Error;

/// Parses a value. Strings, and types that deserialize from a string (an address, a bare enum variant), get the text
/// verbatim; every other type is read as JSON.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    T::deserialize(TextDeserializer(text))
}

struct TextDeserializer<'a>(&'a str);

impl<'de> TextDeserializer<'de> {
    /// Reads the whole text as one JSON value.
    fn json<T>(
        self,
        read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'de>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut json = serde_json::Deserializer::from_str(self.0);
        let value = read(&mut json)?;
        json.end()?;
        Ok(value)
    }
}

macro_rules! as_json {
    ($($method:ident($($argument:ident: $kind:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $kind,)* visitor: V) -> Result<V::Value, Error> {
            self.json(|json| json.$method($($argument,)* visitor))
        }
    )*};
}

macro_rules! as_text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_borrowed_str(self.0)
        }
    )*};
}

impl<'de> Deserializer<'de> for TextDeserializer<'de> {
    type Error = Error;

    as_text! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    as_json! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_ignored_any();
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0 == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Reads a bare name as a variant without content, and a JSON object or string as JSON.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.starts_with(['{', '"']) {
            return self.json(|json| json.deserialize_enum(name, variants, visitor));
        }
        let bare: StrDeserializer<'_, Error> = self.0.into_deserializer();
        bare.deserialize_enum(name, variants, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Mixed { red: u8 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Name(String);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Limits {
        most: u32,
        names: Vec<String>,
    }

    #[test]
    fn strings_are_verbatim_and_other_types_are_json() {
        assert_eq!(parse::<String>("\"as it is\" ").unwrap(), "\"as it is\" ");
        assert_eq!(parse::<Name>("12").unwrap(), Name("12".into()));
        assert_eq!(parse::<Option<String>>("a").unwrap(), Some("a".into()));
        assert_eq!(parse::<Option<u8>>("null").unwrap(), None);
        assert_eq!(parse::<char>("ü").unwrap(), 'ü');
        assert_eq!(parse::<IpAddr>("::1").unwrap(), "::1".parse::<IpAddr>().unwrap());
        assert_eq!(parse::<u16>("8080").unwrap(), 8080);
        assert_eq!(parse::<f64>(" 1.5\n").unwrap().to_string(), "1.5");
        assert!(parse::<bool>("true").unwrap());
        assert_eq!(parse::<(u8, String)>("[1,\"a\"]").unwrap(), (1, "a".into()));
        assert_eq!(parse::<BTreeMap<String, u8>>("{\"a\":1}").unwrap(), BTreeMap::from([("a".into(), 1)]));
        assert_eq!(parse::<serde_json::Value>("[1]").unwrap(), serde_json::json!([1]));
        let limits = Limits { most: 3, names: vec!["a".into()] };
        assert_eq!(parse::<Limits>("{\"most\":3,\"names\":[\"a\"]}").unwrap(), limits);
        for (text, colour) in [
            ("red", Colour::Red),
            ("\"red\"", Colour::Red),
            ("{\"mixed\":{\"red\":1}}", Colour::Mixed { red: 1 }),
        ] {
            assert_eq!(parse::<Colour>(text).unwrap(), colour);
        }
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        assert!(parse::<u16>("70000").is_err());
        assert!(parse::<u16>("80 80").is_err());
        assert!(parse::<u16>("").is_err());
        assert!(parse::<bool>("yes").is_err());
        assert!(parse::<Colour>("blue").is_err());
        assert!(parse::<Limits>("{\"most\":3}").is_err());
    }
}
