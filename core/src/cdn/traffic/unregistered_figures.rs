//! Encoded figures of kept-aside lines: the traffic that they would have been, without a domain.
//!
//! After a version byte: the number of buckets, per bucket its number, bytes, requests, hits, classes and bytes of hits (not in
//! version 1), then per bucket and city the bucket's number, the city's id and the bytes. All numbers but the first are zigzag
//! varints.

use super::bucket::{Bucket, Figures};
use super::city::CityId;
use super::column_block::{put_varint, take_varint, unzigzag, zigzag};

/// Version of encoded figures.
const VERSION: u8 = 2;
/// Version without bytes of hits.
const WITHOUT_HIT_FLUX: u8 = 1;

/// Figures of one row: cells and city cells without their domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RowFigures {
    pub(super) cells: Vec<(Bucket, Figures)>,
    pub(super) city_cells: Vec<RowCityCell>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowCityCell {
    pub(super) bucket: Bucket,
    pub(super) city_id: CityId,
    pub(super) flux: i64,
}

impl RowFigures {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put_varint(&mut bytes, self.cells.len() as u64);
        for &(bucket, figures) in &self.cells {
            let numbers = [bucket, figures.flux].into_iter().chain(figures.counts());
            for number in numbers {
                put_varint(&mut bytes, zigzag(number));
            }
        }
        for &RowCityCell { bucket, city_id, flux } in &self.city_cells {
            for number in [bucket, city_id.0, flux] {
                put_varint(&mut bytes, zigzag(number));
            }
        }
        bytes
    }

    /// Decodes; `None` when the bytes are anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        let width = match *version {
            VERSION => 9,
            WITHOUT_HIT_FLUX => 8,
            _ => return None,
        };
        let mut decoded = Self::default();
        for _ in 0..take_varint(&mut rest)? {
            let mut numbers = [0; 9];
            for number in &mut numbers[..width] {
                *number = unzigzag(take_varint(&mut rest)?);
            }
            let [bucket, flux, counts @ ..] = numbers;
            decoded.cells.push((bucket, Figures::of_counts(flux, counts)));
        }
        while !rest.is_empty() {
            let mut numbers = [0; 3];
            for number in &mut numbers {
                *number = unzigzag(take_varint(&mut rest)?);
            }
            let [bucket, city_id, flux] = numbers;
            decoded.city_cells.push(RowCityCell { bucket, city_id: CityId(city_id), flux });
        }
        Some(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_out_as_they_went_in() {
        let figures =
            Figures { flux: 1 << 40, hit_flux: 1 << 39, requests: 3, hits: 1, classes: [2, 0, 1, 0] };
        let all = RowFigures {
            cells: vec![(5_984_118, figures), (5_984_119, Figures { flux: -7, ..Figures::default() })],
            city_cells: vec![RowCityCell { bucket: 5_984_118, city_id: CityId(9), flux: i64::MAX }],
        };
        for figures in [all.clone(), RowFigures::default()] {
            assert_eq!(RowFigures::decode(&figures.encode()), Some(figures));
        }
        let encoded = all.encode();
        for end in [0, 1, 2, encoded.len() - 1] {
            assert_ne!(RowFigures::decode(&encoded[..end]).as_ref(), Some(&all));
        }
        assert_eq!(RowFigures::decode(&[3, 0]), None);
        // One bucket, 5, with two bytes and six counts, none of them of bytes of hits.
        let before = RowFigures::decode(&[1, 1, 10, 4, 2, 0, 2, 0, 0, 0]).unwrap();
        let figures = Figures { flux: 2, requests: 1, classes: [1, 0, 0, 0], ..Figures::default() };
        assert_eq!(before.cells, [(5, figures)]);
    }
}
