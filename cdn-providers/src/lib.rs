#![cfg_attr(feature = "edges", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "edges"),
    doc = "CDN providers for Pilothouse, a Cargo feature each; none is enabled in this build."
)]

#[cfg(feature = "alibaba")]
mod alibaba;
#[cfg(feature = "cloudflare")]
mod cloudflare;
#[cfg(feature = "cloudfront")]
mod cloudfront;
#[cfg(feature = "edges")]
mod edge_client;
#[cfg(feature = "edges")]
mod edge_config;
#[cfg(feature = "edges")]
mod edges;
#[cfg(feature = "edges")]
mod preload;
#[cfg(feature = "edges")]
mod purge;
mod secret;
mod settings;
#[cfg(any(feature = "tencent", feature = "alibaba", feature = "cloudfront"))]
pub mod signing;
#[cfg(feature = "edges")]
mod target;
#[cfg(feature = "tencent")]
mod tencent;
#[cfg(any(feature = "alibaba", feature = "cloudflare", feature = "cloudfront", feature = "tencent"))]
mod vendor;

#[cfg(feature = "alibaba")]
pub use alibaba::{Alibaba, AlibabaSettings};
#[cfg(feature = "cloudflare")]
pub use cloudflare::{Cloudflare, CloudflarePlan, CloudflareSettings};
#[cfg(feature = "cloudfront")]
pub use cloudfront::{CloudFront, CloudFrontSettings};
#[cfg(feature = "edges")]
pub use edge_config::{
    CacheRules, DomainPattern, DomainRules, EdgeConfig, ForwardedProto, PerDomain, PrefixTtl,
};
#[cfg(feature = "edges")]
pub use edges::{EdgeKind, EdgeSettings, Edges, EdgesSettings, LogFormat, LogStamp};
pub use secret::SecretSource;
pub use settings::{CdnSettings, providers};
#[cfg(feature = "tencent")]
pub use tencent::{Tencent, TencentSettings};
#[cfg(any(feature = "alibaba", feature = "cloudflare", feature = "cloudfront", feature = "tencent"))]
pub use vendor::FiguresFrom;
