//! Calls without a token or without a grant.

use serde_json::json;

use super::get_calls::{code, ok};
use crate::api::Api;

#[tokio::test]
async fn calls_without_a_token_or_a_grant_are_refused() {
    let api = Api::new().await;
    let (root, ann) = (api.login("root").await, api.account("ann", "1,2,3,4,5,6,8").await);
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    let id = ok(&api, &root, "/config/create?app=app1&profile=dev&key=k&value=1").await;
    let published = format!("/publish?id={id}");
    for uri in [
        "/app/update?app=app1",
        "/app/update?app=absent",
        "/app/del/app1",
        "/app/del/absent",
        "/userauth/create?app=app1&permission=1&uid=1&username=",
        "/userauth/create?app=absent&permission=1&uid=1&username=",
        "/userauth/list/app1",
        "/userauth/list/absent",
        "/userauth/del?id=2",
        "/userauth/del?id=1000000",
        "/userauth/update_permission?id=2&permission=1",
        "/userauth/update_permission?id=1000000&permission=1",
        "/config/create?app=app1&profile=dev&key=k2&value=",
        "/config/create?app=absent&profile=dev&key=k2&value=",
        "/config/update?app=app1&profile=dev&key=k&value=",
        "/config/queryWithKey?app=app1&profile=dev&key=k",
        "/config/queryWithKey?app=absent&profile=dev&key=k",
        "/config/query?app=app1&profile=dev",
        "/config/query?app=absent&profile=dev",
        "/config/del?app=app1&profile=dev&key=k",
        "/config/approve?app=app1&profile=dev&key=k",
        "/config/rollback?app=app1&profile=dev&key=k&version=1",
        "/config/profiles/app1",
        "/config/profiles/absent",
        "/config/history?app=app1&profile=dev&key=k",
        "/config/diff?app=app1&profile=dev&key=k&from=1&to=1",
        "/node/list?app=app1&profile=dev",
        "/node/list?app=absent&profile=dev",
        &published,
        "/publish?id=1000000",
        "/audit/list",
    ] {
        assert_eq!(code(&api, "", uri).await, 3, "{uri}");
        assert_eq!(code(&api, &ann, uri).await, 4, "{uri}");
    }
    assert_eq!(code(&api, "", "/app/list").await, 3);
    assert_eq!(ok(&api, &ann, "/app/list").await, json!([]));
}
