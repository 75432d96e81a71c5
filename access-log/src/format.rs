//! Formats of access logs.

use std::fmt;
use std::str::FromStr;

/// Format of the lines of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache's and nginx's `combined`. It names no host, so [`crate::Rules::default_domain`] names the domain.
    Combined,
    /// `combined` after `host[:port]` and a blank; optionally with a last field that holds the cache status.
    VhostCombined,
    /// Fields separated by TAB: `seconds.millis host status bytes address cache-status duration method uri`, the duration in
    /// seconds; further ones are ignored.
    Tsv,
    /// JSON, one object a line, with the members `t`, `h`, `s`, `b`, `ip`, `c`, `rt` (duration), `m`, `u`; others are
    /// ignored.
    Json,
    /// Lines of any kind, which are not parsed: they are counted, billed to nobody, and handed out as
    /// [`crate::VerbatimLines`]. It has no name in settings.
    Verbatim,
}

impl Format {
    /// All formats that are parsed, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Combined, Self::VhostCombined, Self::Tsv, Self::Json];

    /// Name of the format in settings and on the command line, where it has one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::VhostCombined => "vhost_combined",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Verbatim => "verbatim",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Name that is none of [`Format::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown log format {0:?}: it is one of combined, vhost_combined, tsv, json")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_others_are_refused_by_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "common".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("\"common\"") && error.contains("vhost_combined"), "{error}");
        assert!("verbatim".parse::<Format>().is_err(), "it cannot be billed");
    }
}
