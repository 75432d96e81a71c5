//! CDN settings, and the providers built from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use pilothouse_core::ports::{CdnProvider, EdgeControl, Providers};
use pilothouse_core::{Error, Result};
use serde::Deserialize;

/// Settings of one CDN, of the provider kind that the field `kind` names. Deserializing refuses unknown fields.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum CdnSettings {
    /// Kind `edges`: your own Varnish and nginx servers.
    #[cfg(feature = "edges")]
    Edges(crate::EdgesSettings),
    /// Kind `tencent`: Tencent Cloud CDN.
    #[cfg(feature = "tencent")]
    Tencent(crate::TencentSettings),
    /// Kind `alibaba`: Alibaba Cloud CDN.
    #[cfg(feature = "alibaba")]
    Alibaba(crate::AlibabaSettings),
    /// Kind `cloudflare`: zones of Cloudflare.
    #[cfg(feature = "cloudflare")]
    Cloudflare(crate::CloudflareSettings),
    /// Kind `cloudfront`: distributions of Amazon CloudFront.
    #[cfg(feature = "cloudfront")]
    CloudFront(crate::CloudFrontSettings),
}

/// Provider of a CDN, with the control of its edges if they need serving leases.
type ProviderAndControl = (Arc<dyn CdnProvider>, Option<Arc<dyn EdgeControl>>);

impl CdnSettings {
    /// Name of the CDN, as users see it.
    pub fn name(&self) -> &str {
        match *self {
            #[cfg(feature = "edges")]
            Self::Edges(ref settings) => &settings.name,
            #[cfg(feature = "tencent")]
            Self::Tencent(ref settings) => &settings.name,
            #[cfg(feature = "alibaba")]
            Self::Alibaba(ref settings) => &settings.name,
            #[cfg(feature = "cloudflare")]
            Self::Cloudflare(ref settings) => &settings.name,
            #[cfg(feature = "cloudfront")]
            Self::CloudFront(ref settings) => &settings.name,
        }
    }

    fn build(self) -> Result<ProviderAndControl> {
        match self {
            #[cfg(feature = "edges")]
            Self::Edges(settings) => {
                let edges = Arc::new(crate::Edges::new(settings)?);
                Ok((edges.clone(), Some(edges)))
            }
            #[cfg(feature = "tencent")]
            Self::Tencent(settings) => Ok((Arc::new(crate::Tencent::new(settings)?), None)),
            #[cfg(feature = "alibaba")]
            Self::Alibaba(settings) => Ok((Arc::new(crate::Alibaba::new(settings)?), None)),
            #[cfg(feature = "cloudflare")]
            Self::Cloudflare(settings) => Ok((Arc::new(crate::Cloudflare::new(settings)?), None)),
            #[cfg(feature = "cloudfront")]
            Self::CloudFront(settings) => Ok((Arc::new(crate::CloudFront::new(settings)?), None)),
        }
    }
}

/// Builds the provider of every CDN. Refuses invalid settings, and two CDNs of the same name.
pub fn providers(settings: impl IntoIterator<Item = CdnSettings>) -> Result<Providers> {
    let mut providers: BTreeMap<String, Arc<dyn CdnProvider>> = BTreeMap::new();
    let mut controls: BTreeMap<String, Arc<dyn EdgeControl>> = BTreeMap::new();
    for settings in settings {
        let name = settings.name().to_owned();
        let (provider, control) = settings.build()?;
        if let Some(control) = control {
            controls.insert(name.clone(), control);
        }
        if providers.insert(name.clone(), provider).is_some() {
            return Err(Error::invalid("cdn.name", format!("{name} is given twice")));
        }
    }
    Ok(Providers::from_iter(providers).with_controls(controls))
}
