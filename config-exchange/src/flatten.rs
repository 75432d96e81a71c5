//! Flattening of nested data to dotted keys: `a: {b: [x]}` is `a.b[0]`.

/// Key of a document that is no map.
pub(crate) const DOCUMENT: &str = "document";

/// Whether a key is longer than any that is kept. Each repeats what stands above it, so that without a limit a small file could
/// make keys longer than any memory.
pub(crate) fn is_too_long(path: &str) -> bool {
    path.len() > 4096
}

/// Key of a map's member within the map at `path`. One that begins with a bracket is joined without a dot.
pub(crate) fn member(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        _ if key.starts_with('[') => format!("{path}{key}"),
        _ => format!("{path}.{key}"),
    }
}

/// Key of a list's element within the list at `path`, counted from 0.
pub(crate) fn element(path: &str, index: usize) -> String {
    let path = if path.is_empty() { DOCUMENT } else { path };
    format!("{path}[{index}]")
}

/// A floating-point number as Java writes it: `1.0E10`.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_joined() {
        assert_eq!(member("", "a"), "a");
        assert_eq!(member("a", "b"), "a.b");
        assert_eq!(member("paths", "[/x]"), "paths[/x]");
        assert_eq!(element("a", 0), "a[0]");
        assert_eq!(element("", 1), "document[1]");
    }

    #[test]
    fn floats_are_written_as_in_java() {
        for (number, text) in [
            (1000.0, "1000.0"),
            (1.5, "1.5"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.001, "0.001"),
            (0.000_12, "1.2E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.25e300, "1.25E300"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float(number), text);
        }
    }
}
