//! Parsing rules: the format of the lines, the registered domains, and the zone that days begin in.

use chrono_tz::Tz;

use crate::{CityLookup, DomainIndex, Format, Stamp};

/// Rules that lines are parsed and counted by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Format of the lines.
    pub format: Format,
    /// Registered domains. Lines of other hosts are counted as unregistered and neither billed nor kept with theirs.
    pub domains: &'a DomainIndex,
    /// Domain that the lines of [`Format::Combined`] belong to, by a name among `domains`. The other formats name their
    /// hosts.
    pub default_domain: Option<&'a str>,
    /// City look-up of client addresses; without it there is no traffic by city.
    pub cities: Option<&'a dyn CityLookup>,
    /// Whether lines of an unregistered host are kept aside, by its name in lower case; without it none are.
    pub keeps_unregistered: Option<fn(&str) -> bool>,
    /// Time zone that days begin in.
    pub timezone: Tz,
    /// Moment of a request that its time is. The bytes of a response are spread from its begin to its end, where the format has the
    /// duration.
    pub stamp: Stamp,
}

/// Contradiction within [`Rules`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// [`Format::Combined`] without a default domain.
    #[error("the format combined names no host, so a domain must be given")]
    DomainNeeded,
    /// Default domain that is not registered.
    #[error("the domain {0:?} is not registered")]
    DomainUnknown(String),
}

impl Rules<'_> {
    pub(crate) fn check(&self) -> Result<(), RulesError> {
        match self.default_domain {
            None if self.format == Format::Combined => Err(RulesError::DomainNeeded),
            Some(name) if self.domains.find(name.as_bytes()).is_none() => {
                Err(RulesError::DomainUnknown(name.to_owned()))
            }
            _ => Ok(()),
        }
    }
}
