//! Account API: the documented examples, permissions, tokens and throttling.

use pilothouse_core::Page;
use pilothouse_core::account::{AuditFilter, Caller};
use serde_json::{Value, json};

use crate::api::{Api, PASSWORD};

fn login(name: &str, password: &str) -> Value {
    json!({"name": name, "password": password})
}

#[tokio::test]
async fn the_documented_user_examples_work() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let data = json!({
        "mail": "user@example.com", "name": "xxx", "passwd": "12345678", "department": "dev", "permissions": "3,1,2",
    });
    let add = json!({"action": "add", "data": data});
    let added = api.post(&root, "/admin/user", add.clone()).await.ok();
    assert_eq!(added, json!({"code": 200, "ok": true, "info": "add user ok"}));
    assert_eq!(api.post(&root, "/admin/user", add).await.codes(), (200, 409));

    let user = json!({"id": 2, "mail": "user@example.com", "name": "xxx", "department": "dev", "permissions": "1,2,3"});
    let found = api.get(&root, "/admin/user?start=0&count=10&username=xxx").await.ok();
    assert_eq!(found, json!({"code": 200, "ok": true, "info": user}));
    assert_eq!(api.get(&root, "/admin/user").await.ok()["info"][1], user);
    assert_eq!(api.get(&root, "/admin/user?username=yyy").await.codes(), (200, 404));

    let access = api.post("", "/admin/user_login", login("xxx", "12345678")).await.ok();
    let own = access["info"]["access_token"].as_str().unwrap().to_owned();
    assert_eq!(access, json!({"code": 200, "ok": true, "info": {"access_token": own}}));
    let by_mail = json!({"username": "USER@example.com", "password": "12345678"});
    assert_eq!(api.post("", "/admin/user_login", by_mail).await.body["code"], 200);
    assert_eq!(
        api.get(&own, "/admin/user").await.ok(),
        json!({"code": 200, "ok": true, "info": [user]}),
        "only itself"
    );
    assert_eq!(api.get(&own, "/admin/user?username=root").await.codes(), (200, 404));

    let update = json!({"action": "update", "data": {
        "mail": "user@example.com", "old_passwd": "12345678", "new_passwd": "87654321", "department": "dev",
        "permissions": "1,2,3",
    }});
    let updated = api.post(&own, "/admin/user", update).await.ok();
    assert_eq!(updated, json!({"code": 200, "ok": true, "info": "update user ok"}));
    assert_eq!(api.get(&own, "/admin/user").await.codes(), (403, 403), "a new password revokes the tokens");
    assert_eq!(api.post("", "/admin/user_login", login("xxx", "12345678")).await.codes(), (403, 403));
    assert_eq!(api.post("", "/admin/user_login", login("xxx", "87654321")).await.body["code"], 200);

    let deleted = api.delete(&root, "/admin/user?name=xxx").await.ok();
    assert_eq!(deleted, json!({"code": 200, "ok": true, "info": "delete user ok"}));
    assert_eq!(api.post("", "/admin/user_login", login("xxx", "87654321")).await.codes(), (403, 403));
}

