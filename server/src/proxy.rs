//! Proxies whose word on the address of a client is taken.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// An address or a block of addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxy(pub(crate) IpNet);

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let block = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        block
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("{text} is neither an address nor a block")))
    }
}
