//! Sessions: what opens the console, what it opens, and how it ends.

use axum::http::StatusCode;
use chrono::TimeDelta;
use pilothouse_core::account::Scope;
use serde_json::json;

use crate::fixture::{CANARY, Fixture, PASSWORD};

/// Pages and calls that every account may see.
const PAGES: [&str; 3] = ["/console", "/console/me", "/console/apps"];

#[tokio::test]
async fn a_log_in_leads_back_to_the_page_that_was_asked_for() {
    let fixture = Fixture::seeded().await;
    let asked = fixture.get("", "/console/apps?text=a%26b").await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER);
    assert_eq!(asked.location(), "/console/login?next=%2Fconsole%2Fapps%3Ftext%3Da%2526b");
    let form = fixture.get("", asked.location()).await.ok();
    assert!(form.contains("value=\"/console/apps?text=a%26b\""), "{form}");

    let fields = [
        ("name", "root"),
        ("password", PASSWORD),
        ("next", "/console/apps?text=a%26b"),
        ("customer", "false"),
    ];
    let begun = fixture.post("", "/console/login", &fields).await;
    assert_eq!((begun.status, begun.location()), (StatusCode::SEE_OTHER, "/console/apps?text=a%26b"));
    let cookie = begun.headers["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("pilothouse=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let session = cookie.split(';').next().unwrap();
    assert!(fixture.get(session, "/console").await.ok().contains("root"));

    for (name, password) in [("root", "wrong"), ("unknown", PASSWORD)] {
        let fields = [("name", name), ("password", password), ("customer", "false")];
        let refused = fixture.post("", "/console/login", &fields).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(refused.headers.get("set-cookie").is_none());
        assert!(refused.body.contains("Name or password is wrong") && refused.body.contains(name));
    }
}

#[tokio::test]
async fn a_session_opens_no_call_and_a_token_no_page() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    for page in PAGES {
        fixture.get(&session, page).await.ok();
    }
    let secret = session.strip_prefix("pilothouse=").unwrap().split(';').next().unwrap();
    let bearer = format!("Bearer {secret}");
    for call in
        ["/api/task", "/admin/user", "/admin/token", "/app/list", "/level3/edges?cdn=level3", "/audit/list"]
    {
        for headers in [[("authorization", &*bearer)], [("cookie", &*session)]] {
            let answer = fixture.send("GET", call, &headers, "").await;
            let code: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            let code = code["code"].as_i64().or(code["err"].as_i64());
            assert!(matches!(code, Some(403 | 3)), "{call}: {}", answer.body);
        }
    }
    for call in ["/level3/logincheck", "/level3/logout"] {
        fixture.call("", call, &json!({"token": secret})).await;
        fixture.get(&session, "/console").await.ok();
    }
    let known = fixture.call("", "/level3/logincheck", &json!({"token": secret})).await;
    assert!(!known.to_string().contains("root"), "{known}");

    let token = fixture.token("root").await;
    let bearer = format!("Bearer {token}");
    for headers in [[("authorization", bearer)], [("cookie", format!("pilothouse={token}"))]] {
        let [(name, value)] = &headers;
        for page in PAGES {
            let answer = fixture.send("GET", page, &[(*name, value)], "").await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{page} by {name}");
        }
    }
}

