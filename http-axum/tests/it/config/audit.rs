//! Audit trail over HTTP: filters, paging and permissions.

use serde_json::{Value, json};

use super::get_calls::{code, is_local_time, ok};
use crate::api::Api;

fn members(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_audit_trail_is_filtered_and_hides_values() {
    let api = Api::new().await;
    let (root, auditor) = (api.login("root").await, api.account("auditor", "9").await);
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    ok(&api, &root, "/config/create?app=app1&profile=dev&key=k&value=do-not-tell").await;
    let rows = ok(&api, &auditor, "/audit/list?start=0&count=1000&actor=root&object=app1/dev/k").await;
    let row = &rows[0];
    let names = ["Id", "Time", "Actor", "Address", "Action", "Object", "Old", "New", "Count"];
    let mut expected = names.to_vec();
    expected.sort_unstable();
    let mut found = members(row);
    found.sort_unstable();
    assert_eq!((rows.as_array().unwrap().len(), found), (1, expected));
    assert!(is_local_time(&row["Time"]) && row["New"].as_str().unwrap().len() == 64);
    let shown = [&row["Actor"], &row["Address"], &row["Action"], &row["Object"], &row["Old"], &row["Count"]];
    assert_eq!(
        shown,
        [
            &json!("root"),
            &json!("192.0.2.1"),
            &json!("config.create"),
            &json!("app1/dev/k"),
            &json!(""),
            &json!(1)
        ]
    );
    let all = ok(&api, &auditor, "/audit/list?count=1000").await;
    assert!(!all.to_string().contains("do-not-tell"));
    assert_eq!(ok(&api, &auditor, "/audit/list?since=2100-01-01T00:00:00Z").await, json!([]));
    let until = ok(&api, &auditor, "/audit/list?count=1000&until=2100-01-01T00:00:00%2B08:00").await;
    assert_eq!(until.as_array().unwrap().len(), all.as_array().unwrap().len());
    for bad in ["since=yesterday", "until=2100-01-01", "start=-1", "count=0", "count=1001"] {
        assert_eq!(code(&api, &auditor, &format!("/audit/list?{bad}")).await, 2, "{bad}");
    }
}
