//! The providers that settings ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use pilothouse_core::ports::{CdnProvider, EdgeControl, Providers};
use pilothouse_core::{Error, Result};
use serde::Deserialize;

/// One cdn of the settings; `kind` says which provider is behind it. An unknown key is an error that names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum CdnSettings {
    /// Servers of one's own.
    #[cfg(feature = "edges")]
    Edges(crate::EdgesSettings),
}

impl CdnSettings {
    /// What users see the cdn as.
    pub fn name(&self) -> &str {
        match self {
            #[cfg(feature = "edges")]
            Self::Edges(settings) => &settings.name,
        }
    }
}

/// Sets up every provider. Refuses settings that cannot work, and two cdns of one name.
pub fn providers(settings: impl IntoIterator<Item = CdnSettings>) -> Result<Providers> {
    let mut providers: BTreeMap<String, Arc<dyn CdnProvider>> = BTreeMap::new();
    let mut controls: BTreeMap<String, Arc<dyn EdgeControl>> = BTreeMap::new();
    for settings in settings {
        let name = settings.name().to_owned();
        let provider: Arc<dyn CdnProvider> = match settings {
            #[cfg(feature = "edges")]
            CdnSettings::Edges(settings) => {
                let edges = Arc::new(crate::Edges::new(settings)?);
                controls.insert(name.clone(), edges.clone());
                edges
            }
        };
        if providers.insert(name.clone(), provider).is_some() {
            return Err(Error::invalid("cdn.name", format!("{name} is given twice")));
        }
    }
    Ok(Providers::from_iter(providers).with_controls(controls))
}
