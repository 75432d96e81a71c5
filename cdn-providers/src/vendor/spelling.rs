//! Spelling of URLs for vendors.

use pilothouse_core::ports::ProviderError;
use url::Url;

/// Spells a URL as a browser would send it: host in lower case and Punycode, everything but ASCII escaped. A `*` at the end,
/// which stands for all that follows, is taken off.
pub(crate) fn spelled(url: &str) -> Result<Url, ProviderError> {
    let url = url.strip_suffix('*').unwrap_or(url);
    match Url::parse(url) {
        Ok(url) if url.has_host() => Ok(url),
        _ => Err(ProviderError::Refused("not a URL with a host".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_spelled_as_browsers_do() {
        for (given, expected) in [
            ("https://A.example.com/中 2?x=*", "https://a.example.com/%E4%B8%AD%202?x="),
            ("https://a.example.com/dir/*", "https://a.example.com/dir/"),
            ("http://中国.test", "http://xn--fiqs8s.test/"),
        ] {
            assert_eq!(spelled(given).unwrap().as_str(), expected);
        }
        assert!(matches!(spelled("a.example.com"), Err(ProviderError::Refused(_))));
    }
}
