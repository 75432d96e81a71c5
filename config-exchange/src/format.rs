//! Formats by their names, and what belongs to a file of each.

use crate::document::{Document, Dropped, Entry};
use crate::failure::{Failure, Result};
use crate::profile::Profile;
use crate::{apollo, json, nacos, properties, yaml};

/// Format of a file of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.properties`, as Java reads and writes it.
    Properties,
    /// YAML, flattened to dotted keys.
    Yaml,
    /// JSON, flattened to dotted keys.
    Json,
    /// Export archive of Apollo's portal.
    Apollo,
    /// Export archive of Nacos, which is read only.
    Nacos,
}

/// Where a file belongs. Apollo's archives say it themselves, and narrow by what is given; of others it is needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// Name of the app.
    pub app: Option<&'a str>,
    /// Name of the profile.
    pub profile: Option<&'a str>,
    /// Environment within an archive of Apollo's that has several.
    pub env: Option<&'a str>,
}

impl Format {
    /// All formats that are read.
    pub const ALL: [Self; 5] = [Self::Properties, Self::Yaml, Self::Json, Self::Apollo, Self::Nacos];
    /// All formats that are written.
    pub const WRITTEN: [Self; 4] = [Self::Properties, Self::Yaml, Self::Json, Self::Apollo];

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Properties => "properties",
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Apollo => "apollo",
            Self::Nacos => "nacos",
        }
    }

    /// The format of a name on the wire; `None` of any other.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// Extension of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Properties => "properties",
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Apollo | Self::Nacos => "zip",
        }
    }

    /// Media type of a file.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Properties => "text/plain; charset=utf-8",
            Self::Yaml => "application/yaml; charset=utf-8",
            Self::Json => "application/json",
            Self::Apollo | Self::Nacos => "application/zip",
        }
    }

    /// Reads a file as the profiles that it holds, with what was left out; `name` stands in failures.
    pub fn read(self, name: &str, bytes: &[u8], target: Target<'_>) -> Result<(Vec<Profile>, Dropped)> {
        let Target { app, profile, env } = target;
        let document = match self {
            Self::Apollo => return apollo::read(bytes, apollo::Selection { env, app, profile }),
            Self::Properties => properties::read(name, bytes),
            Self::Yaml => yaml::read(name, bytes),
            Self::Json => json::read(name, bytes),
            Self::Nacos => nacos::read(bytes),
        };
        let Document { entries, dropped } = document?;
        let [app, profile] = [app, profile].map(|name| name.unwrap_or_default().to_owned());
        Ok((vec![Profile { app, profile, entries }], dropped))
    }

    /// Writes profiles as a file; formats without archives hold the first one alone, and JSON no descriptions. Refuses Nacos's,
    /// which is read only.
    pub fn write(self, profiles: &[Profile]) -> Result<Vec<u8>> {
        let entries: &[Entry] = profiles.first().map(|profile| &*profile.entries).unwrap_or_default();
        match self {
            Self::Properties => Ok(properties::write(entries).into_bytes()),
            Self::Yaml => Ok(yaml::write(entries).into_bytes()),
            Self::Json => Ok(json::write(entries).into_bytes()),
            Self::Apollo => apollo::write(profiles),
            Self::Nacos => Err(Failure::new("nacos", "is read and not written")),
        }
    }
}
