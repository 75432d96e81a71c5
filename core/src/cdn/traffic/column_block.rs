//! Column blocks: sealed days of traffic as bytes, one column per figure and per city.
//!
//! | part | bytes, after a version byte |
//! |---|---|
//! | columns | per column nine groups of 32 buckets: the smallest value (a zigzag varint), the bits a value's distance from it takes (one byte), 32 such distances, packed |
//! | cities | per city, by id: the id's distance from the one before, the number of points, and per point the bucket's distance from the one before and the bytes (a zigzag varint) |

use std::collections::BTreeMap;

use super::city::CityId;

/// Buckets of a day.
pub(crate) const BUCKETS: usize = 288;
/// Values that share a smallest one and a width.
const GROUP: usize = 32;
const VERSION: u8 = 1;
/// Bytes that hold a value of up to 64 bits wherever it begins.
const WINDOW: usize = size_of::<u128>();

/// One figure of a day, by bucket.
pub(crate) type Column = [i64; BUCKETS];

/// Bytes by city of a day: by city id, by bucket of the day.
pub(crate) type CityColumns = BTreeMap<CityId, BTreeMap<usize, i64>>;

/// Packs the columns of a day.
pub(crate) fn encode_columns(columns: &[Column]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for group in columns.iter().flat_map(|column| column.as_chunks::<GROUP>().0) {
        let base = group.iter().copied().min().unwrap_or_default();
        // The distance of two i64 always fits into 64 bits, whatever its sign would be.
        let distances = group.map(|value| value.wrapping_sub(base).cast_unsigned());
        let width = distances.iter().map(|distance| 64 - distance.leading_zeros()).max().unwrap_or_default();
        put_varint(&mut bytes, zigzag(base));
        bytes.push(width.to_le_bytes()[0]);
        let (mut held, mut bits) = (0_u128, 0);
        for distance in distances {
            held |= u128::from(distance) << bits;
            bits += width;
            while bits >= 8 {
                bytes.push(held.to_le_bytes()[0]);
                held >>= 8;
                bits -= 8;
            }
        }
    }
    bytes
}

/// Unpacks `N` columns; `None` when the bytes are anything else.
pub(crate) fn decode_columns<const N: usize>(bytes: &[u8]) -> Option<[Column; N]> {
    let mut columns = [[0; BUCKETS]; N];
    decode_into(&mut columns, bytes)?;
    Some(columns)
}

/// Unpacks `N - 1` columns, with a last one of zeros; `None` when the bytes are anything else.
pub(crate) fn decode_all_but_last<const N: usize>(bytes: &[u8]) -> Option<[Column; N]> {
    let mut columns = [[0; BUCKETS]; N];
    let (_, first) = columns.split_last_mut()?;
    decode_into(first, bytes)?;
    Some(columns)
}

fn decode_into(columns: &mut [Column], bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.strip_prefix(&[VERSION])?;
    for group in columns.iter_mut().flat_map(|column| column.as_chunks_mut::<GROUP>().0) {
        let base = unzigzag(take_varint(&mut rest)?);
        let (&width, after) = rest.split_first()?;
        let (packed, after) = after.split_at_checked(usize::from(width) * GROUP / 8)?;
        rest = after;
        let mask = if width == 0 { 0 } else { u64::MAX >> 64_u8.checked_sub(width)? };
        // With room to read on behind the last value, each is one window into the bytes.
        let mut window = [0; size_of::<u64>() * GROUP + WINDOW];
        window.get_mut(..packed.len())?.copy_from_slice(packed);
        for (n, value) in group.iter_mut().enumerate() {
            let bit = n * usize::from(width);
            let (bytes, _) = window[bit / 8..].split_first_chunk::<WINDOW>()?;
            let [low @ .., _, _, _, _, _, _, _, _] = (u128::from_le_bytes(*bytes) >> (bit % 8)).to_le_bytes();
            *value = base.wrapping_add((u64::from_le_bytes(low) & mask).cast_signed());
        }
    }
    rest.is_empty().then_some(())
}

/// Packs what went to cities. Points of nothing are left out.
pub(crate) fn encode_cities(cities: &CityColumns) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    let mut last = 0_i64;
    for (&CityId(city), column) in cities {
        let points = column.iter().filter(|(_, flux)| **flux != 0);
        let count = points.clone().count();
        if count == 0 {
            continue;
        }
        put_varint(&mut bytes, city.wrapping_sub(last).cast_unsigned());
        last = city;
        put_varint(&mut bytes, count as u64);
        let mut next = 0;
        for (&bucket, &flux) in points {
            put_varint(&mut bytes, (bucket - next) as u64);
            next = bucket + 1;
            put_varint(&mut bytes, zigzag(flux));
        }
    }
    bytes
}

