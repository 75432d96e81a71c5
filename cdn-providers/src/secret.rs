//! Secret source: reads a secret from an environment variable or a file, so that settings never contain it.

use std::env::VarError;
use std::path::PathBuf;
use std::str::FromStr;
use std::{env, fs};

use pilothouse_core::{Error, Result};
use serde::{Deserialize, Deserializer};

/// Source of a secret, written `env:NAME` or `file:PATH`; never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretSource {
    /// Environment variable with this name.
    Env(String),
    /// File with this path; line breaks at its end are not part of the secret.
    File(PathBuf),
}

impl FromStr for SecretSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            // The error does not quote the text, which may be the secret itself.
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
    /// Reads the key that an edge shares with this server: 32 to 256 letters, digits, `-` and `_`. Errors name the setting
    /// `setting` and never quote the key.
    #[cfg(feature = "edges")]
    pub fn read_edge_key(&self, setting: &'static str) -> Result<String> {
        let key = self.read(setting)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(32..=256).contains(&key.len()) || !key.chars().all(allowed) {
            return Err(Error::invalid(setting, "must be 32 to 256 letters, digits, '-' and '_'"));
        }
        Ok(key)
    }

    /// Reads the secret. Errors name the setting `setting` and never quote the secret.
    pub fn read(&self, setting: &'static str) -> Result<String> {
        match self {
            Self::Env(name) => env::var(name).map_err(|error| {
                // The display of `VarError` would quote a value that is not Unicode.
                let reason = match error {
                    VarError::NotPresent => "is not set",
                    VarError::NotUnicode(_) => "is not valid UTF-8",
                };
                Error::invalid(setting, format!("the environment variable {name} {reason}"))
            }),
            Self::File(path) => match fs::read_to_string(path) {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => Err(Error::invalid(setting, format!("{}: {error}", path.display()))),
            },
        }
    }
}
