//! Languages of the pages.

use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

use crate::authenticator::cookie;
use crate::texts::{CHINESE, ENGLISH, Texts};

/// Language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese in simplified characters.
    Chinese,
}

/// Cookie of the language that somebody chose.
pub(crate) const CHOICE: &str = "pilothouse-language";

impl FromStr for Language {
    type Err = pilothouse_core::Error;

    fn from_str(tag: &str) -> Result<Self, Self::Err> {
        let known = [Self::English, Self::Chinese].into_iter().find(|language| language.tag() == tag);
        known.ok_or_else(|| pilothouse_core::Error::invalid("language", "must be en or zh-CN"))
    }
}

impl Language {
    /// Tag of the language, as HTML names it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }

    /// The language of a request: what its sender chose, else what the settings say, else the first of the two that the
    /// browser names.
    pub(crate) fn of(headers: &HeaderMap, setting: Option<Self>) -> Self {
        let chosen = || cookie(headers, CHOICE)?.parse().ok();
        chosen().or(setting).unwrap_or_else(|| accepted(headers))
    }
}

fn accepted(headers: &HeaderMap) -> Language {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let tags = accepted.split(',').map(|tag| tag.trim().to_ascii_lowercase());
    let known = tags.filter_map(|tag| match tag.get(..2) {
        Some("zh") => Some(Language::Chinese),
        Some("en") => Some(Language::English),
        _ => None,
    });
    known.into_iter().next().unwrap_or(Language::English)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::COOKIE;

    use super::*;

    #[test]
    fn a_choice_beats_the_setting_which_beats_the_browser() {
        let mut headers = HeaderMap::new();
        assert_eq!(Language::of(&headers, None), Language::English);
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("de, zh-TW;q=0.9, en;q=0.8"));
        assert_eq!(Language::of(&headers, None), Language::Chinese);
        assert_eq!(Language::of(&headers, Some(Language::English)), Language::English);
        headers.insert(COOKIE, HeaderValue::from_static("pilothouse-language=zh-CN"));
        assert_eq!(Language::of(&headers, Some(Language::English)), Language::Chinese);
    }
}