#[tokio::test]
async fn a_session_ends_by_log_out_disuse_expiry_and_a_changed_password() {
    let fixture = Fixture::seeded().await;
    let opens = async |session: &str| fixture.get(session, "/console/me").await.status == StatusCode::OK;

    let session = fixture.session("root").await;
    let ended = fixture.post(&session, "/console/logout", &[]).await;
    assert_eq!(ended.location(), "/console/login");
    assert!(ended.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert!(!opens(&session).await, "after the log-out");

    let session = fixture.session("root").await;
    for _ in 0..5 {
        fixture.clock.advance(TimeDelta::minutes(119));
        assert!(opens(&session).await, "in use");
        fixture.pilothouse.housekeep().await.unwrap();
    }
    fixture.clock.advance(TimeDelta::minutes(121));
    assert!(!opens(&session).await, "not used for two hours");

    let session = fixture.session("root").await;
    for _ in 0..7 {
        fixture.clock.advance(TimeDelta::minutes(100));
        assert!(opens(&session).await);
    }
    fixture.clock.advance(TimeDelta::minutes(100));
    assert!(!opens(&session).await, "expired after 12 hours, used all the time");

    let (session, other) = (fixture.session("root").await, fixture.session("root").await);
    let wrong = [("old", "wrong"), ("new", "another long one"), ("again", "another long one")];
    let refused = fixture.post(&session, "/console/me/password", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let change = [("old", PASSWORD), ("new", "another long one"), ("again", "another long one")];
    assert_eq!(fixture.post(&session, "/console/me/password", &change).await.status, StatusCode::SEE_OTHER);
    assert!(!opens(&session).await && !opens(&other).await);
}

#[tokio::test]
async fn a_session_of_a_customer_ends_with_its_access() {
    let fixture = Fixture::seeded().await;
    let session = fixture.cdn_session().await;
    let page = fixture.get(&session, "/console/cdn/jobs").await.ok();
    assert!(page.contains("cust@example.com") && !page.contains("/console/apps"), "{page}");
    assert_eq!(fixture.get(&session, "/console/apps").await.status, StatusCode::FORBIDDEN);
    let root = fixture.session("root").await;
    let change = [("mail", "cust@example.com"), ("operations", "true")];
    fixture.post(&root, "/console/cdn/customers/update", &change).await;
    assert_eq!(fixture.get(&session, "/console/cdn/jobs").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_like_tokens() {
    let fixture = Fixture::seeded().await;
    let (one, other) = (fixture.session("root").await, fixture.session("root").await);
    let root = fixture.caller("root").await;
    let tokens = fixture.pilothouse.tokens().list(&root, None).await.unwrap();
    let sessions: Vec<_> = tokens.iter().filter(|token| token.scope == Scope::Console).collect();
    assert_eq!(sessions.len(), 2);
    let id = sessions[1].id.to_string();
    let ended = fixture.post(&one, "/console/me/tokens/end", &[("id", &id)]).await;
    assert_eq!(ended.location(), "/console/me?notice=ended");
    assert_eq!(fixture.get(&other, "/console").await.status, StatusCode::SEE_OTHER);
    fixture.get(&one, "/console").await.ok();
}

#[tokio::test]
async fn an_api_token_is_shown_once() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let fields = [("name", "ci"), ("days", "30"), ("permissions", "1"), ("apps", "shop"), ("profiles", "")];
    let page = fixture.post(&session, "/console/me/tokens", &fields).await.ok();
    let token = page.split("ph_").nth(1).map(|rest| format!("ph_{}", &rest[..64])).unwrap();
    assert!(!fixture.get(&session, "/console/me").await.ok().contains(&token));
    let tasks = fixture.send("GET", "/api/task", &[("authorization", &format!("Bearer {token}"))], "").await;
    assert!(tasks.body.contains("\"ok\":true"), "{}", tasks.body);
}

#[tokio::test]
async fn the_first_account_is_made_once_by_the_link() {
    let fixture = Fixture::empty();
    let code = fixture.console.new_setup_code().unwrap();
    assert_eq!(fixture.get("", "/console/setup?code=0").await.status, StatusCode::NOT_FOUND);
    let link = format!("/console/setup?code={code}");
    assert!(fixture.get("", &link).await.ok().contains(&code));
    let fields = |mail: &'static str, again: &'static str| {
        [("name", "ann"), ("mail", mail), ("password", PASSWORD), ("again", again)]
    };
    let send = async |fields: [(&'static str, &'static str); 4], code: &str| {
        let fields: Vec<_> = fields.into_iter().chain([("code", code)]).collect();
        fixture.post("", "/console/setup", &fields).await
    };
    assert_eq!(send(fields("ann@example.com", PASSWORD), "0").await.status, StatusCode::NOT_FOUND);
    for (mail, again) in [("ann", PASSWORD), ("ann@example.com", "other")] {
        let refused = send(fields(mail, again), &code).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.body.contains("value=\"ann\""), "what was typed stays: {}", refused.body);
    }
    let made = send(fields("ann@example.com", PASSWORD), &code).await;
    let session = made.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(fixture.get(&session, "/console/admin/accounts").await.ok().contains("ann@example.com"));
    assert_eq!(send(fields("b@example.com", PASSWORD), &code).await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.get("", &link).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn forms_of_other_sites_change_nothing() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    for headers in [
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", "https://evil.example"), ("host", "127.0.0.1:8080")],
        vec![("origin", "null"), ("host", "127.0.0.1:8080")],
        vec![],
    ] {
        let headers: Vec<_> = headers.into_iter().chain([("cookie", &*session), form]).collect();
        let refused = fixture.send("POST", "/console/apps", &headers, "app=x&name=x&charger=x").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{headers:?}");
        let refused = fixture.send("POST", "/console/login", &headers, "name=root&password=x").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert!(!fixture.get(&session, "/console/apps").await.ok().contains("/console/apps/x\""));
    let headers =
        [("cookie", &*session), form, ("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")];
    let created = fixture.send("POST", "/console/apps", &headers, "app=x&name=x&charger=x").await;
    assert_eq!(created.location(), "/console/apps/x?notice=created");
}

#[tokio::test]
async fn every_answer_has_the_policy_and_is_kept_nowhere() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    for (session, path) in
        [("", "/console/login"), (&session, "/console"), (&session, "/console/nothing"), ("", "/console/me")]
    {
        let answer = fixture.get(session, path).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "same-origin");
    }
    let css = fixture.get(&session, "/console").await.ok();
    let path = css.split("href=\"").find(|rest| rest.starts_with("/console/assets/")).unwrap();
    let path = path.split('"').next().unwrap().to_owned();
    let asset = fixture.get("", &path).await;
    assert_eq!(asset.status, StatusCode::OK);
    assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"));
    let other = path.replace("/assets/", "/assets/0");
    assert_eq!(fixture.get("", &other).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_language_is_the_browsers_or_chosen() {
    let fixture = Fixture::seeded().await;
    let chinese = [("accept-language", "zh-CN,zh;q=0.9")];
    let page = fixture.send("GET", "/console/login", &chinese, "").await.ok();
    assert!(page.contains("<html lang=\"zh-CN\">") && page.contains("登录"), "{page}");
    let chosen =
        fixture.post("", "/console/language", &[("language", "en"), ("next", "/console/login")]).await;
    assert_eq!(chosen.location(), "/console/login");
    let cookie = chosen.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let page = fixture.send("GET", "/console/login", &[chinese[0], ("cookie", &*cookie)], "").await.ok();
    assert!(page.contains("<html lang=\"en\">"));
    assert_eq!(
        fixture.post("", "/console/language", &[("language", CANARY)]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn a_language_chosen_on_a_refused_form_leads_to_the_page_of_the_form() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let page = "/console/apps/shop/profiles/prod?edit=motd";
    let referer = format!("http://host.example{page}");
    let headers = [
        ("cookie", &*session),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("referer", &*referer),
    ];
    let path = "/console/apps/shop/profiles/prod/update";
    let stale = fixture.send("POST", path, &headers, "key=motd&value=x&version=9").await;
    assert_eq!(stale.status, StatusCode::CONFLICT, "{}", stale.body);
    assert!(stale.body.contains(&format!("name=\"next\" value=\"{page}\"")), "{}", stale.body);
    // Whoever hides where the form was is led to its path, and on from there.
    let hidden = fixture.send("POST", path, &headers[..3], "key=motd&value=x&version=9").await;
    assert!(hidden.body.contains(&format!("name=\"next\" value=\"{path}\"")), "{}", hidden.body);
    assert_eq!(fixture.get(&session, path).await.location(), "/console/apps/shop/profiles/prod");
}
