//! Colours of the pages: light, dark, or those of the system.

use std::str::FromStr;

use axum::http::HeaderMap;
use pilothouse_core::Error;

use crate::authenticator::cookie;
use crate::texts::Texts;

/// Cookie of the colours that somebody chose.
pub(crate) const CHOICE: &str = "pilothouse-theme";

/// Colours of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Theme of the browser's system.
    #[default]
    System,
    Light,
    Dark,
}

/// Colours to be chosen.
pub(crate) struct Choice {
    pub(crate) theme: Theme,
    pub(crate) is_current: bool,
}

impl FromStr for Theme {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|theme| theme.name() == name);
        known.ok_or_else(|| Error::invalid("theme", "must be system, light or dark"))
    }
}

impl Theme {
    const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Theme that the sender of a request chose.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        cookie(headers, CHOICE).and_then(|name| name.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Schemes that the page supports, for the browser's own parts.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::System => "light dark",
            chosen => chosen.name(),
        }
    }

    pub(crate) fn is_chosen(self) -> bool {
        self != Self::System
    }

    /// Themes to choose from, this one among them.
    pub(crate) fn choices(self) -> [Choice; 3] {
        Self::ALL.map(|theme| Choice { theme, is_current: theme == self })
    }

    pub(crate) fn text(self, t: &Texts) -> &'static str {
        let a = t.admin();
        match self {
            Self::System => a.theme_system,
            Self::Light => a.theme_light,
            Self::Dark => a.theme_dark,
        }
    }
}
