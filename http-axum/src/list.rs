//! Several texts in one argument.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A list of texts, or one text with commas between them. Blanks around them and a comma at the end are ignored.
pub(crate) struct List(pub(crate) Vec<String>);

impl List {
    /// Its texts with commas between them.
    pub(crate) fn joined(&self) -> String {
        self.0.join(",")
    }
}

impl PartialSchema for List {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let one = text().description(Some("The texts with commas between them."));
        let many = ArrayBuilder::new().items(text());
        OneOfBuilder::new().item(one).item(many).description(Some("One text, or a list of them.")).into()
    }
}

impl ToSchema for List {}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<List, E> {
        let mut texts: Vec<_> = text.split(',').map(|text| text.trim().to_owned()).collect();
        if texts.len() > 1 && texts.last().is_some_and(String::is_empty) {
            texts.pop();
        }
        Ok(List(texts))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<List, E> {
        Ok(List(vec![number.to_string()]))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<List, E> {
        Ok(List(vec![number.to_string()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = elements.next_element::<String>()? {
            texts.push(text.trim().to_owned());
        }
        Ok(List(texts))
    }
}
