//! Figures alone: no lines kept, no log recognised.

use memchr::memchr_iter;

use crate::aggregate::Aggregator;
use crate::feeder::check;
use crate::{Cell, CityCell, Counters, Rules, RulesError};

/// Adds up what lines say and keeps nothing of them. Who needs the lines again, or may see the same log twice, uses a
/// [`crate::Feeder`].
///
/// ```
/// use pilothouse_access_log::{Counter, Domains, Format, Rules};
///
/// let domains = Domains::new([("a.example.com", 7)]);
/// let rules = Rules { format: Format::Tsv, domains: &domains, default_domain: None, cities: None,
///     timezone: chrono_tz::Asia::Shanghai };
/// let mut counter = Counter::new(&rules)?;
/// let log = b"1795237945.037\ta.example.com\t200\t235\t127.0.0.1\tMISS\t0.000\tGET\t/b\n1795237945.0";
/// assert_eq!(counter.count(log), 65, "the second line has not ended");
/// let counted = counter.take();
/// assert_eq!((counted.cells[0].flux, counted.counters.billed), (235, 1));
/// # Ok::<_, pilothouse_access_log::RulesError>(())
/// ```
#[derive(Debug)]
pub struct Counter<'a>(Aggregator<'a>);

/// What a [`Counter`] added up since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// What became of the lines; `kept` are those that a [`crate::Feeder`] would have kept.
    pub counters: Counters,
    /// The traffic; a pair of domain and bucket occurs once.
    pub cells: Vec<Cell>,
    /// The traffic by city; empty if [`Rules::cities`] is none.
    pub cities: Vec<CityCell>,
}

impl<'a> Counter<'a> {
    /// Starts at zero; refuses rules that contradict each other.
    pub fn new(rules: &Rules<'a>) -> Result<Self, RulesError> {
        check(rules)?;
        Ok(Self(Aggregator::new(rules)))
    }

    /// Counts the whole lines that `text` begins with, and says how many bytes they are.
    pub fn count(&mut self, text: &[u8]) -> usize {
        let mut start = 0;
        for end in memchr_iter(b'\n', text) {
            self.0.count(&text[start..=end]);
            start = end + 1;
        }
        start
    }

    /// Hands out the sums and starts at zero again.
    pub fn take(&mut self) -> Counted {
        let sums = self.0.take();
        Counted { counters: sums.counters, cells: sums.cells, cities: sums.cities }
    }
}
