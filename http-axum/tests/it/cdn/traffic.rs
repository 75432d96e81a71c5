//! Traffic API: the documented examples of series, areas, billing and logs, and validation.

use axum::http::StatusCode;
use chrono::NaiveDate;
use pilothouse_core::cdn::City;
use serde_json::{Value, json};

use super::traffic_api::TrafficApi;
use crate::api::PASSWORD;

const FLUXS: [i64; 9] = [150_995, 92_393_177, 188_744, 9437, 0, 692_966_130, 69_328_699, 9437, 9437];
const BANDWIDTHS: [i64; 9] = [4027, 2_463_818, 5033, 252, 0, 18_479_097, 1_848_765, 252, 252];

/// The documented answer with these values.
fn results(values: &[i64]) -> Value {
    let times = (1_470_297_000..).step_by(300);
    let points: Vec<_> =
        times.zip(values).map(|(time, value)| json!({"timeStamp": time, "value": value})).collect();
    json!({"err": 0, "results": points})
}

#[tokio::test]
async fn the_documented_series_examples_work() {
    let fixture = TrafficApi::new().await;
    let domain = fixture.domain("cdn.exrqs.com");
    let times = (1_470_297_000..).step_by(300);
    let cells: Vec<_> = times.zip(FLUXS).map(|(time, flux)| (domain, time, flux, None)).collect();
    fixture.record(&cells, &[], "").await;
    let get = async |uri: &str| fixture.api.get(&fixture.user, uri).await.ok();
    let bandwidths = "/level3/bandwidths?domain=cdn.exrqs.com&startTime=1470297000&endTime=1470299400";
    assert_eq!(get(bandwidths).await, results(&BANDWIDTHS));
    let fluxs = "/level3/fluxs?domain=cdn.exrqs.com&startTime=1470297000&endTime=1470299100";
    assert_eq!(get(fluxs).await, results(&FLUXS[..8]));

    fixture.record(&[(fixture.domain("cdn.exrqs1.com"), 1_470_297_010, 5, None)], &[], "").await;
    let mut both = FLUXS;
    both[0] += 5;
    let both = results(&both[..8]);
    let range = "startTime=1470297000&endTime=1470299100";
    let named = format!("/level3/fluxs?domain.0=cdn.exrqs.com&domain.1=cdn.exrqs1.com&{range}");
    assert_eq!(get(&named).await, both);
    assert_eq!(
        get(&format!("/level3/fluxs?{range}")).await,
        both,
        "without a domain, all of them are summed"
    );
    let rounded = "/level3/fluxs?startTime=1470297299&endTime=1470299399";
    assert_eq!(get(rounded).await, both, "both ends are rounded down to five minutes");
    let stats = get("/level3/stats?startTime=1470297000&endTime=1470297000").await;
    let row = json!({
        "timeStamp": 1_470_297_000, "flux": 151_000, "hitFlux": 151_000, "requests": 2, "hits": 2, "2xx": 2, "3xx": 0,
        "4xx": 0, "5xx": 0,
    });
    let total = json!({
        "flux": 151_000, "hitFlux": 151_000, "requests": 2, "hits": 2, "hitRatio": 1.0, "byteHitRatio": 1.0,
    });
    assert_eq!(stats, json!({"err": 0, "results": [row], "total": total}));
    let empty = fixture.api.get(&fixture.other, &format!("/level3/fluxs?{range}")).await.ok();
    assert_eq!(empty, results(&[0; 8]));
}

