//! City look-up of client addresses in a `MaxMind` city database.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use maxminddb::{Reader, geoip2, path};
use rustc_hash::FxHashMap;

/// Number of a city while its [`CityDatabase`] is open; it may be another the next time it is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CityKey(pub u32);

impl CityKey {
    /// City of an address that is missing, unreadable or in no known city.
    pub const UNKNOWN: Self = Self(0);
}

/// City look-up. The caller caches its answers.
pub trait CityLookup: fmt::Debug + Sync {
    /// Finds the city of `address`, or [`CityKey::UNKNOWN`].
    fn city(&self, address: IpAddr) -> CityKey;
}

/// City as the database names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CityRecord {
    /// Number at geonames.org, if the database has it: it alone stays the same when names are corrected.
    pub geoname_id: Option<u32>,
    /// English name; the Chinese one where there is no English.
    pub name: String,
    /// Chinese name (`zh-CN`); the English one where there is no Chinese.
    pub name_cn: String,
}

/// File that cannot be used as a city database.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the city database {}", file.display())]
pub struct CityDatabaseError {
    file: PathBuf,
    source: maxminddb::MaxMindDbError,
}

/// Open `MaxMind` database of cities (GeoLite2-City, GeoIP2-City or one of that layout), wholly in memory.
pub struct CityDatabase {
    reader: Reader<Vec<u8>>,
    interned: Mutex<InternedCities>,
}

#[derive(Default)]
struct InternedCities {
    /// Key by the record's offset in the file, so that each record is decoded once.
    by_offset: FxHashMap<usize, CityKey>,
    keys: FxHashMap<CityRecord, CityKey>,
    /// Records by key; the first has the key 1.
    cities: Vec<CityRecord>,
}

impl CityDatabase {
    /// Reads `file`. A file that is missing or is no `MaxMind` database is refused.
    pub fn open(file: &Path) -> Result<Self, CityDatabaseError> {
        let reader = Reader::open_readfile(file)
            .map_err(|source| CityDatabaseError { file: file.to_owned(), source })?;
        Ok(Self { reader, interned: Mutex::default() })
    }

    /// Finds the city of a key; nothing for [`CityKey::UNKNOWN`] and keys of another database.
    pub fn get(&self, key: CityKey) -> Option<CityRecord> {
        let interned = self.interned.lock().unwrap_or_else(PoisonError::into_inner);
        interned.cities.get(usize::try_from(key.0).ok()?.checked_sub(1)?).cloned()
    }
}

impl fmt::Debug for CityDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CityDatabase")
            .field("type", &self.reader.metadata().database_type)
            .finish_non_exhaustive()
    }
}

impl CityLookup for CityDatabase {
    /// Treats a damaged record as an unknown city, so that one bad page does not stop a log.
    fn city(&self, address: IpAddr) -> CityKey {
        let Ok(found) = self.reader.lookup(address) else { return CityKey::UNKNOWN };
        let Some(offset) = found.offset() else { return CityKey::UNKNOWN };
        let mut interned = self.interned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&key) = interned.by_offset.get(&offset) {
            return key;
        }
        let city = found
            .decode_path::<geoip2::city::City<'_>>(&path!["city"])
            .ok()
            .flatten()
            .and_then(|city| named(&city));
        let key = city.map_or(CityKey::UNKNOWN, |city| interned.key(city));
        interned.by_offset.insert(offset, key);
        key
    }
}

impl InternedCities {
    fn key(&mut self, city: CityRecord) -> CityKey {
        if let Some(&key) = self.keys.get(&city) {
            return key;
        }
        let Ok(number) = u32::try_from(self.cities.len() + 1) else { return CityKey::UNKNOWN };
        self.cities.push(city.clone());
        self.keys.insert(city, CityKey(number));
        CityKey(number)
    }
}

/// Names of a city; nothing without any name, since there would be nothing to show.
fn named(city: &geoip2::city::City<'_>) -> Option<CityRecord> {
    let english = city.names.english.filter(|name| !name.is_empty());
    let chinese = city.names.simplified_chinese.filter(|name| !name.is_empty());
    Some(CityRecord {
        geoname_id: city.geoname_id,
        name: english.or(chinese)?.to_owned(),
        name_cn: chinese.or(english)?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str) -> Result<CityDatabase, CityDatabaseError> {
        CityDatabase::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))
    }

    fn city(database: &CityDatabase, address: &str) -> Option<(String, String)> {
        database.get(database.city(address.parse().unwrap())).map(|city| (city.name, city.name_cn))
    }

    #[test]
    fn chinese_names_fall_back_to_english_ones() {
        let database = open("GeoIP2-City-Test.mmdb").unwrap();
        let named = |english: &str, chinese: &str| Some((english.to_owned(), chinese.to_owned()));
        assert_eq!(city(&database, "175.16.199.1"), named("Changchun", "长春"));
        assert_eq!(city(&database, "::ffff:175.16.199.1"), named("Changchun", "长春"));
        assert_eq!(city(&database, "81.2.69.142"), named("London", "London"));
        assert_eq!(city(&database, "127.0.0.1"), None);
        assert_eq!(
            database.city("175.16.199.1".parse().unwrap()),
            database.city("175.16.199.200".parse().unwrap())
        );
    }

    #[test]
    fn a_country_without_a_city_is_unknown() {
        let database = open("GeoIP2-City-Test.mmdb").unwrap();
        let found = database.reader.lookup("2a02:cf40::1".parse().unwrap()).unwrap();
        assert!(found.has_data());
        assert_eq!(database.city("2a02:cf40::1".parse().unwrap()), CityKey::UNKNOWN);
    }

    #[test]
    fn a_missing_or_corrupt_file_is_named() {
        let missing = open("none.mmdb").unwrap_err();
        assert!(missing.to_string().contains("none.mmdb"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("corrupt.mmdb");
        for content in [&b""[..], b"not a database", &[0xab; 4096]] {
            std::fs::write(&file, content).unwrap();
            assert!(CityDatabase::open(&file).unwrap_err().to_string().contains("corrupt.mmdb"));
        }
    }

    #[test]
    fn damaged_records_are_unknown_and_never_panic() {
        let whole =
            std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/GeoIP2-City-Test.mmdb"))
                .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("damaged.mmdb");
        for seed in 0..200_usize {
            let mut content = whole.clone();
            for step in 1..20 {
                let at = (seed * 7919 + step * 104_729) % content.len();
                content[at] ^= u8::try_from(seed % 255).unwrap() + 1;
            }
            std::fs::write(&file, content).unwrap();
            if let Ok(database) = CityDatabase::open(&file) {
                for address in ["175.16.199.1", "81.2.69.142", "2a02:cf40::1", "89.160.20.112"] {
                    city(&database, address);
                }
            }
        }
    }
}
