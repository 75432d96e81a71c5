//! Domain index: finds the registered domain that a host belongs to.

use memchr::memchr;
use rustc_hash::{FxHashMap, FxHashSet};

/// Longest name that DNS allows, in bytes.
pub(crate) const MAX_NAME: usize = 253;

/// Number of a registered domain. The caller chooses it, and the domain's figures are handed back under it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainNumber(pub i64);

/// Domain that somebody else had before: lines of its time stay with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerDomain<N> {
    /// Name of the domain.
    pub name: N,
    /// Number of the domain while it was the former owner's.
    pub number: DomainNumber,
    /// Begin of that time in unix seconds.
    pub since: i64,
    /// End of that time in unix seconds, the first that is no longer part of it.
    pub until: i64,
}

/// Time in which the lines of a slot's host belong to the slot's number, in unix seconds.
#[derive(Debug, Clone, Copy)]
struct Span {
    since: i64,
    until: i64,
    /// Slot of the same name and another time.
    other: Option<usize>,
}

impl Span {
    /// Whether the number has the domain still.
    fn is_open(self) -> bool {
        self.until == i64::MAX
    }
}

/// Registered domains by name. Hosts of a log are looked up in lower case, without port and trailing dot.
#[derive(Debug, Clone, Default)]
pub struct DomainIndex {
    /// By normalised name: an index into `numbers` and `spans`, that of the present owner where there is one.
    slots: FxHashMap<Box<[u8]>, usize>,
    numbers: Vec<DomainNumber>,
    spans: Vec<Span>,
    /// Whether a domain was somebody else's before.
    has_former: bool,
    /// Normalised names of which no line is dropped.
    listed: FxHashSet<Box<[u8]>>,
}

impl DomainIndex {
    /// Builds the index. A name given twice belongs to the last number; a name longer than DNS allows is left out.
    pub fn new<N: AsRef<str>>(domains: impl IntoIterator<Item = (N, DomainNumber)>) -> Self {
        let mut all = Self::default();
        for (name, number) in domains {
            let mut buffer = [0; MAX_NAME];
            if let Some(name) = normalised(name.as_ref().as_bytes(), &mut buffer) {
                let slot = all.push(number, Span { since: i64::MIN, until: i64::MAX, other: None });
                all.slots.insert(name.into(), slot);
            }
        }
        all
    }

    /// Adds the times in which domains were others'. Those of one name must not overlap; later lines are its present owner's.
    #[must_use]
    pub fn with_former<N: AsRef<str>>(mut self, former: impl IntoIterator<Item = FormerDomain<N>>) -> Self {
        for FormerDomain { name, number, since, until } in former {
            let mut buffer = [0; MAX_NAME];
            let Some(name) = normalised(name.as_ref().as_bytes(), &mut buffer) else { continue };
            let head = self.slots.get(name).copied();
            let other = head.and_then(|head| self.spans[head].other);
            let slot = self.push(number, Span { since, until, other });
            self.has_former = true;
            match head {
                None => {
                    self.slots.insert(name.into(), slot);
                }
                Some(head) => {
                    let head = &mut self.spans[head];
                    head.other = Some(slot);
                    if head.is_open() {
                        head.since = head.since.max(until);
                    }
                }
            }
        }
        self
    }

    /// Adds hosts of which no line is dropped, however many hosts are unregistered.
    #[must_use]
    pub fn with_listed<N: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = N>) -> Self {
        for host in hosts {
            if let Some(name) = normalised(host.as_ref().as_bytes(), &mut [0; MAX_NAME]) {
                self.listed.insert(name.into());
            }
        }
        self
    }

    /// Whether no line of a host is dropped, by its normalised name.
    pub(crate) fn is_listed(&self, name: &[u8]) -> bool {
        self.listed.contains(name)
    }

    fn push(&mut self, number: DomainNumber, span: Span) -> usize {
        self.numbers.push(number);
        self.spans.push(span);
        self.numbers.len() - 1
    }

    /// Finds the domain that a host is now, as it is written in a log.
    pub fn find(&self, host: &[u8]) -> Option<DomainNumber> {
        self.slot(host).filter(|slot| self.spans[*slot].is_open()).map(|slot| self.numbers[slot])
    }

    /// Slot of the same name as `slot` that lines of a time belong to.
    #[inline]
    pub(crate) fn slot_at(&self, slot: usize, time: i64) -> Option<usize> {
        if self.has_former { self.former_slot_at(slot, time) } else { Some(slot) }
    }

    fn former_slot_at(&self, slot: usize, time: i64) -> Option<usize> {
        let mut next = Some(slot);
        while let Some(slot) = next {
            let span = &self.spans[slot];
            if (span.since..span.until).contains(&time) {
                return Some(slot);
            }
            next = span.other;
        }
        None
    }

    /// Index of a domain of the name `host` in [`Self::numbers`], which [`Self::slot_at`] leads on from.
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

    #[test]
    fn a_line_belongs_to_the_owner_of_its_time() {
        let former =
            |name, number, since, until| FormerDomain { name, number: DomainNumber(number), since, until };
        let domains = DomainIndex::new([("a.test", DomainNumber(3)), ("b.test", DomainNumber(4))])
            .with_former([
                former("a.test", 1, 0, 100),
                former("A.test.", 2, 100, 200),
                former("gone.test", 5, 0, 50),
                former("gone.test", 6, 50, 70),
            ]);
        for (host, time, number) in [
            ("a.test", 0, Some(1)),
            ("a.test", 99, Some(1)),
            ("a.test", 100, Some(2)),
            ("a.test", 199, Some(2)),
            ("a.test", 200, Some(3)),
            ("b.test", 0, Some(4)),
            ("gone.test", 49, Some(5)),
            ("gone.test", 69, Some(6)),
            ("gone.test", 70, None),
        ] {
            let slot = domains.slot(host.as_bytes()).and_then(|slot| domains.slot_at(slot, time));
            let found = slot.map(|slot| domains.numbers()[slot]);
            assert_eq!(found, number.map(DomainNumber), "{host} at {time}");
        }
        assert_eq!(domains.find(b"a.test"), Some(DomainNumber(3)));
        assert_eq!(domains.find(b"gone.test"), None, "nobody has it now");
    }
}
