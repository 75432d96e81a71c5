//! Calls by GET, as in the documented examples.

use serde_json::{Value, json};

use crate::api::Api;

/// The answer of a write without data.
pub(crate) fn success() -> Value {
    json!({"code": 0, "msg": "success", "data": null})
}

/// Calls by GET and expects success; the data of the answer.
pub(crate) async fn ok(api: &Api, token: &str, uri: &str) -> Value {
    let body = api.get(token, uri).await.ok();
    assert_eq!(body["code"], 0, "{uri}: {body}");
    body["data"].clone()
}

/// Calls by GET; the code of the answer.
pub(crate) async fn code(api: &Api, token: &str, uri: &str) -> i64 {
    let answer = api.get(token, uri).await;
    let (status, code) = answer.codes();
    assert_eq!(status, 200, "{uri}: {}", answer.body);
    assert_eq!(answer.body["msg"].is_string(), code != 0 || answer.body["msg"] == "success");
    code
}

/// The account id of the owner of a token.
pub(crate) async fn uid(api: &Api, token: &str) -> i64 {
    let own = api.get(token, "/admin/user").await.ok();
    own["info"].as_array().unwrap().last().unwrap()["id"].as_i64().unwrap()
}

/// Whether a text is a time in the zone of the settings, with its offset.
pub(crate) fn is_local_time(text: &Value) -> bool {
    let text = text.as_str().unwrap();
    text.len() == "2017-07-13T18:14:22+08:00".len() && text.ends_with("+08:00")
}
