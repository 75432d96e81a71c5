//! What series and areas are asked for: `domain`, `domain.0`, `domain.1` and so on, and two times.

use std::collections::BTreeMap;
use std::fmt;

use pilothouse_core::cdn::TrafficQuery;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use utoipa::IntoParams;

/// Which domains, from when to when.
pub(super) struct TrafficArgs(pub(super) TrafficQuery);

/// Which domains, from when to when.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of TrafficArgs, for the document")]
pub(super) struct TrafficParams {
    /// A domain of the caller. Several are named `domain.0`, `domain.1` and so on; none are all the caller has.
    #[param(min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: Option<String>,
    /// A domain of the caller.
    #[param(rename = "domain.0", min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    first: Option<String>,
    /// Another one; more follow.
    #[param(rename = "domain.1", min_length = 1, max_length = 253, example = "cdn.exrqs1.com")]
    second: Option<String>,
    /// Unix seconds; rounded down to five minutes, which are included.
    #[param(rename = "startTime", minimum = 0, example = 1_470_297_000)]
    start_time: i64,
    /// Unix seconds, not before `startTime`; rounded down to five minutes, which are included.
    #[param(rename = "endTime", minimum = 0, example = 1_470_299_400)]
    end_time: i64,
}

impl<'de> Deserialize<'de> for TrafficArgs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ArgsVisitor)
    }
}

struct ArgsVisitor;

impl<'de> Visitor<'de> for ArgsVisitor {
    type Value = TrafficArgs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TrafficArgs, A::Error> {
        let (mut start_time, mut end_time) = (None, None);
        let domains = domains_of(&mut map, |name, map| {
            match name {
                "startTime" => start_time = Some(map.next_value()?),
                "endTime" => end_time = Some(map.next_value()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(TrafficArgs(TrafficQuery {
            domains,
            start_time: start_time.ok_or_else(|| A::Error::missing_field("startTime"))?,
            end_time: end_time.ok_or_else(|| A::Error::missing_field("endTime"))?,
        }))
    }
}

/// The domains that arguments name, in order. `other` is offered what is no domain, and says whether it took the value.
pub(super) fn domains_of<'de, A: MapAccess<'de>>(
    map: &mut A,
    mut other: impl FnMut(&str, &mut A) -> Result<bool, A::Error>,
) -> Result<Vec<String>, A::Error> {
    let mut domains = BTreeMap::new();
    while let Some(name) = map.next_key::<String>()? {
        match place(&name) {
            // The name too: `domain.1` and `domain.01` are two.
            Some(place) => drop(domains.insert((place, name), map.next_value()?)),
            None if other(&name, map)? => {}
            None => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    Ok(domains.into_values().collect())
}

/// Where a parameter stands among the domains: `domain` is the first, and `domain.0` the next.
fn place(name: &str) -> Option<u32> {
    match name.strip_prefix("domain")?.strip_prefix('.') {
        None => (name == "domain").then_some(0),
        Some(number) => number.parse::<u32>().ok().and_then(|number| number.checked_add(1)),
    }
}