#[tokio::test]
async fn an_invalid_or_foreign_series_is_refused() {
    let fixture = TrafficApi::new().await;
    let times = "startTime=1470297000&endTime=1470299100";
    let answer = async |query: &str| {
        let mut answers = Vec::new();
        for path in ["bandwidths", "fluxs", "bandwidths/area", "fluxs/area", "regions", "stats"] {
            answers.push(fixture.api.get(&fixture.user, &format!("/level3/{path}?{query}")).await.body);
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
    let misspelt =
        ["domain=", "domain[]=", "domains=cdn.exrqs.com", "Domain=cdn.exrqs.com", "domain[x]=cdn.exrqs.com"];
    for selection in misspelt {
        assert_eq!(answer(&format!("{selection}&{times}")).await["err"], 2, "{selection}");
        let bill = format!("/level3/billing?month=201608&rule=top5&{selection}");
        assert_eq!(fixture.api.get(&fixture.user, &bill).await.codes(), (200, 2), "{selection}");
    }
    for selection in
        ["domain[0]=other.com", "domain[]=other.com", "domain.0=other.com", "domain=cdn.exrqs.com,other.com"]
    {
        assert_eq!(answer(&format!("{selection}&{times}")).await["err"], 4, "{selection}");
    }
    let codes = async |query: &str| fixture.api.get(&fixture.user, &format!("/level3/{query}")).await.codes();
    assert_eq!(codes("fluxs?startTime=0&endTime=34560000").await, (200, 0));
    assert_eq!(codes("fluxs?startTime=0&endTime=34560001").await, (200, 2), "more than 400 days");
    assert_eq!(codes("fluxs/area?startTime=0&endTime=2678400").await, (200, 0));
    assert_eq!(codes("fluxs/area?startTime=0&endTime=2678401").await, (200, 2), "more than 31 days");
    assert_eq!(codes("regions?startTime=0&endTime=2678400").await, (200, 0));
    assert_eq!(codes("regions?startTime=0&endTime=2678401").await, (200, 2), "more than 31 days");
    let forbidden = json!({"err": 4, "msg": "not permitted"});
    assert_eq!(answer(&format!("domain=other.com&{times}")).await, forbidden);
    assert_eq!(
        answer(&format!("domain=nobody.com&{times}")).await,
        forbidden,
        "whether or not the domain exists"
    );
    assert_eq!(answer(&format!("domain=cdn.exrqs.com&domain.0=other.com&{times}")).await, forbidden);
    assert_eq!(fixture.api.get("", &format!("/level3/fluxs?{times}")).await.codes(), (200, 3));
}

#[tokio::test]
async fn a_month_is_billed_by_each_rule() {
    let fixture = TrafficApi::new().await;
    let (a, b) = (fixture.domain("cdn.exrqs.com"), fixture.domain("cdn.exrqs1.com"));
    // From 2016-08-01 in Shanghai: 400 buckets of one domain, and single buckets of the other on six days.
    let (begin, day) = (1_469_980_800, 86_400);
    let mut cells: Vec<_> = (0..400).map(|n| (a, begin + n * 300, 37_500 + 37_500 * n, None)).collect();
    for (number, flux) in (10..).zip([7, 3, 6, 4, 5]) {
        cells.push((b, begin + number * day, flux * 37_500_000, None));
    }
    // A bucket with traffic of both domains.
    cells.push((b, begin, 8 * 37_500_000 - 37_500, None));
    fixture.record(&cells, &[], "").await;
    let get = async |query: &str| {
        let bill =
            fixture.api.get(&fixture.user, &format!("/level3/billing?month=201608&{query}")).await.ok();
        assert_eq!((&bill["begin"], &bill["until"]), (&json!(begin), &json!(begin + 31 * day)), "{bill}");
        assert_eq!((&bill["err"], &bill["over"]), (&json!(0), &json!(true)), "{bill}");
        (bill["bandwidth"].as_i64().unwrap(), bill["points"].clone())
    };
    let point = |time: i64, value: i64| json!([{"timeStamp": time, "value": value}]);
    // Of 8928 buckets the highest 446 are left out, more than have any traffic.
    assert_eq!(get("rule=month95").await, (0, point(begin + 400 * 300 + 41 * 300, 0)));
    // The daily peaks in descending order: 8000000, 7000000, 6000000, 5000000, 4000000, 3000000, and 400000 on the second day.
    assert_eq!(get("rule=top5").await, (4_000_000, point(begin + 13 * day, 4_000_000)));
    // The second day has 112 of the 400 buckets.
    let (bandwidth, points) = get("rule=daily_peak").await;
    let sum = 8_000_000 + 7_000_000 + 6_000_000 + 5_000_000 + 4_000_000 + 3_000_000 + 400_000;
    assert_eq!(bandwidth, (sum + 15) / 31);
    assert_eq!(points.as_array().unwrap().len(), 31);
    assert_eq!(points[0], json!({"timeStamp": begin, "value": 8_000_000}));
    let (bandwidth, _) = get("rule=top5&domain=cdn.exrqs.com").await;
    assert_eq!(bandwidth, 0, "the domain has traffic on two days");

    let refused =
        async |query: &str| fixture.api.get(&fixture.user, &format!("/level3/billing?{query}")).await.body;
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
async fn the_documented_area_examples_work() {
    let fixture = TrafficApi::new().await;
    let domain = fixture.domain("cdn.exrqs.com");
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
    fixture.record(&cells, &[], "").await;
    let uri = |path: &str| {
        format!("/level3/{path}/area?domain=cdn.exrqs.com&startTime=1470297000&endTime=1470299400")
    };
    let row = |city: &City, value: i64| json!({"city": city.name, "city_cn": city.name_cn, "value": value});
    let expected = json!({"err": 0, "results": [row(&miami, 29_490), row(&seoul, 16_513)]});
    assert_eq!(fixture.api.get(&fixture.user, &uri("fluxs")).await.ok(), expected);
    let expected = json!({"err": 0, "results": [row(&miami, 785), row(&seoul, 439)]});
    assert_eq!(fixture.api.get(&fixture.user, &uri("bandwidths")).await.ok(), expected);

    let without = TrafficApi::with(false).await.api;
    let user = without.login("user").await;
    let refused = without.get(&user, &uri("fluxs")).await.ok();
    assert_eq!(refused, json!({"err": 1, "msg": "no city database is set up (geo_city_database)"}));
}

#[tokio::test]
async fn regions_have_their_level_and_what_has_none_is_unknown() {
    let fixture = TrafficApi::new().await;
    let domain = fixture.domain("cdn.exrqs.com");
    let miami = City { geoname_id: 4_164_138, name: "Miami".to_owned(), name_cn: "迈阿密".to_owned() };
    fixture
        .record(&[(domain, 1_470_297_000, 151, Some(&miami)), (domain, 1_470_297_000, 7, None)], &[], "")
        .await;
    let uri = "/level3/regions?domain=cdn.exrqs.com&startTime=1470297000&endTime=1470299400";
    let row = |level: &str, name: &str, name_cn: &str, value: i64| json!({"level": level, "name": name, "name_cn": name_cn, "value": value});
    let rows = [row("city", "Miami", "迈阿密", 151), row("unknown", "Unknown", "未知", 7)];
    let answer = fixture.api.get(&fixture.user, uri).await.ok();
    assert_eq!(answer, json!({"err": 0, "results": rows, "failures": []}));

    let without = TrafficApi::with(false).await.api;
    let user = without.login("user").await;
    let failure = |cdn: &str| json!({"cdn": cdn, "reason": "no city database is set up (geo_city_database)"});
    let answer = without.get(&user, uri).await.ok();
    let failures = [failure("level3"), failure("qcloud")];
    assert_eq!(answer, json!({"err": 0, "results": [], "failures": failures}));
}

#[tokio::test]
async fn the_documented_log_examples_work() {
    let fixture = TrafficApi::new().await;
    let day = NaiveDate::from_ymd_opt(2016, 9, 29).unwrap();
    let mut twins = fixture.domains.iter().filter(|domain| domain.name == "cdn.exrqs.com");
    let (level3, qcloud) = (twins.next().unwrap().id, twins.next().unwrap().id);
    fixture.record(&[], &[(level3, day, 1900)], "a").await;
    fixture.record(&[], &[(qcloud, day, 4), (fixture.domain("other.com"), day, 7)], "b").await;
    let uri = "/level3/logdownload?domain=cdn.exrqs.com&startDate=20160928&endDate=20160930";
    let listed = fixture.api.get(&fixture.user, uri).await.ok();
    let url = listed["results"][1]["url"].as_str().unwrap().to_owned();
    let row = |date: &str, size: i64, url: &str| json!({"domain": "cdn.exrqs.com", "date": date, "size": size, "url": url});
    let rows = [row("2016-09-28", 0, ""), row("2016-09-29", 1904, &url), row("2016-09-30", 0, "")];
    assert_eq!(listed, json!({"err": 0, "results": rows}));
    let root = "https://api.infquick.com";
    let (file, query) = url.strip_prefix(root).unwrap().split_once('?').unwrap();
    assert_eq!(file, "/level3/log/2016-09-29-cdn.exrqs.com.log.gz");

    let log = fixture.api.get("", &format!("{file}?{query}")).await;
    assert_eq!(log.status, StatusCode::OK);
    assert_eq!(log.headers["content-type"], "application/gzip");
    assert_eq!(log.headers["content-length"], "1904");
    assert_eq!(
        log.body,
        json!(format!("{}bbbb", "a".repeat(1900))),
        "the log holds the lines of the caller only"
    );

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
        for token in ["", "dead", &fixture.other] {
            let answer = fixture.api.get(token, &bad).await;
            assert_eq!((answer.status, answer.body), (StatusCode::FORBIDDEN, refused.clone()), "{bad}");
        }
    }
    let login = json!({"login_email": "user@example.com", "password": PASSWORD});
    let cdn_token = fixture.api.post("", "/level3/login", login).await.ok()["token"].clone();
    for token in [&*fixture.user, cdn_token.as_str().unwrap()] {
        let own = fixture.api.get(token, file).await;
        assert_eq!((own.status, &own.headers["content-length"]), (StatusCode::OK, &"1904".parse().unwrap()));
    }
}

#[tokio::test]
async fn an_invalid_or_foreign_log_request_is_refused() {
    let fixture = TrafficApi::new().await;
    let codes = async |query: &str| {
        fixture.api.get(&fixture.user, &format!("/level3/logdownload?{query}")).await.codes()
    };
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
