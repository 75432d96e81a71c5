//! Cities: interned names, and open buckets by city.

use pilothouse_core::cdn::CityId;
use pilothouse_core::cdn::DomainId;
use std::sync::Arc;

use pilothouse_core::cdn::{City, CityCell};
use pilothouse_core::ports::Storage;

use super::series::begin;
use crate::race::race;
use crate::rows::AWKWARD;

pub(crate) fn city(geoname_id: i64, name: &str) -> City {
    City { geoname_id, name: name.into(), name_cn: "迈阿密".into() }
}

/// A city has one id for ever: by its number, whatever it is called, and without one by its names.
pub(crate) async fn are_interned(storage: Arc<dyn Storage>) {
    let mut work = begin(&storage).await;
    let cities = work.cities();
    let (miami, other) = (city(4_164_138, "Miami"), city(0, AWKWARD));
    let ids = cities.intern(&[miami.clone(), other.clone(), miami.clone()]).await.unwrap();
    assert!(ids[0] == ids[2] && ids[0] != ids[1]);
    let renamed = city(4_164_138, "Miami City");
    let namesake = city(4_164_139, "Miami City");
    let numberless = city(0, "Miami City");
    let later = [other.clone(), renamed.clone(), namesake.clone(), numberless.clone()];
    let later = cities.intern(&later).await.unwrap();
    assert_eq!(later[..2], [ids[1], ids[0]]);
    assert!(!ids.contains(&later[2]) && !ids.contains(&later[3]) && later[2] != later[3]);
    let mut expected = [(ids[0], renamed), (ids[1], other), (later[2], namesake), (later[3], numberless)];
    expected.sort_by_key(|(id, _)| *id);
    let asked = [later[3], ids[1], ids[0], later[2], CityId::UNSAVED];
    assert_eq!(cities.by_ids(&asked).await.unwrap(), expected);
    assert_eq!(cities.by_ids(&[]).await.unwrap(), []);
    assert!(cities.intern(&[]).await.unwrap().is_empty());
}

/// Traffic of a city adds up, is found by domain and time, and is taken once.
pub(crate) async fn buckets_add_up(storage: Arc<dyn Storage>) {
    let cell = |domain: i64, bucket, city: i64, flux| CityCell {
        domain_id: DomainId(domain),
        bucket,
        city_id: CityId(city),
        flux,
    };
    let mut work = begin(&storage).await;
    let cities = work.cities();
    cities.add(&[cell(2, 10, 1, 5), cell(1, 10, 2, 6), cell(1, 10, 1, 7), cell(1, 11, 1, 8)]).await.unwrap();
    cities.add(&[cell(1, 10, 1, -3)]).await.unwrap();
    let first = [cell(1, 10, 1, 4), cell(1, 10, 2, 6)];
    assert_eq!(
        cities.open(&[DomainId(2), DomainId(1)], 0..=10).await.unwrap(),
        [&first[..], &[cell(2, 10, 1, 5)]].concat()
    );
    assert_eq!(cities.take(DomainId(1), 0..=10).await.unwrap(), first);
    assert_eq!(cities.take(DomainId(1), 0..=10).await.unwrap(), []);
    assert_eq!(
        cities.open(&[DomainId(1), DomainId(2)], 0..=99).await.unwrap(),
        [cell(1, 11, 1, 8), cell(2, 10, 1, 5)]
    );
}

/// Of many that bring one new city at once, all get the same id.
pub(crate) async fn race_for_one_id(storage: Arc<dyn Storage>) {
    let ids = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = begin(&storage).await;
        let ids = work.cities().intern(&[city(1, "Miami"), city(0, "Nowhere")]).await.unwrap();
        work.commit().await.unwrap();
        ids
    })
    .await;
    assert!(ids.iter().all(|these| *these == ids[0]), "{ids:?}");
}
