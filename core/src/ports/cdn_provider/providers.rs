//! Providers of a process, by the name of their cdn.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::measured::MeasuredProvider;
use super::{CdnProvider, EdgeControl};

/// The providers by the name of their cdn. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Providers(
    Arc<BTreeMap<String, Arc<dyn CdnProvider>>>,
    Arc<BTreeMap<String, Arc<dyn EdgeControl>>>,
);

impl Providers {
    /// The provider of a cdn.
    pub fn get(&self, cdn: &str) -> Option<&Arc<dyn CdnProvider>> {
        self.0.get(cdn)
    }

    /// Sets the lease control of the cdns whose edges need one.
    #[must_use]
    pub fn with_controls(self, controls: BTreeMap<String, Arc<dyn EdgeControl>>) -> Self {
        Self(self.0, Arc::new(controls))
    }

    /// The lease control of a cdn's edges; `None` if they need no leases.
    pub fn control(&self, cdn: &str) -> Option<&Arc<dyn EdgeControl>> {
        self.1.get(cdn)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn CdnProvider>)> {
        self.0.iter().map(|(name, provider)| (name.as_str(), provider))
    }
}

/// The provider, with metrics of its calls where it is a vendor's.
fn measured(provider: Arc<dyn CdnProvider>) -> Arc<dyn CdnProvider> {
    if provider.capabilities().is_vendor { Arc::new(MeasuredProvider(provider)) } else { provider }
}

impl FromIterator<(String, Arc<dyn CdnProvider>)> for Providers {
    fn from_iter<I: IntoIterator<Item = (String, Arc<dyn CdnProvider>)>>(providers: I) -> Self {
        let measured = providers.into_iter().map(|(name, provider)| (name, measured(provider)));
        Self(Arc::new(measured.collect()), Arc::default())
    }
}
