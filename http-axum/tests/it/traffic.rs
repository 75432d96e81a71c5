//! The samples of the cdn document about traffic, areas and logs, and what it forbids.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use axum::http::StatusCode;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use pilothouse_core::cdn::{
    Batch, Cell, City, CityCell, Counters, Domain, Figures, KeptLines, LogChunk, LogFile, SourceChange,
};
use pilothouse_core::ports::{LogArchive, SealedLog};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use crate::api::{Api, PASSWORD};

/// An archive in which every chunk is `length` times the letter of its pack.
#[derive(Debug)]
struct Letters;

#[async_trait::async_trait]
impl LogArchive for Letters {
    async fn seal(&self, _: &str, _: NaiveDate, _: &[LogChunk]) -> io::Result<SealedLog> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read(&self, chunks: Vec<LogChunk>) -> BoxStream<'static, io::Result<Vec<u8>>> {
        let bytes = |chunk: LogChunk| match chunk.file {
            LogFile::Pack(name) => Ok(name.repeat(usize::try_from(chunk.length).unwrap()).into_bytes()),
            LogFile::Sealed(_) => Err(io::ErrorKind::NotFound.into()),
        };
        stream::iter(chunks).map(bytes).boxed()
    }

    async fn delete(&self, _: &str, _: NaiveDate) -> io::Result<()> {
        Ok(())
    }

    async fn prune(&self, _: HashSet<LogFile>, _: DateTime<Utc>) -> io::Result<u64> {
        Ok(0)
    }
}

/// A server with `level3` and `qcloud`, the customers `user` and `other`, and the domains of the samples.
struct World {
    api: Api,
    user: String,
    other: String,
    domains: Vec<Domain>,
}

impl World {
    async fn new() -> Self {
        Self::with(true).await
    }

    async fn with(geo_city_database: bool) -> Self {
        let settings = Settings {
            cdns: vec!["level3".to_owned(), "qcloud".to_owned()],
            public_url: "https://api.infquick.com/".to_owned(),
            geo_city_database,
            log_days: 100_000,
            ..Settings::default()
        };
        let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), settings).unwrap();
        let pilothouse = pilothouse.with_log_archive(Arc::new(Letters));
        let api = Api::over(pilothouse, HttpSettings::default()).await;
        api.pilothouse.cdns().ensure_configured().await.unwrap();
        let (user, other) = (api.account("user", "").await, api.account("other", "").await);
        let root = api.login("root").await;
        for name in ["user", "other"] {
            let body = json!({"login_email": format!("{name}@example.com"), "password": PASSWORD});
            assert_eq!(api.post(&root, "/level3/user", body).await.ok()["err"], 0);
        }
        for (name, cdn, domains) in [
            ("user", "level3", json!(["cdn.exrqs.com", "cdn.exrqs1.com"])),
            ("user", "qcloud", json!("cdn.exrqs.com")),
            ("other", "level3", json!("other.com")),
        ] {
            let body = json!({"login_email": format!("{name}@example.com"), "cdn": cdn, "domains": domains});
            assert_eq!(api.post(&root, "/level3/user_domains", body).await.ok()["err"], 0);
        }
        let mut domains = api.pilothouse.traffic().edge("level3", "edge-1").await.unwrap().1;
        domains.extend(api.pilothouse.traffic().edge("qcloud", "edge-1").await.unwrap().1);
        Self { api, user, other, domains }
    }

    fn domain(&self, name: &str) -> i64 {
        self.domains.iter().find(|domain| domain.name == name).unwrap().id
    }

    /// Records cells given as domain, time, bytes and city; and kept lines as domain, day, bytes and pack.
    async fn record(
        &self,
        cells: &[(i64, i64, i64, Option<&City>)],
        kept: &[(i64, NaiveDate, i64)],
        pack: &str,
    ) {
        let traffic = self.api.pilothouse.traffic();
        let (edge, _) = traffic.edge("level3", "edge-1").await.unwrap();
        let seen = traffic.sources(&edge, &[[0; 16]]).await.unwrap().seen;
        let mut batch = Batch {
            edge,
            change: SourceChange::New(seen),
            key: [0; 16],
            length: 1,
            state: Vec::new(),
            counters: Counters::default(),
            cells: Vec::new(),
            cities: Vec::new(),
            city_cells: Vec::new(),
            pack: pack.to_owned(),
            kept: Vec::new(),
            withdrawn: None,
        };
        for &(domain_id, time, flux, city) in cells {
            let figures = Figures { flux, requests: 1, hits: 1, classes: [1, 0, 0, 0] };
            batch.cells.push(Cell { domain_id, bucket: time / 300, figures });
            if let Some(city) = city {
                let city_id = i64::try_from(batch.cities.len()).unwrap();
                batch.cities.push(city.clone());
                batch.city_cells.push(CityCell { domain_id, bucket: time / 300, city_id, flux });
            }
        }
        for &(domain_id, day, length) in kept {
            batch.kept.push(KeptLines {
                domain_id,
                day,
                offset: 0,
                length,
                lines: 1,
                raw_length: length,
                is_open: false,
            });
        }
        traffic.record(batch).await.unwrap();
    }
}

