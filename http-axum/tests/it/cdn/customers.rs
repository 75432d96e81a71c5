//! Customers API: the documented examples of users, domains, cdns and companies, and permissions.

use pilothouse_core::Settings;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::DomainState;
use pilothouse_http_axum::HttpSettings;
use serde_json::{Value, json};

use crate::api::{Api, PASSWORD};

/// An API with the cdns `level3` and `qcloud`.
async fn server() -> Api {
    let api = Api::with(Settings::default().with_cdns(["level3", "qcloud"]), HttpSettings::default()).await;
    api.pilothouse.cdns().ensure_configured().await.unwrap();
    api
}

/// Adds an account with cdn access; its account token.
async fn customer(api: &Api, name: &str) -> String {
    let token = api.account(name, "").await;
    let root = api.login("root").await;
    let body = json!({"login_email": format!("{name}@example.com"), "password": "cdn password"});
    assert_eq!(api.post(&root, "/level3/user", body).await.ok()["err"], 0);
    token
}

/// Logs a customer in to the cdn family; the token.
async fn cdn_login(api: &Api, name: &str) -> String {
    let body = json!({"login_email": format!("{name}@example.com"), "password": "cdn password"});
    api.post("", "/level3/login", body).await.ok()["token"].as_str().unwrap().to_owned()
}

async fn add_domains(api: &Api, login_email: &str, cdn: &str, domains: Value) -> Value {
    let root = api.login("root").await;
    let body = json!({"login_email": login_email, "cdn": cdn, "domains": domains});
    api.post(&root, "/level3/user_domains", body).await.ok()
}

#[tokio::test]
async fn the_documented_user_examples_work() {
    let api = server().await;
    let root = api.login("root").await;
    api.account("user", "").await;
    let body = json!({"login_email": "user@example.com", "password": "12345678"});
    let unknown = json!({"login_email": "nobody@example.com", "password": "12345678"});
    assert_eq!(api.post(&root, "/level3/user", unknown).await.codes(), (200, 6));
    let created = api.post(&root, "/level3/user", body.clone()).await.ok();
    let user = json!({"err": 0, "user": "user@example.com", "operate_right": true, "cdns": []});
    assert_eq!(created, user);
    assert_eq!(api.post(&root, "/level3/user", body).await.codes(), (200, 5));

    let update = json!({"login_email": "user@example.com", "operations": "false"});
    let updated = api.post(&root, "/level3/user/update", update).await.ok();
    assert_eq!(updated, json!({"err": 0, "user": "user@example.com", "operate_right": false, "cdns": []}));
    let nothing = json!({"login_email": "user@example.com"});
    assert_eq!(api.post(&root, "/level3/user/update", nothing).await.codes(), (200, 2));

    let deleted = api.delete(&root, "/level3/user?login_email=user@example.com").await.ok();
    assert_eq!(deleted, json!({"err": 0}));
    assert_eq!(api.delete(&root, "/level3/user?login_email=user@example.com").await.codes(), (200, 6));
    let body = json!({"login_email": "user@example.com", "password": "12345678", "operations": "false"});
    let created = api.post(&root, "/level3/user?login_email=user@example.com", body).await.ok();
    assert_eq!(created["operate_right"], false);

    let short = json!({"login_email": "user@example.com", "password": "123"});
    let refused = api.post(&root, "/level3/user/update", short).await.ok();
    assert_eq!(refused, json!({"err": 2, "msg": "password: must be at least 8 characters"}));
    let in_query = "/level3/user?login_email=user@example.com&password=12345678";
    assert_eq!(api.call("POST", &root, in_query, None).await.codes(), (200, 2));
}

