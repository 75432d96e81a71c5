//! Domain index: finds the registered domain that a host belongs to.

use memchr::memchr;
use rustc_hash::FxHashMap;

/// Longest name that DNS allows, in bytes.
pub(crate) const MAX_NAME: usize = 253;

/// Number of a registered domain. The caller chooses it, and the domain's figures are handed back under it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainNumber(pub i64);

/// Registered domains by name. Hosts of a log are looked up in lower case, without port and trailing dot.
#[derive(Debug, Clone, Default)]
pub struct DomainIndex {
    /// By normalised name: an index into `numbers`.
    slots: FxHashMap<Box<[u8]>, usize>,
    numbers: Vec<DomainNumber>,
}

impl DomainIndex {
    /// Builds the index. A name given twice belongs to the last number; a name longer than DNS allows is left out.
    pub fn new<N: AsRef<str>>(domains: impl IntoIterator<Item = (N, DomainNumber)>) -> Self {
        let mut all = Self::default();
        for (name, number) in domains {
            let mut buffer = [0; MAX_NAME];
            if let Some(name) = normalised(name.as_ref().as_bytes(), &mut buffer) {
                all.slots.insert(name.into(), all.numbers.len());
                all.numbers.push(number);
            }
        }
        all
    }

    /// Finds the domain of a host as it is written in a log.
    pub fn find(&self, host: &[u8]) -> Option<DomainNumber> {
        self.slot(host).map(|slot| self.numbers[slot])
    }

    /// Index of the domain of `host` in [`Self::numbers`].
    pub(crate) fn slot(&self, host: &[u8]) -> Option<usize> {
        // Nearly every host is written in its normal form.
        if let Some(&slot) = self.slots.get(host) {
            return Some(slot);
        }
        self.slots.get(normalised(host, &mut [0; MAX_NAME])?).copied()
    }

    pub(crate) fn numbers(&self) -> &[DomainNumber] {
        &self.numbers
    }
}

/// Host in lower case, without port and trailing dot; nothing if that is empty or too long.
pub(crate) fn normalised<'a>(host: &[u8], buffer: &'a mut [u8; MAX_NAME]) -> Option<&'a [u8]> {
    let end = if host.first() == Some(&b'[') {
        memchr(b']', host)? + 1
    } else {
        memchr(b':', host).unwrap_or(host.len())
    };
    let host = &host[..end];
    let host = host.strip_suffix(b".").unwrap_or(host);
    let name = buffer.get_mut(..host.len()).filter(|name| !name.is_empty())?;
    name.copy_from_slice(host);
    name.make_ascii_lowercase();
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_port_and_trailing_dot_do_not_matter() {
        let domains = [("A.example.com.", 1), ("b.example.com", 2), ("[::1]", 3)];
        let domains = DomainIndex::new(domains.map(|(name, number)| (name, DomainNumber(number))));
        for (host, number) in [
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
            assert_eq!(domains.find(host.as_bytes()), number.map(DomainNumber), "{host}");
        }
        assert_eq!(domains.find(&[b'a'; 10_000]), None);
    }
}
