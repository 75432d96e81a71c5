//! City repository over the state in memory: cities, and their open buckets.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use imbl::OrdMap;
use pilothouse_core::cdn::{Bucket, City, CityCell, CityId, CityRepository, DomainId};
use pilothouse_core::ports::StorageResult;

use crate::cdn::each;
use crate::state::Table;
use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(crate) struct CityState {
    cities: Table<CityId, (CityId, City)>,
    open: OrdMap<(DomainId, Bucket, CityId), i64>,
}

impl CityState {
    fn intern(&mut self, city: &City) -> CityId {
        let same = |held: &City| match city.geoname_id {
            0 => held == city,
            number => held.geoname_id == number,
        };
        let held = self.cities.iter().find(|(_, held)| same(held)).map(|(id, _)| *id);
        match held.and_then(|id| self.cities.get_mut(id)) {
            Some((id, held)) => {
                *held = city.clone();
                *id
            }
            None => self.cities.insert(|id| (id, city.clone())),
        }
    }

    fn cells(&self, domain_id: DomainId, buckets: &RangeInclusive<Bucket>) -> impl Iterator<Item = CityCell> {
        let range =
            (domain_id, *buckets.start(), CityId(i64::MIN))..=(domain_id, *buckets.end(), CityId(i64::MAX));
        let cell = |(&(domain_id, bucket, city_id), &flux)| CityCell { domain_id, bucket, city_id, flux };
        self.open.range(range).map(cell)
    }
}

#[async_trait]
impl CityRepository for Transaction {
    async fn intern(&mut self, cities: &[City]) -> StorageResult<Vec<CityId>> {
        let state = &mut self.state_mut()?.cdn.cities;
        Ok(cities.iter().map(|city| state.intern(city)).collect())
    }

    async fn by_ids(&mut self, ids: &[CityId]) -> StorageResult<Vec<(CityId, City)>> {
        Ok(self.state().cdn.cities.cities.iter().filter(|(id, _)| ids.contains(id)).cloned().collect())
    }

    async fn add(&mut self, cells: &[CityCell]) -> StorageResult<()> {
        let open = &mut self.state_mut()?.cdn.cities.open;
        for cell in cells {
            let sum = open.entry((cell.domain_id, cell.bucket, cell.city_id)).or_default();
            *sum = sum.saturating_add(cell.flux);
        }
        Ok(())
    }

    async fn open(
        &mut self,
        domains: &[DomainId],
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<CityCell>> {
        let state = &self.state().cdn.cities;
        Ok(each(domains).into_iter().flat_map(|domain_id| state.cells(domain_id, &buckets)).collect())
    }

    async fn take(
        &mut self,
        domain_id: DomainId,
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<CityCell>> {
        let state = &mut self.state_mut()?.cdn.cities;
        let taken: Vec<_> = state.cells(domain_id, &buckets).collect();
        for cell in &taken {
            state.open.remove(&(domain_id, cell.bucket, cell.city_id));
        }
        Ok(taken)
    }
}