/// Unpacks what went to cities; `None` when the bytes are anything else.
pub(crate) fn decode_cities(bytes: &[u8]) -> Option<CityColumns> {
    let mut rest = bytes.strip_prefix(&[VERSION])?;
    let mut cities = CityColumns::new();
    let mut city = 0_i64;
    while !rest.is_empty() {
        city = city.wrapping_add(take_varint(&mut rest)?.cast_signed());
        let column = cities.entry(CityId(city)).or_default();
        let mut bucket = 0_usize;
        for _ in 0..take_varint(&mut rest)? {
            bucket = bucket.checked_add(usize::try_from(take_varint(&mut rest)?).ok()?)?;
            if bucket >= BUCKETS {
                return None;
            }
            column.insert(bucket, unzigzag(take_varint(&mut rest)?));
            bucket += 1;
        }
    }
    Some(cities)
}

/// Small numbers of either sign as small numbers.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Seven bits a byte, the low ones first; the high bit says that more follow.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

pub(super) fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    /// A day as traffic has it, or as nothing has it: idle stretches, small and great numbers, both ends of the range.
    fn column() -> impl Strategy<Value = Column> {
        let value = prop_oneof![
            4 => Just(0),
            4 => 0..2_000_000_000_i64,
            1 => -5..5_i64,
            1 => any::<i64>(),
            1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(-1)],
        ];
        prop_oneof![
            vec(value, BUCKETS),
            vec(prop_oneof![20 => Just(0), 1 => any::<i64>()], BUCKETS),
            vec(1_000_000_000..1_001_000_000_i64, BUCKETS),
            any::<i64>().prop_map(|value| vec![value; BUCKETS]),
        ]
        .prop_map(|values| values.try_into().unwrap())
    }

    proptest! {
        #[test]
        fn columns_come_back(a in column(), b in column(), c in column()) {
            let bytes = encode_columns(&[a, b, c]);
            prop_assert_eq!(decode_columns::<3>(&bytes), Some([a, b, c]));
            prop_assert_eq!(decode_columns::<2>(&bytes), None);
            prop_assert_eq!(decode_columns::<4>(&bytes), None);
            prop_assert_eq!(decode_all_but_last::<4>(&bytes), Some([a, b, c, [0; BUCKETS]]));
            prop_assert_eq!(decode_all_but_last::<3>(&bytes), None);
            prop_assert_eq!(decode_columns::<3>(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn cities_come_back(cities in btree_map((1..i64::MAX).prop_map(CityId), btree_map(0..BUCKETS, any::<i64>().prop_filter("not nothing", |flux| *flux != 0), 1..40), 0..20)) {
            let bytes = encode_cities(&cities);
            prop_assert_eq!(decode_cities(&bytes), Some(cities.clone()));
            if !cities.is_empty() {
                prop_assert_eq!(decode_cities(&bytes[..bytes.len() - 1]), None);
            }
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_but_never_panic(bytes in vec(any::<u8>(), 0..3000)) {
            let mut bytes = bytes;
            bytes.insert(0, VERSION);
            decode_columns::<1>(&bytes);
            decode_columns::<6>(&bytes);
            decode_cities(&bytes);
        }
    }

    #[test]
    fn a_day_of_flux_takes_less_than_six_bytes_a_point() {
        // Up to 10 GB in five minutes without any regularity: 34 bits are what such numbers hold.
        let mut state = 1_u64;
        let column = std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 30).cast_signed() % 10_000_000_000
        });
        assert!(encode_columns(&[column]).len() < 5 * BUCKETS);
        assert!(encode_columns(&[[0; BUCKETS]]).len() < 20, "an idle day takes next to nothing");
    }

    #[test]
    fn a_city_with_nothing_is_left_out() {
        let cities = CityColumns::from([
            (CityId(3), BTreeMap::from([(5, 0)])),
            (CityId(4), BTreeMap::from([(0, 1), (9, 0)])),
        ]);
        let kept = CityColumns::from([(CityId(4), BTreeMap::from([(0, 1)]))]);
        assert_eq!(decode_cities(&encode_cities(&cities)), Some(kept));
    }
}
