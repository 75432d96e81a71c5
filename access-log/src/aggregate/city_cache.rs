//! City cache: the cities of recently seen client addresses, in bounded memory.

use std::net::{IpAddr, Ipv4Addr};

use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

use crate::{CityKey, CityLookup};

/// Cache entries, powers of two: 512 KiB for IPv4 and 192 KiB for IPv6, however many visitors there are.
const ENTRIES_V4: usize = 1 << 16;
const ENTRIES_V6: usize = 1 << 13;

/// Direct-mapped cache in front of a [`CityLookup`]: an address has one entry, and the newest there replaces the others.
#[derive(Debug)]
pub(super) struct CityCache<'a> {
    cities: &'a dyn CityLookup,
    v4: Box<[(u32, CityKey)]>,
    v6: Box<[(u128, CityKey)]>,
}

impl<'a> CityCache<'a> {
    pub(super) fn new(cities: &'a dyn CityLookup) -> Self {
        // An all-zero address stands for an empty entry, and is in no city.
        Self {
            cities,
            v4: vec![(0, CityKey::UNKNOWN); ENTRIES_V4].into(),
            v6: vec![(0, CityKey::UNKNOWN); ENTRIES_V6].into(),
        }
    }

    /// City of an address as it is written in a log; [`CityKey::UNKNOWN`] if it is no address.
    #[inline]
    pub(super) fn city(&mut self, address: &[u8]) -> CityKey {
        if let Some(v4) = parse_v4(address) {
            return self.city_v4(v4);
        }
        let Some(address) = first_address(address) else { return CityKey::UNKNOWN };
        match address.to_canonical() {
            IpAddr::V4(address) => self.city_v4(address.to_bits()),
            IpAddr::V6(address) => {
                cached(&mut self.v6, address.to_bits(), || self.cities.city(address.into()))
            }
        }
    }

    #[inline]
    fn city_v4(&mut self, bits: u32) -> CityKey {
        cached(&mut self.v4, bits, || self.cities.city(Ipv4Addr::from_bits(bits).into()))
    }
}

/// First address of a list, perhaps quoted, without the port that may follow it.
fn first_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_start_matches(['"', ' ']);
    let first = text.split([',', '"', ' ']).next()?;
    let address = match first.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => match first.split_once(':') {
            Some((address, port)) if !port.contains(':') => address,
            _ => first,
        },
    };
    address.parse().ok()
}

#[inline]
fn cached<K: Copy + Default + PartialEq + std::hash::Hash>(
    entries: &mut [(K, CityKey)],
    address: K,
    look_up: impl FnOnce() -> CityKey,
) -> CityKey {
    // The high bits of the hash are the well mixed ones.
    let hash = usize::try_from(FxBuildHasher.hash_one(address) >> 40).unwrap_or_default();
    let entry = &mut entries[hash & (entries.len() - 1)];
    if entry.0 != address || address == K::default() {
        *entry = (address, look_up());
    }
    entry.1
}

/// Parses dotted decimal, each part 0 to 255 without leading zeros: the result of the standard library, but faster.
#[inline]
fn parse_v4(text: &[u8]) -> Option<u32> {
    let (mut bits, mut part, mut digits, mut dots) = (0_u32, 0_u32, 0, 0);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            if digits > 0 && part == 0 {
                return None;
            }
            part = part * 10 + u32::from(digit);
            digits += 1;
            if part > 255 {
                return None;
            }
        } else if byte == b'.' && digits > 0 && dots < 3 {
            bits = bits << 8 | part;
            (part, digits, dots) = (0, 0, dots + 1);
        } else {
            return None;
        }
    }
    (dots == 3 && digits > 0).then_some(bits << 8 | part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Look-up in which every address is a city of its own; counts its calls.
    #[derive(Debug, Default)]
    struct CountingLookup(AtomicUsize);

    impl CityLookup for CountingLookup {
        fn city(&self, address: IpAddr) -> CityKey {
            self.0.fetch_add(1, Ordering::Relaxed);
            match address {
                IpAddr::V4(address) => CityKey(address.to_bits() | 1),
                IpAddr::V6(address) => CityKey(u32::from(address.segments()[7]) | 1),
            }
        }
    }

    #[test]
    fn an_address_is_looked_up_once_and_never_mistaken_for_another() {
        let lookup = CountingLookup::default();
        let mut cache = CityCache::new(&lookup);
        for _ in 0..3 {
            assert_eq!(cache.city(b"1.2.3.4"), CityKey(0x0102_0305));
            assert_eq!(cache.city(b"::ffff:1.2.3.4"), CityKey(0x0102_0305));
            assert_eq!(cache.city(b"2001:db8::7"), CityKey(7));
        }
        assert_eq!(lookup.0.load(Ordering::Relaxed), 2);
        for bits in (0..u32::MAX).step_by(9973) {
            assert_eq!(cache.city(Ipv4Addr::from_bits(bits).to_string().as_bytes()), CityKey(bits | 1));
        }
        for list in
            ["1.2.3.4, 10.0.0.1", "1.2.3.4,", "\"1.2.3.4,", "\"1.2.3.4\"", "1.2.3.4:51234", "1.2.3.4:80, ::1"]
        {
            assert_eq!(cache.city(list.as_bytes()), CityKey(0x0102_0305), "{list}");
        }
        for list in ["[2001:db8::7]:443", "2001:db8::7, 1.2.3.4", "[2001:db8::7]"] {
            assert_eq!(cache.city(list.as_bytes()), CityKey(7), "{list}");
        }
        for bad in [
            ", 1.2.3.4",
            "\"",
            ":80",
            "[",
            "",
            "-",
            "unknown",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "fe80::1%eth0",
            "\u{fffd}",
        ] {
            assert_eq!(cache.city(bad.as_bytes()), CityKey::UNKNOWN, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ipv4_is_parsed_as_the_standard_library_parses_it(text in "[0-9.]{0,16}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
            prop_assert_eq!(parse_v4(text.as_bytes()), text.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits));
        }
    }
}
