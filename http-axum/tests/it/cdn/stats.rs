//! Statistics: steps, groups, columns, and the size of columns.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use pilothouse_core::cdn::{Cell, DomainId, Figures};
use pilothouse_core::ports::LockKey;
use serde_json::{Value, json};

use super::traffic_api::TrafficApi;

/// 2016-08-04 15:50:00 in Shanghai.
const START: i64 = 1_470_297_000;

async fn add(fixture: &TrafficApi, cells: &[Cell]) {
    let mut work = fixture.api.pilothouse.storage().begin().await.unwrap();
    work.lock(LockKey::Traffic).await.unwrap();
    for some in cells.chunks(1000) {
        work.traffic().add(some).await.unwrap();
    }
    work.commit().await.unwrap();
}

fn cell(domain_id: DomainId, time: i64, flux: i64, hits: i64, classes: [i64; 4]) -> Cell {
    let requests = classes.iter().sum();
    let hit_flux = if requests == 0 { 0 } else { flux / requests * hits };
    Cell { domain_id, bucket: time / 300, figures: Figures { flux, hit_flux, requests, hits, classes } }
}

/// Traffic of two names, one of them on two cdns, in the buckets of two hours.
async fn fixture() -> TrafficApi {
    let fixture = TrafficApi::new().await;
    let mut twins =
        fixture.domains.iter().filter(|domain| domain.name == "cdn.exrqs.com").map(|domain| domain.id);
    let (level3, qcloud) = (twins.next().unwrap(), twins.next().unwrap());
    let other = fixture.domain("cdn.exrqs1.com");
    let cells = [
        cell(level3, START, 1000, 3, [4, 1, 0, 0]),
        cell(qcloud, START, 10, 0, [0, 0, 1, 1]),
        cell(other, START + 600, 500, 2, [2, 0, 0, 0]),
        cell(level3, START + 300, 7, 1, [1, 0, 0, 0]),
    ];
    add(&fixture, &cells).await;
    fixture
}

async fn get(fixture: &TrafficApi, query: &str) -> Value {
    let uri = format!("/level3/stats?startTime={START}&endTime={}&{query}", START + 600);
    fixture.api.get(&fixture.user, &uri).await.ok()
}

/// A column of every group.
fn column(answer: &Value, name: &str) -> Value {
    let groups = answer["groups"].as_array().unwrap().iter();
    groups.map(|group| json!([group["name"], group["columns"][name]])).collect()
}

#[tokio::test]
async fn figures_are_told_apart_by_domain_cdn_and_status() {
    let fixture = fixture().await;
    let whole = get(&fixture, "form=arrays").await;
    let columns = json!({
        "begin": START, "step": 300, "flux": [1010, 7, 500], "requests": [7, 1, 2], "hits": [3, 1, 2],
        "2xx": [4, 1, 2], "3xx": [1, 0, 0], "4xx": [1, 0, 0], "5xx": [1, 0, 0],
    });
    let total = json!({
        "flux": 1517, "hitFlux": 1107, "requests": 10, "hits": 6, "hitRatio": 0.6, "byteHitRatio": 0.7297,
    });
    assert_eq!(whole, json!({"err": 0, "columns": columns, "total": total}));

    let domains = get(&fixture, "form=arrays&by=domain").await;
    let flux = json!([["cdn.exrqs.com", [1010, 7, 0]], ["cdn.exrqs1.com", [0, 0, 500]]]);
    assert_eq!(column(&domains, "flux"), flux);
    assert_eq!(domains["total"], total);
    assert_eq!(
        domains["groups"][1]["total"],
        json!({"flux": 500, "hitFlux": 500, "requests": 2, "hits": 2, "hitRatio": 1.0, "byteHitRatio": 1.0})
    );
    let bytes = get(&fixture, "form=arrays&columns=hitFlux,flux").await;
    let columns = json!({"begin": START, "step": 300, "flux": [1010, 7, 500], "hitFlux": [600, 7, 500]});
    assert_eq!(bytes, json!({"err": 0, "columns": columns, "total": total}));
    let cdns = get(&fixture, "form=arrays&by=cdn").await;
    assert_eq!(column(&cdns, "requests"), json!([["level3", [5, 1, 2]], ["qcloud", [2, 0, 0]]]));
    let one = get(&fixture, "form=arrays&by=cdn&domain=cdn.exrqs1.com").await;
    assert_eq!(column(&one, "flux"), json!([["level3", [0, 0, 500]]]));

    let classes = get(&fixture, "by=status").await;
    assert_eq!(classes["groups"][0]["requests"][0], json!({"timeStamp": START, "value": 4}));
    let classes = get(&fixture, "by=status&form=arrays").await;
    assert_eq!(
        column(&classes, "requests"),
        json!([["2xx", [4, 1, 2]], ["3xx", [1, 0, 0]], ["4xx", [1, 0, 0]], ["5xx", [1, 0, 0]]])
    );
    assert_eq!(column(&classes, "flux"), json!([["2xx", null], ["3xx", null], ["4xx", null], ["5xx", null]]));
    let rows = get(&fixture, "by=domain").await;
    let row = json!({
        "timeStamp": START + 600, "flux": 500, "hitFlux": 500, "requests": 2, "hits": 2, "2xx": 2, "3xx": 0, "4xx": 0, "5xx": 0,
    });
    assert_eq!(rows["groups"][1]["results"][2], row);
}

