//! A holder of group 8 reads for every customer what the customer reads for itself.

use serde_json::json;

use super::traffic_api::TrafficApi;

#[tokio::test]
async fn an_operator_reads_what_the_customer_reads() {
    let fixture = TrafficApi::new().await;
    let time = 1_470_297_000;
    fixture.record(&[(fixture.domain("cdn.exrqs.com"), time, 151, None)], &[], "").await;
    let api = &fixture.api;
    let operator = api.account("operator", "8").await;
    let outsider = api.account("outsider", "1,2,3,4,5,6,7,9").await;
    let range = format!("startTime={time}&endTime={time}");
    for call in [
        "domains?".to_owned(),
        format!("fluxs?{range}"),
        format!("bandwidths?domain=cdn.exrqs.com&{range}"),
        format!("stats?{range}"),
        format!("fluxs/area?{range}"),
        format!("bandwidths/area?{range}"),
        format!("regions?{range}"),
        "billing?month=201608&rule=top5".to_owned(),
        "logdownload?domain=cdn.exrqs.com&startDate=20160804&endDate=20160804".to_owned(),
    ] {
        let uri = format!("/level3/{call}");
        let own = api.get(&fixture.user, &uri).await.ok();
        assert_eq!(own["err"], 0, "{call}: {own}");
        for mail in ["user@example.com", "USER@example.com"] {
            let named = format!("{uri}&login_email={mail}");
            assert_eq!(api.get(&fixture.user, &named).await.ok(), own, "{named}");
            assert_eq!(api.get(&operator, &named).await.ok(), own, "{named}");
            for stranger in [&outsider, &fixture.other] {
                assert_eq!(api.get(stranger, &named).await.codes(), (200, 4), "{named}");
            }
        }
        assert_eq!(api.get(&operator, &uri).await.codes(), (200, 6), "{call}: it is no customer itself");
        for (mail, code) in [("nobody@example.com", 6), ("operator@example.com", 6), ("", 2)] {
            let codes = api.get(&operator, &format!("{uri}&login_email={mail}")).await.codes();
            assert_eq!(codes, (200, code), "{call} of {mail}");
        }
        let misspelt = api.get(&operator, &format!("{uri}&Login_email=user@example.com")).await;
        assert_eq!(misspelt.codes(), (200, 2), "{call}: {}", misspelt.body);
    }
    let foreign = format!("/level3/fluxs?login_email=user@example.com&domain=other.com&{range}");
    assert_eq!(api.get(&operator, &foreign).await.body, json!({"err": 4, "msg": "not permitted"}));
}
