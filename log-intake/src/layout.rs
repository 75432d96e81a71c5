//! Layout of an edge's log: the format of its lines, and the domain of those that name no host.

use std::sync::Arc;

use chrono_tz::Tz;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{CityLookup, DomainIndex, Format, Rules, Stamp};
use pilothouse_core::cdn::domain_name;

/// Layout of the log of an edge.
#[derive(Clone, Debug)]
pub struct LogLayout {
    format: Format,
    domain: Option<String>,
    stamp: Stamp,
}

impl LogLayout {
    /// Layout with lines of this format.
    pub fn new(format: Format) -> Self {
        Self { format, domain: None, stamp: Stamp::default() }
    }

    /// Sets the domain that the lines belong to. [`Format::Combined`] needs one, since it names no host; the other formats
    /// ignore it, but it must be one of the cdn's domains.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets which moment of a request the time of its line is; the end by default, as nginx writes it.
    #[must_use]
    pub fn stamp(mut self, stamp: Stamp) -> Self {
        self.stamp = stamp;
        self
    }

    /// Options of reading, as they are compared when the log is to be forgotten again.
    pub(crate) fn undo_options(&self) -> String {
        let Self { format, domain, stamp } = self;
        match domain {
            Some(domain) => format!("--format {format} --domain {domain} (stamped at the {stamp})"),
            None => format!("--format {format} (stamped at the {stamp})"),
        }
    }

    pub(crate) fn rules<'a>(
        &'a self,
        domains: &'a DomainIndex,
        cities: Option<&'a Arc<CityDatabase>>,
        timezone: Tz,
    ) -> Rules<'a> {
        Rules {
            format: self.format,
            domains,
            default_domain: self.domain.as_deref(),
            cities: cities.map(|cities| &**cities as &dyn CityLookup),
            keeps_unregistered: Some(|host| domain_name("host", host).is_ok()),
            timezone,
            stamp: self.stamp,
        }
    }
}