#[tokio::test]
async fn an_account_grants_and_changes_only_within_its_own_groups() {
    let api = Api::new().await;
    let chief = api.account("chief", "1,7").await;
    api.account("peer", "1,2").await;
    let update = |data: Value| json!({"action": "update", "data": data});
    let add = |permissions: &str| {
        json!({"action": "add", "data": {
            "mail": "new@example.com", "name": "new", "passwd": PASSWORD, "department": "", "permissions": permissions,
        }})
    };
    for body in [
        add("1,2"),
        update(json!({"name": "peer", "department": "x"})),
        update(json!({"name": "peer", "new_passwd": PASSWORD})),
        update(json!({"name": "root", "permissions": ""})),
        update(json!({"permissions": "1,2,7"})),
    ] {
        assert_eq!(api.post(&chief, "/admin/user", body.clone()).await.codes(), (403, 403), "{body}");
    }
    assert_eq!(api.delete(&chief, "/admin/user?name=peer").await.codes(), (403, 403));
    assert_eq!(api.post(&chief, "/admin/user", add("1")).await.body["info"], "add user ok");
    let demote = update(json!({"name": "new", "permissions": ""}));
    assert_eq!(api.post(&chief, "/admin/user", demote).await.body["info"], "update user ok");
    let peer = api.login("peer").await;
    let own = update(json!({"permissions": "1"}));
    assert_eq!(api.post(&peer, "/admin/user", own).await.codes(), (403, 403), "not its own groups without 7");
    let both = update(json!({"name": "new", "mail": "root@example.com"}));
    assert_eq!(api.post(&chief, "/admin/user", both).await.codes(), (200, 400));
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let demote = json!({"action": "update", "data": {"permissions": "1"}});
    assert_eq!(api.delete(&root, "/admin/user?name=root").await.codes(), (200, 409));
    assert_eq!(api.post(&root, "/admin/user", demote).await.codes(), (200, 409));
    let second = api.account("second", "1,2,3,4,5,6,7,8,9").await;
    let (one, two) = tokio::join!(
        api.delete(&root, "/admin/user?name=second"),
        api.delete(&second, "/admin/user?name=root"),
    );
    let left = api
        .pilothouse
        .storage()
        .read()
        .await
        .unwrap()
        .accounts()
        .list(None, pilothouse_core::Page::default())
        .await;
    assert_eq!(left.unwrap().len(), 1, "{} {}", one.body, two.body);
}

#[tokio::test]
async fn tokens_are_listed_and_revoked() {
    let api = Api::new().await;
    let (first, second) = (api.login("root").await, api.login("root").await);
    let listed = api.get(&first, "/admin/token").await.ok();
    assert_eq!(listed["info"].as_array().unwrap().len(), 2);
    assert!(listed["info"][0]["last_used"].as_i64().unwrap() > 0, "{listed}");
    assert!(!listed.to_string().contains(&first));
    let revoke = format!("/admin/token?id={}", listed["info"][1]["id"]);
    assert_eq!(api.delete(&first, &revoke).await.ok()["info"], "delete token ok");
    assert_eq!(api.get(&second, "/admin/token").await.codes(), (403, 403));
    let stranger = api.account("stranger", "6,7").await;
    let others = format!("/admin/token?id={}", listed["info"][0]["id"]);
    assert_eq!(api.delete(&stranger, &others).await.codes(), (200, 404));
    assert_eq!(api.call("POST", &first, "/admin/user_logout", None).await.ok()["info"], "logout ok");
    assert_eq!(api.get(&first, "/admin/token").await.codes(), (403, 403));
}

#[tokio::test]
async fn five_failed_log_ins_throttle_a_name_and_address() {
    let api = Api::new().await;
    api.account("other", "").await;
    for _ in 0..5 {
        assert_eq!(
            api.post("", "/admin/user_login", login("root", "wrong password")).await.codes(),
            (403, 403)
        );
    }
    let throttled = api.post("", "/admin/user_login", login("root", PASSWORD)).await;
    assert_eq!(throttled.codes(), (429, 429), "the right password is throttled too");
    assert!(throttled.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 200);
    let by_mail = api.post("", "/admin/user_login", login("root@example.com", PASSWORD)).await;
    assert_eq!(by_mail.codes(), (200, 200), "nothing tells that name and mail address are of one account");
    assert_eq!(api.post("", "/admin/user_login", login("other", PASSWORD)).await.body["code"], 200);
    let elsewhere = api.pilothouse.logins().login("root", PASSWORD, Some("192.0.2.2".parse().unwrap())).await;
    assert!(elsewhere.is_ok());
    for n in 0..15 {
        let name = format!("unknown{n}");
        assert_eq!(
            api.post("", "/admin/user_login", login(&name, "wrong password")).await.codes(),
            (403, 403)
        );
    }
    assert_eq!(api.post("", "/admin/user_login", login("other", PASSWORD)).await.codes(), (429, 429));
}