const FLUXS: [i64; 9] = [150_995, 92_393_177, 188_744, 9437, 0, 692_966_130, 69_328_699, 9437, 9437];
const BANDWIDTHS: [i64; 9] = [4027, 2_463_818, 5033, 252, 0, 18_479_097, 1_848_765, 252, 252];

/// The document's results from its first time on.
fn results(values: &[i64]) -> Value {
    let times = (1_470_297_000..).step_by(300);
    let points: Vec<_> =
        times.zip(values).map(|(time, value)| json!({"timeStamp": time, "value": value})).collect();
    json!({"err": 0, "results": points})
}

#[tokio::test]
async fn series_samples() {
    let world = World::new().await;
    let domain = world.domain("cdn.exrqs.com");
    let times = (1_470_297_000..).step_by(300);
    let cells: Vec<_> = times.zip(FLUXS).map(|(time, flux)| (domain, time, flux, None)).collect();
    world.record(&cells, &[], "").await;
    let get = async |uri: &str| world.api.get(&world.user, uri).await.ok();
    let bandwidths = "/level3/bandwidths?domain=cdn.exrqs.com&startTime=1470297000&endTime=1470299400";
    assert_eq!(get(bandwidths).await, results(&BANDWIDTHS));
    let fluxs = "/level3/fluxs?domain=cdn.exrqs.com&startTime=1470297000&endTime=1470299100";
    assert_eq!(get(fluxs).await, results(&FLUXS[..8]));

    world.record(&[(world.domain("cdn.exrqs1.com"), 1_470_297_010, 5, None)], &[], "").await;
    let mut both = FLUXS;
    both[0] += 5;
    let both = results(&both[..8]);
    let range = "startTime=1470297000&endTime=1470299100";
    let named = format!("/level3/fluxs?domain.0=cdn.exrqs.com&domain.1=cdn.exrqs1.com&{range}");
    assert_eq!(get(&named).await, both);
    assert_eq!(get(&format!("/level3/fluxs?{range}")).await, both, "none named are all");
    let rounded = "/level3/fluxs?startTime=1470297299&endTime=1470299399";
    assert_eq!(get(rounded).await, both, "both ends are rounded down");
    let stats = get("/level3/stats?startTime=1470297000&endTime=1470297000").await;
    let row = json!({
        "timeStamp": 1_470_297_000, "flux": 151_000, "requests": 2, "hits": 2, "2xx": 2, "3xx": 0, "4xx": 0, "5xx": 0,
    });
    assert_eq!(stats, json!({"err": 0, "results": [row]}));
    let empty = world.api.get(&world.other, &format!("/level3/fluxs?{range}")).await.ok();
    assert_eq!(empty, results(&[0; 8]));
}

