//! Lists and sums over all customers, for holders of group 8.

use serde_json::json;

use super::traffic_api::TrafficApi;

#[tokio::test]
async fn customers_are_listed_in_pages() {
    let fixture = TrafficApi::new().await;
    let api = &fixture.api;
    let operator = api.account("operator", "8").await;
    let all = api.get(&operator, "/level3/users?total=1").await;
    assert_eq!(all.headers["x-total-count"], "2");
    let (user, other) = (all.body["results"][0]["id"].clone(), all.body["results"][1]["id"].clone());
    let first = json!({
        "id": user, "login_email": "user@example.com", "operations": true, "cdns": ["level3", "qcloud"], "domains": 2,
    });
    let second = json!({
        "id": other, "login_email": "other@example.com", "operations": true, "cdns": ["level3"], "domains": 1,
    });
    assert_eq!(all.body, json!({"err": 0, "results": [first, second]}));
    let page = async |query: &str| {
        api.get(&operator, &format!("/level3/users?{query}")).await.ok()["results"].clone()
    };
    assert_eq!(page(&format!("start={other}")).await, json!([second]));
    assert_eq!(page("count=1&order=newest").await, json!([second]));
    assert_eq!(page(&format!("order=newest&before={other}")).await, json!([first]));
    for stranger in [&fixture.user, &api.account("outsider", "1,2,3,4,5,6,7,9").await] {
        assert_eq!(api.get(stranger, "/level3/users").await.codes(), (200, 4));
    }
    for (query, why) in [
        ("starts=1", "starts: is not known here"),
        ("count=0", "count: must be from 1 to 1000"),
        ("order=up", "order: must be oldest or newest"),
    ] {
        let refused = api.get(&operator, &format!("/level3/users?{query}")).await.body;
        assert_eq!(refused, json!({"err": 2, "msg": why}));
    }
}

/// 2016-08-01 in Shanghai.
const AUGUST: i64 = 1_469_980_800;

#[tokio::test]
async fn sums_are_told_apart_by_cdn_and_customer() {
    let fixture = TrafficApi::new().await;
    let api = &fixture.api;
    let mut twins = fixture.domains.iter().filter(|domain| domain.name == "cdn.exrqs.com");
    let (level3, qcloud) = (twins.next().unwrap().id, twins.next().unwrap().id);
    let (second, other) = (fixture.domain("cdn.exrqs1.com"), fixture.domain("other.com"));
    let cells = [(level3, 100), (second, 20), (qcloud, 3), (other, 4000), (other, 50_000)];
    let cells: Vec<_> =
        (0..).zip(cells).map(|(n, (domain, flux))| (domain, AUGUST + n * 300, flux, None)).collect();
    fixture.record(&cells, &[], "").await;
    let operator = api.account("operator", "8").await;
    let uri = |end: i64| format!("/level3/total?startTime={AUGUST}&endTime={end}");
    let row = |cdn: &str, who: &str, flux: i64, requests: i64| {
        let mail = format!("{who}@example.com");
        let (hit_flux, hits) = (flux, requests);
        json!({
            "cdn": cdn, "login_email": mail, "flux": flux, "hitFlux": hit_flux, "requests": requests, "hits": hits,
        })
    };
    let sums = api.get(&operator, &uri(AUGUST + 1000)).await.ok();
    let rows = [row("level3", "user", 120, 2), row("level3", "other", 4000, 1), row("qcloud", "user", 3, 1)];
    assert_eq!(sums, json!({"err": 0, "results": rows}), "the last bucket is beyond the end");
    assert_eq!(api.get(&fixture.user, &uri(AUGUST)).await.codes(), (200, 4));
    for query in [
        format!("startTime={AUGUST}"),
        "startTime=0&endTime=34560001".to_owned(),
        format!("{}&cdn=level3", &uri(AUGUST)[14..]),
    ] {
        assert_eq!(api.get(&operator, &format!("/level3/total?{query}")).await.codes(), (200, 2), "{query}");
    }
}

#[tokio::test]
async fn bills_of_all_customers_equal_those_of_each() {
    let fixture = TrafficApi::new().await;
    let api = &fixture.api;
    let mut twins = fixture.domains.iter().filter(|domain| domain.name == "cdn.exrqs.com");
    let (level3, qcloud) = (twins.next().unwrap().id, twins.next().unwrap().id);
    let mut cells =
        vec![(qcloud, AUGUST, 37_500, None), (fixture.domain("other.com"), AUGUST - 300, 9, None)];
    for day in 0..6 {
        cells.push((level3, AUGUST + day * 86_400, 37_500 * (day + 1), None));
    }
    fixture.record(&cells, &[], "").await;
    let operator = api.account("operator", "8").await;
    for rule in ["month95", "daily_peak", "top5"] {
        let bills = api.get(&operator, &format!("/level3/bills?month=201608&rule={rule}")).await.ok();
        let rows = bills["results"].as_array().unwrap();
        let who: Vec<_> = rows
            .iter()
            .map(|row| (row["login_email"].as_str().unwrap(), row["domain"].as_str().unwrap()))
            .collect();
        let user = "user@example.com";
        assert_eq!(
            who,
            [(user, "cdn.exrqs.com"), (user, "cdn.exrqs1.com"), ("other@example.com", "other.com")]
        );
        assert_eq!((&rows[0]["flux"], &rows[0]["requests"]), (&json!(37_500 * 22), &json!(7)));
        for row in rows {
            let (mail, domain) = (row["login_email"].as_str().unwrap(), row["domain"].as_str().unwrap());
            let one = format!("/level3/billing?month=201608&rule={rule}&login_email={mail}&domain={domain}");
            let one = api.get(&operator, &one).await.ok();
            assert_eq!(
                (&row["bandwidth"], &row["points"], &row["rule"]),
                (&one["bandwidth"], &one["points"], &json!(rule))
            );
        }
    }
    let csv = api.get(&operator, "/level3/bills?month=201608&rule=top5&format=csv").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let lines = [
        "login_email,domain,rule,bandwidth,points,flux,requests".to_owned(),
        format!("user@example.com,cdn.exrqs.com,top5,2000,{AUGUST},825000,7"),
        format!("user@example.com,cdn.exrqs1.com,top5,0,{},0,0", AUGUST + 4 * 86_400),
        format!("other@example.com,other.com,top5,0,{},0,0", AUGUST + 4 * 86_400),
    ];
    assert_eq!(csv.body, json!(format!("{}\r\n", lines.join("\r\n"))));
    assert_eq!(api.get(&fixture.user, "/level3/bills?month=201608&rule=top5").await.codes(), (200, 4));
    for (query, why) in [
        ("month=201608&rule=top5&format=xml", "format: must be json or csv"),
        ("month=201608&rule=max", "rule: must be month95, daily_peak or top5"),
        ("month=999912&rule=top5", "month: must have begun"),
        ("month=201608&rule=top5&fmt=csv", "fmt: is not known here"),
    ] {
        let refused = api.get(&operator, &format!("/level3/bills?{query}")).await.body;
        assert_eq!(refused, json!({"err": 2, "msg": why}), "{query}");
    }
}
