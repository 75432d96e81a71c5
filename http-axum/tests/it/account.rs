//! The samples of the accounts' part of the ops document, and what it forbids.

use pilothouse_core::Page;
use pilothouse_core::account::{AuditFilter, Caller};
use serde_json::{Value, json};

use crate::api::{Api, PASSWORD};

fn login(name: &str, password: &str) -> Value {
    json!({"name": name, "password": password})
}

#[tokio::test]
async fn user_samples() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let data = json!({
        "mail": "user@example.com", "name": "xxx", "passwd": "12345678", "department": "dev", "permissions": "3,1,2",
    });
    let add = json!({"action": "add", "data": data});
    let added = api.post(&root, "/admin/user", add.clone()).await.ok();
    assert_eq!(added, json!({"code": 200, "info": "add user ok"}));
    assert_eq!(api.post(&root, "/admin/user", add).await.codes(), (200, 409));

    let user = json!({"id": 2, "mail": "user@example.com", "name": "xxx", "department": "dev", "permissions": "1,2,3"});
    let found = api.get(&root, "/admin/user?start=0&count=10&username=xxx").await.ok();
    assert_eq!(found, json!({"code": 200, "info": user}));
    assert_eq!(api.get(&root, "/admin/user").await.ok()["info"][1], user);
    assert_eq!(api.get(&root, "/admin/user?username=yyy").await.codes(), (200, 404));

    let access = api.post("", "/admin/user_login", login("xxx", "12345678")).await.ok();
    let own = access["info"]["access_token"].as_str().unwrap().to_owned();
    assert_eq!(access, json!({"code": 200, "info": {"access_token": own}}));
    let by_mail = json!({"username": "USER@example.com", "password": "12345678"});
    assert_eq!(api.post("", "/admin/user_login", by_mail).await.body["code"], 200);
    assert_eq!(api.get(&own, "/admin/user").await.ok(), json!({"code": 200, "info": [user]}), "only itself");
    assert_eq!(api.get(&own, "/admin/user?username=root").await.codes(), (200, 404));

    let update = json!({"action": "update", "data": {
        "mail": "user@example.com", "old_passwd": "12345678", "new_passwd": "87654321", "department": "dev",
        "permissions": "1,2,3",
    }});
    let updated = api.post(&own, "/admin/user", update).await.ok();
    assert_eq!(updated, json!({"code": 200, "info": "update user ok"}));
    assert_eq!(api.get(&own, "/admin/user").await.codes(), (403, 403), "a new password revokes the tokens");
    assert_eq!(api.post("", "/admin/user_login", login("xxx", "12345678")).await.codes(), (403, 403));
    assert_eq!(api.post("", "/admin/user_login", login("xxx", "87654321")).await.body["code"], 200);

    let deleted = api.delete(&root, "/admin/user?name=xxx").await.ok();
    assert_eq!(deleted, json!({"code": 200, "info": "delete user ok"}));
    assert_eq!(api.post("", "/admin/user_login", login("xxx", "87654321")).await.codes(), (403, 403));
}

#[tokio::test]
async fn nobody_reaches_beyond_its_own_groups() {
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
        .list(pilothouse_core::Page::default())
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
async fn five_failures_shut_a_name_out_from_an_address() {
    let api = Api::new().await;
    api.account("other", "").await;
    for _ in 0..5 {
        assert_eq!(
            api.post("", "/admin/user_login", login("root", "wrong password")).await.codes(),
            (403, 403)
        );
    }
    let shut = api.post("", "/admin/user_login", login("root", PASSWORD)).await;
    assert_eq!(shut.codes(), (429, 429), "a right password does not get through");
    assert!(shut.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 200);
    let by_mail = api.post("", "/admin/user_login", login("root@example.com", PASSWORD)).await;
    assert_eq!(by_mail.codes(), (429, 429), "the mail is the same name");
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
async fn refusals_and_deeds_are_audited() {
    let api = Api::new().await;
    let nobody = api.account("nobody", "").await;
    for _ in 0..3 {
        assert_eq!(api.get(&nobody, "/api/task").await.codes(), (403, 403));
    }
    let caller = Caller { groups: pilothouse_core::account::Groups::all(), ..caller_of(&api, &nobody).await };
    let rows =
        api.pilothouse.audit_trail().list(&caller, &AuditFilter::default(), Page::default()).await.unwrap();
    let told: Vec<_> =
        rows.iter().map(|row| (row.actor_name.as_str(), row.action.as_str(), row.object.as_str())).collect();
    assert!(told.contains(&("root", "account.add", "nobody")), "{told:?}");
    let refused: i64 = rows
        .iter()
        .filter(|row| row.action == "refused" && row.object == "group 1")
        .map(|row| row.count)
        .sum();
    assert_eq!(refused, 3);
    assert!(!format!("{rows:?}").contains(PASSWORD));
}

async fn caller_of(api: &Api, token: &str) -> Caller {
    use pilothouse_core::account::TokenAuthenticator;
    use pilothouse_core::ports::Authenticator;
    TokenAuthenticator::new(api.pilothouse.clone()).authenticate(token, None).await.unwrap()
}
