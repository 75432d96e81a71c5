//! Namespaces: which keys they stand for.

/// Namespace that holds the keys of no other.
pub(super) const TOP: &str = "application";

/// Key under which a namespace that is one text holds it.
pub(super) const CONTENT: &str = "content";

/// File extensions of namespaces that are one text.
const FILES: [&str; 5] = ["json", "yml", "yaml", "xml", "txt"];

/// Whether a namespace of this name is one text.
pub(super) fn is_file(namespace: &str) -> bool {
    let extension = namespace.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| FILES.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// Key of an item of a namespace.
pub(super) fn key(namespace: &str, item: &str) -> String {
    if namespace == TOP {
        item.to_owned()
    } else if is_file(namespace) {
        namespace.to_owned()
    } else {
        format!("{namespace}/{item}")
    }
}

/// Namespace and item of a key, so that [`key`] makes the same key of them.
pub(super) fn place(key: &str) -> (&str, &str) {
    match key.split_once('/') {
        None if is_file(key) && is_name(key) => (key, CONTENT),
        Some((namespace, item))
            if is_name(namespace) && !is_file(namespace) && namespace != TOP && !item.is_empty() =>
        {
            (namespace, item)
        }
        // What no other namespace can hold.
        _ => (TOP, key),
    }
}

/// Whether Apollo admits a namespace of this name.
fn is_name(name: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && !matches!(name, "." | "..") && name.bytes().all(of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_place() {
        for (name, namespace, item) in [
            ("http.port", "application", "http.port"),
            ("routes.yaml", "routes.yaml", "content"),
            ("DEMO.shared/timeout", "DEMO.shared", "timeout"),
            ("db/pool/size", "db", "pool/size"),
            ("application/x", "application", "application/x"),
            ("a.json/x", "application", "a.json/x"),
            ("/x", "application", "/x"),
            ("x/", "application", "x/"),
            ("größe/x", "application", "größe/x"),
            ("db.properties/x", "db.properties", "x"),
        ] {
            assert_eq!(place(name), (namespace, item));
            assert_eq!(key(namespace, item), name);
        }
    }
}