#[tokio::test]
async fn series_refusals() {
    let world = World::new().await;
    let times = "startTime=1470297000&endTime=1470299100";
    let answer = async |query: &str| {
        let mut answers = Vec::new();
        for path in ["bandwidths", "fluxs", "bandwidths/area", "fluxs/area", "stats"] {
            answers.push(world.api.get(&world.user, &format!("/level3/{path}?{query}")).await.body);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{query}: {answers:?}");
        answers.remove(0)
    };
    for (query, why) in [
        ("endTime=5".to_owned(), "startTime: is required"),
        ("startTime=5".to_owned(), "endTime: is required"),
        ("startTime=x&endTime=5".to_owned(), "startTime: must be an integer"),
        ("startTime=-1&endTime=5".to_owned(), "startTime: must not be negative"),
        ("startTime=600&endTime=599".to_owned(), "endTime: must not be before startTime"),
        (format!("domain=a.com&domain=b.com&{times}"), "domain: is given twice, with different values"),
    ] {
        assert_eq!(answer(&query).await, json!({"err": 2, "msg": why}), "{query}");
    }
    assert_eq!(answer(&format!("domain=&{times}")).await["err"], 2);
    let codes = async |query: &str| world.api.get(&world.user, &format!("/level3/{query}")).await.codes();
    assert_eq!(codes("fluxs?startTime=0&endTime=34560000").await, (200, 0));
    assert_eq!(codes("fluxs?startTime=0&endTime=34560001").await, (200, 2), "more than 400 days");
    assert_eq!(codes("fluxs/area?startTime=0&endTime=2678400").await, (200, 0));
    assert_eq!(codes("fluxs/area?startTime=0&endTime=2678401").await, (200, 2), "more than 31 days");
    let forbidden = json!({"err": 4, "msg": "not permitted"});
    assert_eq!(answer(&format!("domain=other.com&{times}")).await, forbidden);
    assert_eq!(answer(&format!("domain=nobody.com&{times}")).await, forbidden, "whether or not it exists");
    assert_eq!(answer(&format!("domain=cdn.exrqs.com&domain.0=other.com&{times}")).await, forbidden);
    assert_eq!(world.api.get("", &format!("/level3/fluxs?{times}")).await.codes(), (200, 3));
}

#[tokio::test]
async fn billing_of_a_month() {
    let world = World::new().await;
    let (a, b) = (world.domain("cdn.exrqs.com"), world.domain("cdn.exrqs1.com"));
    // 2016-08-01 in Shanghai. A day of 433 five minutes and more, and six single ones of which the fifth is billed.
    let (begin, day) = (1_469_980_800, 86_400);
    let mut cells: Vec<_> = (0..400).map(|n| (a, begin + n * 300, 37_500 + 37_500 * n, None)).collect();
    for (number, flux) in (10..).zip([7, 3, 6, 4, 5]) {
        cells.push((b, begin + number * day, flux * 37_500_000, None));
    }
    // Both domains in one five minutes.
    cells.push((b, begin, 8 * 37_500_000 - 37_500, None));
    world.record(&cells, &[], "").await;
    let get = async |query: &str| {
        let bill = world.api.get(&world.user, &format!("/level3/billing?month=201608&{query}")).await.ok();
        assert_eq!((&bill["begin"], &bill["until"]), (&json!(begin), &json!(begin + 31 * day)), "{bill}");
        assert_eq!((&bill["err"], &bill["over"]), (&json!(0), &json!(true)), "{bill}");
        (bill["bandwidth"].as_i64().unwrap(), bill["points"].clone())
    };
    let point = |time: i64, value: i64| json!([{"timeStamp": time, "value": value}]);
    // Of 8928 five minutes the highest 446 are left out, which is more than have anything.
    assert_eq!(get("rule=month95").await, (0, point(begin + 400 * 300 + 41 * 300, 0)));
    // Days by their peaks: 8000000, 7000000, 6000000, 5000000, 4000000, 3000000 and the second with 400000.
    assert_eq!(get("rule=top5").await, (4_000_000, point(begin + 13 * day, 4_000_000)));
    // The second day has 112 of the 400 five minutes.
    let (bandwidth, points) = get("rule=daily_peak").await;
    let sum = 8_000_000 + 7_000_000 + 6_000_000 + 5_000_000 + 4_000_000 + 3_000_000 + 400_000;
    assert_eq!(bandwidth, (sum + 15) / 31);
    assert_eq!(points.as_array().unwrap().len(), 31);
    assert_eq!(points[0], json!({"timeStamp": begin, "value": 8_000_000}));
    let (bandwidth, _) = get("rule=top5&domain=cdn.exrqs.com").await;
    assert_eq!(bandwidth, 0, "the domain has traffic on two days");

    let refused =
        async |query: &str| world.api.get(&world.user, &format!("/level3/billing?{query}")).await.body;
    for (query, why) in [
        ("month=201608", "rule: is required"),
        ("rule=top5", "month: is required"),
        ("month=201608&rule=max", "rule: must be month95, daily_peak or top5"),
        ("month=201613&rule=top5", "month: must be a month as YYYYMM, from 197002 on"),
        ("month=999912&rule=top5", "month: must have begun"),
    ] {
        assert_eq!(refused(query).await, json!({"err": 2, "msg": why}), "{query}");
    }
    for domain in ["other.com", "nobody.com"] {
        let answer = refused(&format!("month=201608&rule=top5&domain={domain}")).await;
        assert_eq!(answer, json!({"err": 4, "msg": "not permitted"}));
    }
}

#[tokio::test]
async fn area_samples() {
    let world = World::new().await;
    let domain = world.domain("cdn.exrqs.com");
    let city = |geoname_id, name: &str, name_cn: &str| City {
        geoname_id,
        name: name.to_owned(),
        name_cn: name_cn.to_owned(),
    };
    let (miami, seoul) = (city(4_164_138, "Miami", "迈阿密"), city(1_835_848, "Seoul", "首尔"));
    let cells = [
        (domain, 1_470_297_000, 29_438, Some(&miami)),
        (domain, 1_470_297_300, 52, Some(&miami)),
        (domain, 1_470_297_600, 16_463, Some(&seoul)),
        (domain, 1_470_297_900, 50, Some(&seoul)),
    ];
    world.record(&cells, &[], "").await;
    let uri = |path: &str| {
        format!("/level3/{path}/area?domain=cdn.exrqs.com&startTime=1470297000&endTime=1470299400")
    };
    let row = |city: &City, value: i64| json!({"city": city.name, "city_cn": city.name_cn, "value": value});
    let sample = json!({"err": 0, "results": [row(&miami, 29_490), row(&seoul, 16_513)]});
    assert_eq!(world.api.get(&world.user, &uri("fluxs")).await.ok(), sample);
    let sample = json!({"err": 0, "results": [row(&miami, 785), row(&seoul, 439)]});
    assert_eq!(world.api.get(&world.user, &uri("bandwidths")).await.ok(), sample);

    let without = World::with(false).await.api;
    let user = without.login("user").await;
    let refused = without.get(&user, &uri("fluxs")).await.ok();
    assert_eq!(refused, json!({"err": 1, "msg": "no city database is set up (geo_city_database)"}));
}

#[tokio::test]
async fn log_samples() {
    let world = World::new().await;
    let day = NaiveDate::from_ymd_opt(2016, 9, 29).unwrap();
    let mut twins = world.domains.iter().filter(|domain| domain.name == "cdn.exrqs.com");
    let (level3, qcloud) = (twins.next().unwrap().id, twins.next().unwrap().id);
    world.record(&[], &[(level3, day, 1900)], "a").await;
    world.record(&[], &[(qcloud, day, 4), (world.domain("other.com"), day, 7)], "b").await;
    let uri = "/level3/logdownload?domain=cdn.exrqs.com&startDate=20160928&endDate=20160930";
    let listed = world.api.get(&world.user, uri).await.ok();
    let url = listed["results"][1]["url"].as_str().unwrap().to_owned();
    let row = |date: &str, size: i64, url: &str| json!({"domain": "cdn.exrqs.com", "date": date, "size": size, "url": url});
    let rows = [row("2016-09-28", 0, ""), row("2016-09-29", 1904, &url), row("2016-09-30", 0, "")];
    assert_eq!(listed, json!({"err": 0, "results": rows}));
    let root = "https://api.infquick.com";
    let (file, query) = url.strip_prefix(root).unwrap().split_once('?').unwrap();
    assert_eq!(file, "/level3/log/2016-09-29-cdn.exrqs.com.log.gz");

    let log = world.api.get("", &format!("{file}?{query}")).await;
    assert_eq!(log.status, StatusCode::OK);
    assert_eq!(log.headers["content-type"], "application/gzip");
    assert_eq!(log.headers["content-length"], "1904");
    assert_eq!(log.body, json!(format!("{}bbbb", "a".repeat(1900))), "of the caller's domains alone");

    let refused = json!({"err": 4, "msg": "the link is not good, or no longer"});
    for bad in [
        format!("{file}?{}", query.replace("expires=1", "expires=2")),
        format!("{file}?{query}0"),
        format!("{file}?{}", query.replace("sig=", "sig=1")),
        file.to_owned(),
        format!("{}?{query}", file.replace("-29-", "-30-")),
        format!("{}?{query}", file.replace("exrqs", "exrqs1")),
        format!("/level3/log/x?{query}"),
    ] {
        let answer = world.api.get("", &bad).await;
        assert_eq!((answer.status, answer.body), (StatusCode::FORBIDDEN, refused.clone()), "{bad}");
    }
}

#[tokio::test]
async fn log_refusals() {
    let world = World::new().await;
    let codes =
        async |query: &str| world.api.get(&world.user, &format!("/level3/logdownload?{query}")).await.codes();
    assert_eq!(codes("domain=cdn.exrqs.com&startDate=20160101&endDate=20160401").await, (200, 0), "92 days");
    for query in [
        "domain=cdn.exrqs.com&startDate=20160101&endDate=20160402",
        "domain=cdn.exrqs.com&startDate=20160102&endDate=20160101",
        "domain=cdn.exrqs.com&startDate=2016-01-02&endDate=20160103",
        "domain=cdn.exrqs.com&startDate=20160101",
        "domain=cdn.exrqs.com&endDate=20160101",
        "startDate=20160101&endDate=20160101",
        "domain=no_host&startDate=20160101&endDate=20160101",
    ] {
        assert_eq!(codes(query).await, (200, 2), "{query}");
    }
    assert_eq!(codes("domain=other.com&startDate=20160101&endDate=20160101").await, (200, 4));
    assert_eq!(codes("domain=nobody.com&startDate=20160101&endDate=20160101").await, (200, 4));
}