#[tokio::test]
async fn the_documented_domain_examples_work() {
    let api = server().await;
    let root = api.login("root").await;
    let user = customer(&api, "user").await;
    let added = add_domains(&api, "user@example.com", "level3", json!(["ktest.com", "ctest.com"])).await;
    let results = json!([{"domains": ["ktest.com", "ctest.com"], "cdn": "level3"}]);
    assert_eq!(added, json!({"err": 0, "results": results}));

    let domains = api
        .pilothouse
        .storage()
        .read()
        .await
        .unwrap()
        .domains()
        .of_account(AccountId(2), None)
        .await
        .unwrap();
    let active: Vec<_> = domains.iter().map(|domain| (domain.id, DomainState::Active)).collect();
    let mut work = api.pilothouse.storage().begin().await.unwrap();
    work.domains().set_states(&active).await.unwrap();
    work.commit().await.unwrap();
    let listed = api.get(&user, "/level3/user_domains?login_email=user@example.com").await.ok();
    let expected = json!({
        "err": 0,
        "user": "user@example.com",
        "operate_right": true,
        "results": [{
            "domains": [{"domain": "ktest.com", "state": "Active"}, {"domain": "ctest.com", "state": "Active"}],
            "cdn": "level3",
        }],
    });
    assert_eq!(listed, expected);

    let put = |body: Value| api.call("PUT", &root, "/level3/user_domains", Some(body));
    let one =
        put(json!({"login_email": "user@example.com", "cdn": "level3", "domains": "Test.com"})).await.ok();
    assert_eq!(one, json!({"err": 0, "results": [{"domains": ["test.com"], "cdn": "level3"}]}));
    let both =
        json!({"login_email": "user@example.com", "cdns": ["level3", "qcould"], "domains": ["test.com"]});
    let results =
        json!([{"domains": ["test.com"], "cdn": "level3"}, {"domains": ["test.com"], "cdn": "qcould"}]);
    assert_eq!(put(both).await.ok(), json!({"err": 0, "results": results}));
    let domains = api.get(&user, "/level3/domains").await.ok();
    assert_eq!(domains, json!({"err": 0, "domains": ["test.com"]}));

    let with_id = |id: i64, cdns: Value| json!({"login_email": "user@example.com", "cdns": cdns, "id": id, "domains": []});
    assert_eq!(put(with_id(1, json!(["qcloud"]))).await.codes(), (200, 2));
    assert_eq!(put(with_id(2, json!(["level3", "qcloud"]))).await.codes(), (200, 2));
    assert_eq!(
        put(with_id(2, json!(["qcloud"]))).await.ok()["results"][1],
        json!({"domains": [], "cdn": "qcloud"})
    );
    for (body, code) in [
        (json!({"login_email": "user@example.com", "domains": "a.test"}), 2),
        (
            json!({"login_email": "user@example.com", "cdn": "level3", "cdns": ["qcloud"], "domains": "a.test"}),
            2,
        ),
        (json!({"login_email": "user@example.com", "cdns": [], "domains": "a.test"}), 2),
        (json!({"login_email": "user@example.com", "cdn": "level3", "domains": 5}), 2),
        (json!({"login_email": "user@example.com", "cdn": "level3", "domains": "*.test"}), 2),
        (json!({"login_email": "user@example.com", "cdn": "level3", "domains": "a.test", "zone": 1}), 2),
        (json!({"login_email": "user@example.com", "cdn": "level9", "domains": "a.test"}), 6),
        (json!({"login_email": "root@example.com", "cdn": "level3", "domains": "a.test"}), 6),
    ] {
        assert_eq!(put(body.clone()).await.codes(), (200, code), "{body}");
    }
}

#[tokio::test]
async fn the_documented_mapping_examples_work() {
    let api = server().await;
    let root = api.login("root").await;
    let user = customer(&api, "user").await;
    let empty = api.get(&user, "/level3/user_cdns?login_email=user@example.com").await.ok();
    assert_eq!(empty, json!({"err": 0, "cdns": []}));
    let body = json!({"login_email": "user@example.com", "cdns": ["level3"]});
    let mapped = api.post(&root, "/level3/user_cdns", body.clone()).await.ok();
    assert_eq!(mapped, json!({"err": 0, "cdns": ["level3"]}));
    assert_eq!(api.post(&root, "/level3/user_cdns", body).await.ok(), mapped);
    assert_eq!(api.get(&user, "/level3/user_cdns?login_email=user@example.com").await.ok(), mapped);
}

