//! Which hosts are whose.

use crate::DomainId;
use memchr::memchr;
use rustc_hash::FxHashMap;

/// The longest name DNS knows, in bytes.
const LONGEST: usize = 253;

/// The registered domains. Hosts of a log are compared with them in lower case, without port and trailing dot.
#[derive(Debug, Clone, Default)]
pub struct Domains {
    slots: FxHashMap<Box<[u8]>, usize>,
    ids: Vec<DomainId>,
}

impl Domains {
    /// The domains with the identifiers their figures are handed back under. A name given twice belongs to the last.
    pub fn new<N: AsRef<str>>(domains: impl IntoIterator<Item = (N, DomainId)>) -> Self {
        let mut all = Self::default();
        for (name, id) in domains {
            let mut buffer = [0; LONGEST];
            if let Some(name) = normal(name.as_ref().as_bytes(), &mut buffer) {
                all.slots.insert(name.into(), all.ids.len());
                all.ids.push(id);
            }
        }
        all
    }

    /// The domain a host as written in a log belongs to.
    pub fn find(&self, host: &[u8]) -> Option<DomainId> {
        self.slot(host).map(|slot| self.ids[slot])
    }

    /// A small number for the domain of `host`, to index by.
    pub(crate) fn slot(&self, host: &[u8]) -> Option<usize> {
        // Nearly every host is written in its normal form.
        if let Some(&slot) = self.slots.get(host) {
            return Some(slot);
        }
        self.slots.get(normal(host, &mut [0; LONGEST])?).copied()
    }

    pub(crate) fn ids(&self) -> &[DomainId] {
        &self.ids
    }
}

fn normal<'a>(host: &[u8], buffer: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
    let end = if host.first() == Some(&b'[') {
        memchr(b']', host)? + 1
    } else {
        memchr(b':', host).unwrap_or(host.len())
    };
    let host = &host[..end];
    let host = host.strip_suffix(b".").unwrap_or(host);
    let normal = buffer.get_mut(..host.len()).filter(|host| !host.is_empty())?;
    normal.copy_from_slice(host);
    normal.make_ascii_lowercase();
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_port_and_trailing_dot_do_not_matter() {
        let domains = Domains::new([("A.example.com.", 1), ("b.example.com", 2), ("[::1]", 3)]);
        for (host, id) in [
            ("a.example.com", Some(1)),
            ("A.EXAMPLE.com:8080", Some(1)),
            ("b.example.com.:443", Some(2)),
            ("[::1]:80", Some(3)),
            ("b.example.com..", None),
            ("c.example.com", None),
            ("", None),
            (":80", None),
            ("[", None),
        ] {
            assert_eq!(domains.find(host.as_bytes()), id, "{host}");
        }
        assert_eq!(domains.find(&[b'a'; 10_000]), None);
    }
}
