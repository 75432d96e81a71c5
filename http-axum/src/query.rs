//! Strict query strings and forms: text that is not UTF-8 is refused.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use pilothouse_core::{Error, Result};

/// Parameters that carry a secret and are therefore taken from bodies only: query strings end up in logs.
const SECRETS: [&str; 7] =
    ["password", "passwd", "old_passwd", "new_passwd", "token", "access_token", "secret"];

/// The parameters of a query string or form, all of them text.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<(String, String)>> {
    let pairs = text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let name = decode(&pair[..equals]).ok_or_else(|| Error::invalid("query", "must be UTF-8"))?;
            let value = decode(pair.get(equals + 1..).unwrap_or_default());
            let value = value.ok_or_else(|| Error::invalid(name.clone(), "must be UTF-8"))?;
            Ok((name, value))
        })
        .collect()
}

fn decode(text: &[u8]) -> Option<String> {
    let text: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    if !text.contains(&b'%') {
        return String::from_utf8(text).ok();
    }
    percent_decode(&text).decode_utf8().ok().map(Cow::into_owned)
}

/// Whether a parameter of this name carries a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}

/// Refuses secrets in a query string.
pub(crate) fn refuse_secrets(pairs: &[(String, String)]) -> Result<()> {
    match pairs.iter().find(|(name, _)| is_secret(name)) {
        Some((name, _)) => Err(Error::invalid(name.clone(), "is not accepted in a query string")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_refuses() {
        let pairs = parse("a=1&b=x+y%26&&c&d=%E4%B8%AD".as_bytes()).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x y&"), ("c", ""), ("d", "中")]);
        assert_eq!(parse(b"value=%ff").unwrap_err().to_string(), "value: must be UTF-8");
        assert!(refuse_secrets(&parse(b"password=x").unwrap()).is_err());
    }
}
