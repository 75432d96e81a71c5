//! Shares of traffic by city.

use pilothouse_core::cdn::{City, TrafficQuery};

use super::fixture::{DAY, NOW, TrafficFixture, city, query};

#[tokio::test]
async fn areas_are_summed_over_domains() {
    let fixture = TrafficFixture::new(31).await;
    let cities = [city(1, "Miami"), city(2, "Seoul"), city(0, "Nowhere")];
    let (first, second) = (NOW - 3 * DAY, NOW - DAY);
    let cells = [
        (0, first, 100_000, Some(0)),
        (1, first, 50_000, Some(0)),
        (0, first + 300, 120_000, Some(1)),
        (1, second, 60_000, Some(0)),
        (1, second, 30_000, None),
        (0, second, 30_000, None),
        (0, second + 300, 40_000, Some(2)),
    ];
    fixture.record(&cells, &cities).await;
    let rows = async |bandwidth: bool| {
        let query = TrafficQuery {
            domains: vec!["d0.example.com".into(), "D1.example.com".into(), "d0.example.com".into()],
            ..query(first, NOW)
        };
        let traffic = fixture.pilothouse.traffic();
        let rows = if bandwidth {
            traffic.bandwidths_area(&fixture.caller, &query).await
        } else {
            traffic.fluxs_area(&fixture.caller, &query).await
        };
        rows.unwrap().into_iter().map(|row| (row.city, row.city_cn, row.value)).collect::<Vec<_>>()
    };
    let row = |name: &str, name_cn: &str, value: i64| (name.to_owned(), name_cn.to_owned(), value);
    let fluxs = [
        row("Miami", "Miami市", 210_000),
        row("Seoul", "Seoul市", 120_000),
        row("Unknown", "未知", 60_000),
        row("Nowhere", "Nowhere市", 40_000),
    ];
    let bandwidths = [
        row("Miami", "Miami市", 4000),
        row("Seoul", "Seoul市", 3200),
        row("Unknown", "未知", 1600),
        row("Nowhere", "Nowhere市", 1067),
    ];
    for _ in 0..2 {
        assert_eq!(rows(false).await, fluxs);
        assert_eq!(rows(true).await, bandwidths);
        fixture.maintain().await;
    }
    // A corrected name applies to earlier traffic too; late bytes are added to the sealed ones.
    let renamed = City { name: "Miami Beach".into(), ..city(1, "Miami") };
    fixture.record(&[(0, first, 1, Some(0))], &[renamed]).await;
    assert_eq!(rows(false).await[0], row("Miami Beach", "Miami市", 210_001));
    fixture.maintain().await;
    assert_eq!(rows(false).await[0], row("Miami Beach", "Miami市", 210_001));

    let too_many =
        fixture.pilothouse.traffic().fluxs_area(&fixture.caller, &query(first, NOW)).await.unwrap_err();
    assert_eq!(too_many.to_string(), "domain: must be at most 30 domains, not 31");
}
