//! Client address of a request behind proxies, which throttling and the audit trail count by.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The peer's address; or, when the peer is a trusted proxy, the last address in `forwarded` that is none.
///
/// `forwarded` are the values of the headers `X-Forwarded-For` in their order. An address that cannot be read hides what is
/// left of it.
pub fn client_address<'a>(
    peer: Option<IpAddr>,
    forwarded: impl IntoIterator<Item = &'a [u8]>,
    is_trusted: impl Fn(&IpAddr) -> bool,
) -> Option<IpAddr> {
    let peer = peer?.to_canonical();
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let hops: Vec<&[u8]> =
        forwarded.into_iter().flat_map(|value| value.split(|byte| *byte == b',')).collect();
    let mut address = peer;
    // What a client wrote itself stands left of what proxies added, whatever bytes it is of.
    for hop in hops.into_iter().rev() {
        let Some(hop) = forwarded_address(hop) else { break };
        address = hop;
        if !is_trusted(&address) {
            break;
        }
    }
    Some(address)
}

/// An address as proxies write it: alone, with a port, or in brackets.
fn forwarded_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let alone = hop.parse::<IpAddr>().ok();
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    alone.or_else(bracketed).or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_private(address: &IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if address.is_private())
    }

    fn client(peer: &str, forwarded: &[&[u8]], is_trusted: impl Fn(&IpAddr) -> bool) -> String {
        let peer = Some(peer.parse().unwrap());
        client_address(peer, forwarded.iter().copied(), is_trusted).unwrap().to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let forwarded: [&[u8]; 1] = [b"6.6.6.6, 203.0.113.9, 10.0.0.2"];
        assert_eq!(client("198.51.100.7", &forwarded, is_private), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &forwarded, |_| false), "10.0.0.1");
        let behind = client("10.0.0.1", &forwarded, is_private);
        assert_eq!(behind, "203.0.113.9", "what a client wrote itself is left of that");
    }

    #[test]
    fn forwarded_addresses_have_many_forms() {
        for (value, expected) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 10.0.0.2:80", "203.0.113.9"),
            ("\u{fc}\u{fc}, 203.0.113.9", "203.0.113.9"),
            ("unknown, 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, unknown", "10.0.0.1"),
            ("203.0.113.9, unknown, 10.0.0.3", "10.0.0.3"),
        ] {
            assert_eq!(client("10.0.0.1", &[value.as_bytes()], is_private), expected, "{value}");
        }
        let two: [&[u8]; 2] = [b"\xff", b"\xfe, 203.0.113.9"];
        assert_eq!(client("10.0.0.1", &two, is_private), "203.0.113.9");
    }
}
