//! Providers of a process, by the name of their cdn.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checked::CheckedProvider;
use super::{CdnProvider, EdgeControl};

/// The providers by the name of their cdn, each of which is only called for what its capabilities name. Cheap to clone.
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

impl FromIterator<(String, Arc<dyn CdnProvider>)> for Providers {
    fn from_iter<I: IntoIterator<Item = (String, Arc<dyn CdnProvider>)>>(providers: I) -> Self {
        let checked = providers.into_iter().map(|(cdn, provider)| {
            let checked: Arc<dyn CdnProvider> = Arc::new(CheckedProvider { cdn: cdn.clone(), provider });
            (cdn, checked)
        });
        Self(Arc::new(checked.collect()), Arc::default())
    }
}