#[tokio::test]
async fn the_documented_cdn_examples_work() {
    let api = server().await;
    let root = api.login("root").await;
    let user = customer(&api, "user").await;
    let call = |method: &'static str, body: Value| api.call(method, &root, "/level3/cdn", Some(body));
    let listed = api.get(&root, "/level3/cdn").await;
    assert!(listed.headers["deprecation"].to_str().unwrap().starts_with('@'));
    let results = json!([{"id": 1, "name": "level3"}, {"id": 2, "name": "qcloud"}]);
    assert_eq!(listed.ok(), json!({"results": results, "err": 0}));
    let added = call("POST", json!({"cdn": "maichuang"})).await;
    assert!(added.headers.contains_key("deprecation"));
    assert_eq!(added.ok(), json!({"cdn": "maichuang", "id": 3, "err": 0}));
    let renamed = call("PUT", json!({"id": 3, "cdn": "Maichuang"})).await;
    assert!(renamed.headers.contains_key("deprecation"));
    assert_eq!(renamed.ok(), json!({"cdn": "Maichuang", "id": 3, "err": 0}));

    assert_eq!(call("POST", json!({"cdn": "qcould"})).await.codes(), (200, 5));
    assert_eq!(call("PUT", json!({"id": 3, "cdn": "level3"})).await.codes(), (200, 5));
    assert_eq!(call("PUT", json!({"id": 1, "cdn": "level4"})).await.codes(), (200, 7));
    assert_eq!(call("PUT", json!({"id": 9, "cdn": "level4"})).await.codes(), (200, 6));
    assert_eq!(call("POST", json!({"cdn": "a b"})).await.codes(), (200, 2));

    assert_eq!(api.get(&user, "/level3/cdn").await.ok()["results"], json!([]), "only those it is mapped to");
    add_domains(&api, "user@example.com", "Maichuang", json!("a.test")).await;
    assert_eq!(api.get(&user, "/level3/cdn").await.ok()["results"], json!([{"id": 3, "name": "Maichuang"}]));
    let pending = api.get(&user, "/level3/user_domains?login_email=user@example.com").await.ok();
    assert_eq!(pending["results"][0]["domains"][0]["state"], "Pending");
}

#[tokio::test]
async fn the_documented_company_example_works() {
    let api = server().await;
    let root = api.login("root").await;
    let body = |company: &str, owner: &str, mail: &str| json!({"company_name": company, "company_alias": "EX", "owner_name": owner, "owner_email": mail});
    let create = |body: Value| api.post(&root, "/useful/create/company", body);
    let created = create(body("Example", "owner", "owner@example.com")).await.ok();
    let company = json!({
        "id": 1, "company_name": "Example", "company_alias": "EX",
        "owner_name": "owner", "owner_email": "owner@example.com",
    });
    assert_eq!(created, json!({"err": 0, "company": company}));
    assert_eq!(
        api.get(&root, "/admin/user?username=owner@example.com").await.ok()["info"]["permissions"],
        ""
    );
    assert_eq!(create(body("Example", "owner", "owner@example.com")).await.codes(), (200, 5));
    assert_eq!(create(body("Second", "owner", "OWNER@example.com")).await.ok()["err"], 0);
    let person = create(body("Third", "王 小明", "owner@example.com")).await.ok();
    assert_eq!(person["company"]["owner_name"], "王 小明", "a person's name, whoever the account is");
    assert_eq!(create(body("Fourth", "owner", "other@example.com")).await.ok()["err"], 0);
    assert_eq!(create(body("Fifth", "", "fifth@example.com")).await.codes(), (200, 2));
    let list = api.get(&root, "/useful/companies?order=newest&count=2&total=1").await;
    assert_eq!(list.headers["x-total-count"], "4");
    let rows = list.ok()["results"].clone();
    assert_eq!(rows[0]["company_name"], "Fourth");
    assert_eq!(rows[1], person["company"]);
    assert_eq!(api.get(&root, "/useful/companies").await.ok()["results"][0], company);
    assert_eq!(api.get(&root, "/useful/companies?cont=1").await.codes(), (200, 2));
    let writer = api.account("writer", "7").await;
    assert_eq!(api.get(&writer, "/useful/companies").await.codes(), (200, 4), "group 6 reads");
    assert_eq!(api.get(&root, "/admin/user?username=owner").await.codes(), (200, 404), "no log-in");
    let no_password = json!({"name": "owner@example.com", "password": "x"});
    assert_eq!(api.post("", "/admin/user_login", no_password).await.codes(), (403, 403));
    let access = json!({"login_email": "owner@example.com", "password": "12345678"});
    assert_eq!(api.post(&root, "/level3/user", access).await.ok()["err"], 0);
}