#[tokio::test]
async fn steps_are_hours_and_days_of_the_servers_zone() {
    let fixture = fixture().await;
    let hours = get(&fixture, "step=3600&form=arrays").await;
    // 15:50 and 15:55 are in the hour that began at 15:00, 16:00 begins the next.
    assert_eq!(
        (&hours["columns"]["begin"], &hours["columns"]["step"]),
        (&json!(START - 50 * 60), &json!(3600))
    );
    assert_eq!(hours["columns"]["flux"], json!([1017, 500]));
    let days = get(&fixture, "step=86400").await;
    let midnight = START - (15 * 60 + 50) * 60;
    assert_eq!(days["results"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&days["results"][0]["timeStamp"], &days["results"][0]["flux"]),
        (&json!(midnight), &json!(1517))
    );
    let empty = "/level3/stats?startTime=0&endTime=0&step=86400";
    let empty = fixture.api.get(&fixture.user, empty).await.ok();
    let nothing = json!({
        "flux": 0, "hitFlux": 0, "requests": 0, "hits": 0, "hitRatio": null, "byteHitRatio": null,
    });
    assert_eq!(empty["total"], nothing);

    for (query, why) in [
        ("step=600", "step: must be 300, 3600 or 86400"),
        ("by=city", "by: must be domain, cdn or status"),
        ("form=csv", "form: must be objects or arrays"),
        (
            "form=arrays&columns=flux,ratio",
            "columns: must be of flux, hitFlux, requests, hits, 2xx, 3xx, 4xx and 5xx",
        ),
        ("columns=flux", "columns: must only be given with form=arrays"),
        ("form=arrays&by=status&columns=flux", "columns: must not be given with by=status"),
        ("steps=300", "steps: is not known here"),
    ] {
        assert_eq!(get(&fixture, query).await, json!({"err": 2, "msg": why}), "{query}");
    }
    for query in ["by=", "step=", "form=", "form=arrays&columns="] {
        assert_eq!(get(&fixture, query).await["err"], 2, "{query}");
    }
    let many = "/level3/stats?startTime=0&endTime=34560000&by=domain";
    assert_eq!(fixture.api.get(&fixture.user, many).await.codes(), (200, 2), "two groups of 400 days");
    let fewer = format!("{many}&step=3600");
    assert_eq!(fixture.api.get(&fixture.user, &fewer).await.codes(), (200, 0));
}

/// Bytes of 31 days of columns after gzip, by bucket, of a domain with this many requests in a busy five minutes.
async fn packed_bytes_per_bucket(busy: u64) -> f64 {
    let fixture = TrafficApi::new().await;
    let domain = fixture.domain("cdn.exrqs.com");
    let (buckets, mut state) = (31 * 288, 0x9e37_79b9_7f4a_7c15_u64);
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    };
    let mut cells = Vec::new();
    for n in 0..buckets {
        // A day's curve with noise of a quarter; 92 % hits, 4 % redirects, 2 % client and 0.2 % server errors.
        let hour = (n % 288) / 12;
        let share = 20 + 80 * u64::try_from((hour - 12_i64).abs()).unwrap() / 12;
        let requests = (busy * share / 100 * (75 + random(50)) / 100).max(1);
        let part =
            |permille: u64, noise: u64| i64::try_from(requests * permille * (80 + noise) / 100_000).unwrap();
        let (c3, c4, c5) = (part(40, random(40)), part(20, random(40)), part(2, random(40)));
        let c2 = i64::try_from(requests).unwrap() - c3 - c4 - c5;
        let flux = i64::try_from(requests * (20_000 + random(20_000))).unwrap();
        cells.push(cell(domain, START - START % 86_400 + n * 300, flux, part(920, 20), [c2, c3, c4, c5]));
    }
    add(&fixture, &cells).await;
    let begin = START - START % 86_400;
    let uri = format!(
        "/level3/stats?form=arrays&domain=cdn.exrqs.com&startTime={begin}&endTime={}",
        begin + (buckets - 1) * 300
    );
    let answer = fixture.api.get(&fixture.user, &uri).await.ok();
    assert_eq!(answer["columns"]["flux"].as_array().unwrap().len(), usize::try_from(buckets).unwrap());
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(answer.to_string().as_bytes()).unwrap();
    let bytes = u32::try_from(packed.finish().unwrap().len()).unwrap();
    f64::from(bytes) / f64::from(u32::try_from(buckets).unwrap())
}

/// Noise does not pack: what a bucket takes grows with the digits of its figures, and passes 12 bytes beyond some thousand
/// requests in five minutes.
#[tokio::test]
async fn a_bucket_of_columns_takes_at_most_twelve_bytes_with_gzip() {
    for (busy, most) in [(10, 12.0), (100, 12.0), (1000, 12.0), (100_000, 18.0)] {
        let bytes = packed_bytes_per_bucket(busy).await;
        println!("{busy} requests in a busy bucket: {bytes:.1} bytes");
        assert!(bytes <= most, "{busy} requests in a busy bucket: {bytes:.1} bytes");
    }
}