#[tokio::test]
async fn writes_and_refusals_are_audited() {
    let api = Api::new().await;
    let nobody = api.account("nobody", "").await;
    for _ in 0..3 {
        assert_eq!(api.get(&nobody, "/api/task").await.codes(), (403, 403));
    }
    let caller = Caller { groups: pilothouse_core::account::Groups::all(), ..caller_of(&api, &nobody).await };
    let rows = api
        .pilothouse
        .audit_trail()
        .list(&caller, &AuditFilter::default(), Page::default())
        .await
        .unwrap()
        .rows;
    let shown: Vec<_> =
        rows.iter().map(|row| (row.actor_name.as_str(), row.action.as_str(), row.object.as_str())).collect();
    assert!(shown.contains(&("root", "account.add", "nobody")), "{shown:?}");
    let refused: i64 = rows
        .iter()
        .filter(|row| row.action == "refused" && row.object == "group 1")
        .map(|row| row.count)
        .sum();
    assert_eq!(refused, 3);
    assert!(!format!("{rows:?}").contains(PASSWORD));
}

#[tokio::test]
async fn an_api_token_opens_what_it_was_made_for() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let app = json!({"app": "app1", "appType": 0, "name": "n", "charger": "c"});
    api.post(&root, "/app/create", app).await.ok();
    let make =
        async |data: Value| api.post(&root, "/admin/api_token", json!({"action": "add", "data": data})).await;
    let made = make(json!({
        "name": "ci", "permissions": "1", "apps": ["app1"], "profiles": "dev,test", "days": "30",
    }))
    .await
    .ok();
    let (id, token) = (made["info"]["id"].clone(), made["info"]["token"].as_str().unwrap().to_owned());
    assert!(token.starts_with("ph_") && token.len() == 67, "{made}");
    assert_eq!(api.get(&token, "/api/task").await.ok()["code"], 200);
    for (method, uri, body) in [
        ("GET", "/api/machine_info", None),
        ("GET", "/admin/token", None),
        ("POST", "/admin/api_token", Some(json!({"action": "add", "data": {"name": "x", "days": 1}}))),
        ("POST", "/admin/user", Some(json!({"action": "update", "data": {"department": "x"}}))),
    ] {
        assert_eq!(api.call(method, &token, uri, body).await.codes(), (403, 403), "{uri}");
    }
    let config = |profile: &str| json!({"app": "app1", "profile": profile, "key": "k", "value": "v"});
    assert_eq!(api.post(&token, "/config/create", config("dev")).await.ok()["code"], 0);
    assert_eq!(api.post(&token, "/config/create", config("prod")).await.codes(), (200, 4));
    assert_eq!(api.get(&token, "/app/key/list/app1").await.codes(), (200, 4));
    assert_eq!(api.get(&token, "/level3/user_domains?login_email=root@example.com").await.codes(), (200, 4));
    let wide = make(
        json!({"name": "wide", "apps": "*", "profiles": "*", "cdn": true, "permissions": "8", "days": 1}),
    );
    let wide = wide.await.ok()["info"]["token"].as_str().unwrap().to_owned();
    assert_eq!(api.post(&wide, "/config/create", config("prod")).await.ok()["code"], 0);
    assert_eq!(api.get(&wide, "/level3/cdn").await.ok()["err"], 0);

    let listed = api.get(&root, "/admin/api_token").await.ok();
    let row = &listed["info"][0];
    assert!(!listed.to_string().contains(&token) && row["last_used"].as_i64().unwrap() > 0, "{listed}");
    assert_eq!(
        (&row["name"], &row["permissions"], &row["apps"]),
        (&json!("ci"), &json!("1"), &json!(["app1"]))
    );
    assert_eq!((&row["profiles"], &row["cdn"]), (&json!(["dev", "test"]), &json!(false)));
    assert_eq!(listed["info"][1]["profiles"], Value::Null);
    for (data, why) in [
        (json!({"name": "ci", "days": 1}), "already exists"),
        (json!({"name": "x", "days": 0}), "days: must be from 1 to 366"),
        (json!({"name": "x", "days": 1, "apps": "a/b"}), "apps: "),
        (json!({"name": "x", "days": 1, "permissions": "10"}), "permissions: "),
        (json!({"name": "x", "days": 1, "scope": "all"}), "data.scope: is not known here"),
        (json!({"name": "x"}), "data.days: is required"),
    ] {
        let refused = make(data).await;
        assert!(refused.body["info"].as_str().unwrap().contains(why), "{}", refused.body);
    }
    let end = format!("/admin/api_token?id={id}");
    assert_eq!(api.delete(&root, &end).await.ok()["info"], "delete api token ok");
    assert_eq!(api.get(&token, "/api/task").await.codes(), (403, 403));
}