#[tokio::test]
async fn a_cdn_token_is_checked_and_revoked() {
    let api = server().await;
    let user = customer(&api, "user").await;
    let body = json!({"login_email": "User@example.com", "password": "cdn password"});
    let access = api.post("", "/level3/login", body).await.ok();
    let token = access["token"].as_str().unwrap().to_owned();
    let expires = access["expires"].as_i64().unwrap();
    assert_eq!(access, json!({"err": 0, "token": token, "user": "user@example.com", "expires": expires}));
    for (mail, password) in
        [("user@example.com", PASSWORD), ("root@example.com", PASSWORD), ("x@example.com", "cdn password")]
    {
        let body = json!({"login_email": mail, "password": password});
        let refused = api.post("", "/level3/login", body).await.ok();
        assert_eq!(refused, json!({"err": 3, "msg": "not authenticated"}), "{mail}");
    }
    let check = |token: &str| json!({"token": token});
    let online = json!({"err": 0, "online": true, "user": "user@example.com"});
    assert_eq!(api.call("GET", "", "/level3/logincheck", Some(check(&token))).await.ok(), online);
    assert_eq!(api.get(&token, "/level3/logincheck").await.ok(), online);
    assert_eq!(api.get(&user, "/level3/logincheck").await.ok(), online, "an account token is valid too");
    let in_query = format!("/level3/logincheck?token={token}");
    assert_eq!(api.get("", &in_query).await.codes(), (200, 2));
    assert_eq!(api.get("", "/level3/logincheck").await.codes(), (200, 2));
    assert_eq!(api.call("GET", &token, "/level3/logincheck", Some(check("x"))).await.codes(), (200, 2));

    assert_eq!(api.get(&token, "/level3/domains").await.ok(), json!({"err": 0, "domains": []}));
    assert_eq!(
        api.get(&token, "/admin/user").await.codes(),
        (403, 403),
        "a cdn token is for the cdn family only"
    );
    for _ in 0..2 {
        assert_eq!(api.post("", "/level3/logout", check(&token)).await.ok(), json!({"err": 0}));
    }
    let offline = json!({"err": 0, "online": false, "user": ""});
    assert_eq!(api.get(&token, "/level3/logincheck").await.ok(), offline);
    assert_eq!(api.call("GET", "", "/level3/logincheck", Some(check("sxkxbzmu72jxm"))).await.ok(), offline);
    assert_eq!(api.get(&token, "/level3/domains").await.codes(), (200, 3));
    assert_eq!(api.call("POST", &user, "/level3/logout", None).await.ok(), json!({"err": 0}));
    assert_eq!(api.get(&user, "/level3/domains").await.codes(), (200, 3));
}

