//! Addresses as text, and a bounded memory of where they are.

use std::net::{IpAddr, Ipv4Addr};

use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

use crate::{Cities, CityKey};

/// Places for remembered addresses: 512 KiB for version 4, 192 KiB for version 6, however many visitors there are.
const PLACES_V4: usize = 1 << 16;
const PLACES_V6: usize = 1 << 13;

/// A city look-up that remembers. An address has one place; the newest there wins.
#[derive(Debug)]
pub(super) struct KnownCities<'a> {
    cities: &'a dyn Cities,
    v4: Box<[(u32, CityKey)]>,
    v6: Box<[(u128, CityKey)]>,
}

impl<'a> KnownCities<'a> {
    pub(super) fn new(cities: &'a dyn Cities) -> Self {
        // All-zero addresses stand for empty places, and are in no city.
        Self {
            cities,
            v4: vec![(0, CityKey::UNKNOWN); PLACES_V4].into(),
            v6: vec![(0, CityKey::UNKNOWN); PLACES_V6].into(),
        }
    }

    /// The city of an address as written in a log; unknown if it is no address.
    #[inline]
    pub(super) fn city(&mut self, address: &[u8]) -> CityKey {
        if let Some(v4) = parse_v4(address) {
            return self.city_v4(v4);
        }
        let Some(address) = std::str::from_utf8(address).ok().and_then(|text| text.parse::<IpAddr>().ok())
        else {
            return CityKey::UNKNOWN;
        };
        match address.to_canonical() {
            IpAddr::V4(address) => self.city_v4(address.to_bits()),
            IpAddr::V6(address) => {
                remembered(&mut self.v6, address.to_bits(), || self.cities.city(address.into()))
            }
        }
    }

    #[inline]
    fn city_v4(&mut self, bits: u32) -> CityKey {
        remembered(&mut self.v4, bits, || self.cities.city(Ipv4Addr::from_bits(bits).into()))
    }
}

#[inline]
fn remembered<K: Copy + Default + PartialEq + std::hash::Hash>(
    places: &mut [(K, CityKey)],
    address: K,
    look_up: impl FnOnce() -> CityKey,
) -> CityKey {
    // The high bits are the well mixed ones; the number of places is a power of two.
    let hash = usize::try_from(FxBuildHasher.hash_one(address) >> 40).unwrap_or_default();
    let place = &mut places[hash & (places.len() - 1)];
    if place.0 != address || address == K::default() {
        *place = (address, look_up());
    }
    place.1
}

/// Dotted decimal, each part 0 to 255 without leading zeros, as the standard library reads it but faster.
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

    /// Gives every address a city of its own, and counts how often it was asked.
    #[derive(Debug, Default)]
    struct Every(AtomicUsize);

    impl Cities for Every {
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
        let every = Every::default();
        let mut known = KnownCities::new(&every);
        for _ in 0..3 {
            assert_eq!(known.city(b"1.2.3.4"), CityKey(0x0102_0305));
            assert_eq!(known.city(b"::ffff:1.2.3.4"), CityKey(0x0102_0305));
            assert_eq!(known.city(b"2001:db8::7"), CityKey(7));
        }
        assert_eq!(every.0.load(Ordering::Relaxed), 2);
        for bits in (0..u32::MAX).step_by(9973) {
            assert_eq!(known.city(Ipv4Addr::from_bits(bits).to_string().as_bytes()), CityKey(bits | 1));
        }
        for bad in ["", "-", "unknown", "1.2.3", "1.2.3.4.5", "1.2.3.256", "fe80::1%eth0", "\u{fffd}"] {
            assert_eq!(known.city(bad.as_bytes()), CityKey::UNKNOWN, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn version_4_is_read_as_the_standard_library_reads_it(text in "[0-9.]{0,16}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
            prop_assert_eq!(parse_v4(text.as_bytes()), text.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits));
        }
    }
}
