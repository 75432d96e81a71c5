//! Where a secret is kept.

use std::path::PathBuf;
use std::str::FromStr;
use std::{env, fs};

use pilothouse_core::{Error, Result};
use serde::{Deserialize, Deserializer};

/// Where a secret is: `env:NAME` or `file:PATH`; never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file, whose line end does not count.
    File(PathBuf),
}

impl FromStr for SecretSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            // The text may be the secret: it is not repeated.
            _ => Err("must be env:NAME or file:PATH"),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl SecretSource {
    /// Reads the key that an edge and this server share: 32 to 256 letters, digits, `-` and `_`.
    #[cfg(feature = "edges")]
    pub fn read_edge_key(&self, setting: &'static str) -> Result<String> {
        let key = self.read(setting)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        // The key itself is not repeated.
        if !(32..=256).contains(&key.len()) || !key.chars().all(allowed) {
            return Err(Error::invalid(setting, "must be 32 to 256 letters, digits, '-' and '_'"));
        }
        Ok(key)
    }

    /// Reads the secret; what is wrong is told of the setting `key`.
    pub fn read(&self, key: &'static str) -> Result<String> {
        match self {
            Self::Env(name) => env::var(name)
                .map_err(|error| Error::invalid(key, format!("the environment variable {name}: {error}"))),
            Self::File(path) => match fs::read_to_string(path) {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => Err(Error::invalid(key, format!("{}: {error}", path.display()))),
            },
        }
    }
}