#[tokio::test]
async fn another_customer_is_reached_only_with_group_8() {
    let api = server().await;
    let (user, other) = (customer(&api, "user").await, customer(&api, "other").await);
    add_domains(&api, "other@example.com", "level3", json!("other.test")).await;
    let stranger = api.account("stranger", "1,2,3,4,5,6,7,9").await;
    // A cdn token carries no groups, whatever the account has.
    let operator = api.account("operator", "7,8").await;
    let root = api.login("root").await;
    let access = json!({"login_email": "operator@example.com", "password": "cdn password"});
    assert_eq!(api.post(&root, "/level3/user", access).await.ok()["err"], 0);
    let operator_cdn = cdn_login(&api, "operator").await;
    let user_cdn = cdn_login(&api, "user").await;

    for token in [&user, &stranger, &operator_cdn, &user_cdn] {
        for path in ["/level3/user_domains", "/level3/user_cdns"] {
            for mail in ["other@example.com", "nobody@example.com", "no%20mail"] {
                let uri = format!("{path}?login_email={mail}");
                assert_eq!(api.get(token, &uri).await.codes(), (200, 4), "{uri}");
                assert_eq!(api.get("", &uri).await.codes(), (200, 3), "{uri}");
            }
        }
        let own = "user@example.com";
        for (method, path, body) in [
            ("POST", "/level3/user", json!({"login_email": own, "password": PASSWORD})),
            ("POST", "/level3/user/update", json!({"login_email": own, "operations": true})),
            ("DELETE", "/level3/user", json!({"login_email": own})),
            (
                "POST",
                "/level3/user_domains",
                json!({"login_email": own, "cdn": "level3", "domains": "a.test"}),
            ),
            (
                "PUT",
                "/level3/user_domains",
                json!({"login_email": own, "cdn": "level3", "domains": "a.test"}),
            ),
            ("POST", "/level3/user_cdns", json!({"login_email": own, "cdns": ["level3"]})),
            ("POST", "/level3/cdn", json!({"cdn": "mine"})),
            ("PUT", "/level3/cdn", json!({"id": 1, "cdn": "mine"})),
        ] {
            assert_eq!(
                api.call(method, token, path, Some(body.clone())).await.codes(),
                (200, 4),
                "{method} {path}"
            );
            assert_eq!(api.call(method, "", path, Some(body)).await.codes(), (200, 3), "{method} {path}");
        }
    }
    let company = json!({
        "company_name": "X", "company_alias": "", "owner_name": "x", "owner_email": "x@example.com",
    });
    for token in [&user, &operator_cdn] {
        assert_eq!(api.post(token, "/useful/create/company", company.clone()).await.codes(), (200, 4));
    }
    assert_eq!(
        api.get(&stranger, "/level3/domains").await.codes(),
        (200, 4),
        "an account without cdn access"
    );
    assert_eq!(api.get(&stranger, "/level3/cdn").await.codes(), (200, 4));
    assert_eq!(api.get(&user, "/level3/domains").await.ok()["domains"], json!([]));
    assert_eq!(api.get(&other, "/level3/domains").await.ok()["domains"], json!(["other.test"]));
    let seen = api.get(&operator, "/level3/user_domains?login_email=OTHER@example.com").await.ok();
    assert_eq!(seen["user"], "other@example.com");
    assert_eq!(
        api.get(&operator, "/level3/user_cdns?login_email=stranger@example.com").await.codes(),
        (200, 6)
    );
    let claimed =
        json!({"login_email": "user@example.com", "cdn": "level3", "domains": ["new.test", "other.test"]});
    assert_eq!(api.post(&operator, "/level3/user_domains", claimed).await.codes(), (200, 5));
    assert_eq!(
        api.get(&user, "/level3/domains").await.ok()["domains"],
        json!([]),
        "a refused claim adds no domain"
    );
}