#[tokio::test]
async fn an_administrator_disables_accounts_and_ends_their_tokens() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let user = api.account("user", "1").await;
    let second = api.login("user").await;
    let tokens = api.get(&root, "/admin/token?name=user").await.ok();
    let second_id = &tokens["info"][1]["id"];
    let end = format!("/admin/token?name=user&id={second_id}");
    assert_eq!(api.delete(&user, "/admin/token?name=root&id=1").await.codes(), (403, 403));
    assert_eq!(api.delete(&root, &end).await.ok()["info"], "delete token ok");
    assert_eq!(api.get(&second, "/api/task").await.codes(), (403, 403));
    let post = async |action: &str, name: &str| {
        api.post(&root, "/admin/user", json!({"action": action, "data": {"name": name}})).await
    };
    assert_eq!(post("disable", "user").await.ok()["info"], "disable user ok");
    assert_eq!(api.get(&user, "/api/task").await.codes(), (403, 403));
    assert_eq!(api.post("", "/admin/user_login", login("user", PASSWORD)).await.codes(), (403, 403));
    let disabled = api.get(&root, "/admin/user?disabled=1").await.ok();
    assert_eq!(disabled["info"][0]["name"], "user");
    assert_eq!(api.get(&root, "/admin/user?disabled=").await.codes(), (200, 400));
    assert_eq!(post("disable", "root").await.codes(), (200, 409));
    assert_eq!(post("disable", "nobody").await.codes(), (200, 404));
    assert_eq!(post("enable", "user").await.ok()["info"], "enable user ok");
    assert_eq!(api.post("", "/admin/user_login", login("user", PASSWORD)).await.ok()["code"], 200);
    api.post("", "/admin/user_login", login("nobody", "a password typed as a name")).await;
    let trail = api.get(&root, "/audit/list?actor=user&order=newest&count=9").await.ok();
    let rows: Vec<_> = trail["data"].as_array().unwrap().iter().map(|row| row["Action"].clone()).collect();
    assert!(rows.contains(&json!("login")) && rows.contains(&json!("login.refused")), "{trail}");
    assert!(!api.get(&root, "/audit/list?count=1000").await.body.to_string().contains("nobody"));
}

async fn caller_of(api: &Api, token: &str) -> Caller {
    use pilothouse_core::account::TokenAuthenticator;
    use pilothouse_core::ports::Authenticator;
    TokenAuthenticator::new(api.pilothouse.clone()).authenticate(token, None).await.unwrap()
}

#[tokio::test]
async fn the_state_of_the_server_is_told_to_whom_reads_the_audit_trail() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let state = api.get(&root, "/admin/system").await.ok()["info"].clone();
    assert_eq!(state["store"], "memory");
    assert_eq!((&state["readiness"], &state["workers"]), (&json!("ready"), &json!([])));
    let not_set_up = state["not_set_up"].as_array().unwrap();
    assert!(not_set_up.contains(&json!("webhook")) && not_set_up.contains(&json!("geo_city_database")));
    let reader = api.account("reader", "1,6").await;
    assert_eq!(api.get(&reader, "/admin/system").await.codes(), (403, 403));
}
