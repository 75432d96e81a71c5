//! Scalars of YAML 1.1: what a plain word means.

use crate::flatten::float;

/// A scalar by its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    /// A truth value, an integer or a floating-point number, as Java writes it.
    Other(String),
    Null,
}

impl Scalar {
    /// Meaning of a plain scalar. Dates stay text.
    pub(crate) fn plain(text: &str) -> Self {
        if is_null(text) {
            return Self::Null;
        }
        match boolean(text).or_else(|| integer(text)).or_else(|| floating(text)) {
            Some(other) => Self::Other(other),
            None => Self::Text(text.to_owned()),
        }
    }

    /// Meaning of a scalar with a tag of the core schema; `None` where the text is none of that type or the tag is unknown.
    pub(crate) fn tagged(tag: &str, text: &str) -> Option<Self> {
        match tag {
            "str" => Some(Self::Text(text.to_owned())),
            "bool" => boolean(text).map(Self::Other),
            "int" => integer(text).map(Self::Other),
            "float" => {
                let whole = || text.parse().ok().map(float);
                floating(text).or_else(whole).map(Self::Other)
            }
            "null" => Some(Self::Null),
            _ => None,
        }
    }
}

/// Whether a plain scalar is null.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn boolean(text: &str) -> Option<String> {
    let value = match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => "true",
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => "false",
        _ => return None,
    };
    Some(value.to_owned())
}

/// An integer of base 2, 8, 10, 16 or 60, of any length where the base is 10.
fn integer(text: &str) -> Option<String> {
    let (is_negative, digits) = signed(text);
    let magnitude = if let Some(binary) = digits.strip_prefix("0b") {
        with_base(binary.trim_start_matches('_'), 2)?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        with_base(hex.trim_start_matches('_'), 16)?
    } else if digits == "0" {
        "0".to_owned()
    } else if let Some(octal) = digits.strip_prefix('0') {
        with_base(octal.trim_start_matches('_'), 8)?
    } else if digits.contains(':') {
        sexagesimal(digits)?.to_string()
    } else {
        let begins = digits.starts_with(|c: char| c.is_ascii_digit());
        if !begins || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
            return None;
        }
        digits.replace('_', "")
    };
    Some(if is_negative && magnitude != "0" { format!("-{magnitude}") } else { magnitude })
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn with_base(digits: &str, base: u32) -> Option<String> {
    let digits = digits.replace('_', "");
    // A sign would be taken here too.
    let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    all.then(|| u128::from_str_radix(&digits, base).ok()).flatten().map(|number| number.to_string())
}

/// `12:30` is 12 · 60 + 30.
fn sexagesimal(digits: &str) -> Option<u128> {
    let mut parts = digits.split(':');
    let first = parts.next()?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if !is_number(first) || first.starts_with(['0', '_']) {
        return None;
    }
    let mut value: u128 = first.replace('_', "").parse().ok()?;
    for part in parts {
        let within = part.len() <= 2 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let part: u128 = part.parse().ok().filter(|part| within && *part < 60)?;
        value = value.checked_mul(60)?.checked_add(part)?;
    }
    Some(value)
}

fn floating(text: &str) -> Option<String> {
    let (is_negative, digits) = signed(text);
    let sign = if is_negative { -1.0 } else { 1.0 };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(float(sign * f64::INFINITY));
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(float(f64::NAN));
    }
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits = signed(exponent).1;
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let of_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    let has_form = is_exponent
        && of_digits(whole)
        && fraction.is_none_or(of_digits)
        && (begins(whole) || whole.is_empty() && fraction.is_some_and(begins))
        && (fraction.is_some() || exponent.is_some());
    has_form.then(|| digits.replace('_', "").parse::<f64>().ok()).flatten().map(|number| float(sign * number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_in_yaml_1_1() {
        for (text, meaning) in [
            ("yes", "true"),
            ("Off", "false"),
            ("010", "8"),
            ("0x1F", "31"),
            ("-0b101", "-5"),
            ("1_000", "1000"),
            ("12:30", "750"),
            ("1e3", "1000.0"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("-1.", "-1.0"),
            ("+7", "7"),
            (
                "123456789012345678901234567890123456789012345",
                "123456789012345678901234567890123456789012345",
            ),
            ("-.inf", "-Infinity"),
        ] {
            assert_eq!(Scalar::plain(text), Scalar::Other(meaning.to_owned()), "{text}");
        }
        for text in [
            "0o17",
            "1.2.3",
            "10.0.0.1",
            "2024-02-03",
            "08",
            "0x",
            "yEs",
            "12:60",
            "1e",
            "e3",
            "_1",
            ".",
            "-",
        ] {
            assert_eq!(Scalar::plain(text), Scalar::Text(text.to_owned()));
        }
        for text in ["", "~", "null", "NULL"] {
            assert_eq!(Scalar::plain(text), Scalar::Null);
        }
    }

    #[test]
    fn a_tag_decides() {
        assert_eq!(Scalar::tagged("str", "yes"), Some(Scalar::Text("yes".to_owned())));
        assert_eq!(Scalar::tagged("int", "5"), Some(Scalar::Other("5".to_owned())));
        assert_eq!(Scalar::tagged("float", "5"), Some(Scalar::Other("5.0".to_owned())));
        assert_eq!(Scalar::tagged("int", "five"), None);
        assert_eq!(Scalar::tagged("binary", "aGk="), None);
    }
}
