//! JSON as databases print it: flags as 0 and 1, and null for what is empty.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Deserializes a flag: a boolean, 0 or 1.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(FlagVisitor)
}

/// Deserializes a value, or its default from null.
pub(super) fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

struct FlagVisitor;

impl Visitor<'_> for FlagVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boolean, 0 or 1")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<bool, E> {
        Ok(flag)
    }

    fn visit_u64<E: Error>(self, flag: u64) -> Result<bool, E> {
        match flag {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(E::invalid_value(Unexpected::Unsigned(other), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::import::ImportDocument;

    fn machine(flag: &str) -> Result<ImportDocument, String> {
        let members =
            r#""machine_name":"a","inside_ip":"::1","outside_ip":"::1","userage":"web","location":"x""#;
        let text = format!(r#"{{"machines":[{{{members},"is_initialized":{flag}}}]}}"#);
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_booleans_or_0_and_1() {
        for (text, flag) in [("true", true), ("false", false), ("1", true), ("0", false)] {
            assert_eq!(machine(text).unwrap().machines[0].is_initialized, flag);
        }
        for text in ["2", "-1", "\"1\"", "null"] {
            assert!(machine(text).unwrap_err().contains("a boolean, 0 or 1"), "{text}");
        }
    }

    #[test]
    fn a_point_is_an_object_or_both_numbers() {
        let text = r#"{"figures":[{"cdn":"a","domain":"b","fluxs":[[300,5],{"timeStamp":600,"value":6}],"bandwidths":null}]}"#;
        let document: ImportDocument = serde_json::from_str(text).unwrap();
        let points = document.figures[0].fluxs.iter().map(|point| [point.time_stamp, point.value]);
        assert_eq!(points.collect::<Vec<_>>(), [[300, 5], [600, 6]]);
    }

    #[test]
    fn unknown_members_are_refused_by_name() {
        let refused = serde_json::from_str::<ImportDocument>(r#"{"machins":[]}"#).unwrap_err().to_string();
        assert!(refused.contains("machins"), "{refused}");
    }
}
