//! The formats an access log may have.

use std::fmt;
use std::str::FromStr;

/// How the lines of a log are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache's and nginx's `combined`. It names no host, so [`crate::Rules::default_domain`] says whose lines they are.
    Combined,
    /// `host[:port]` and a blank before `combined`; optionally a last field with the cache status.
    VhostCombined,
    /// `seconds.millis host status bytes address cache-status seconds method uri`, separated by TAB; further fields are ignored.
    Tsv,
    /// One JSON object a line with the members `t`, `h`, `s`, `b`, `ip`, `c`, `m`, `u`; others are ignored.
    Json,
}

impl Format {
    /// Every format, in the order the documentation names them.
    pub const ALL: [Self; 4] = [Self::Combined, Self::VhostCombined, Self::Tsv, Self::Json];

    /// The name settings and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::VhostCombined => "vhost_combined",
            Self::Tsv => "tsv",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of [`Format::ALL`].
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
    fn names_are_read_back_and_others_are_refused_by_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "common".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("\"common\"") && error.contains("vhost_combined"), "{error}");
    }
}
