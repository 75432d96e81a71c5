//! Safety of sessions: the password asked again, reports of the content policy, choices that are kept.

use axum::http::StatusCode;
use chrono::TimeDelta;

use crate::fixture::{CANARY, Fixture, PASSWORD};

/// The session alone, without the proof that its password was typed of late.
fn without_proof(session: &str) -> String {
    session.split(';').next().unwrap().to_owned()
}

/// The cookies that an answer sets.
fn cookies(answer: &crate::fixture::Answer) -> Vec<String> {
    let cookies = answer.headers.get_all("set-cookie").iter();
    cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_dangerous_asks_for_the_password_again() {
    let fixture = Fixture::seeded().await;
    let session = without_proof(&fixture.session("root").await);
    let disable = [("name", "dev"), ("disabled", "true")];
    let is_disabled = async || {
        let root = fixture.caller("root").await;
        fixture.pilothouse.accounts().find(&root, "dev").await.unwrap().is_disabled
    };
    let path = "/console/admin/accounts/disable";
    let asked = fixture.post(&session, path, &disable).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    assert!(asked.body.contains("name=\"disabled\" value=\"true\""), "what was typed stays: {}", asked.body);
    assert!(asked.body.contains("action=\"/console/admin/accounts/disable\""), "{}", asked.body);
    let wrong = fixture.post(&session, path, &[disable[0], disable[1], ("confirm_password", "wrong")]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("The password is wrong") && cookies(&wrong).is_empty(), "{}", wrong.body);
    assert!(!wrong.body.contains("value=\"wrong\""), "no password is sent back");
    assert!(!is_disabled().await);

    let right = fixture.post(&session, path, &[disable[0], disable[1], ("confirm_password", PASSWORD)]).await;
    assert_eq!(right.location(), "/console/admin/accounts/account?name=dev&notice=saved", "{}", right.body);
    assert!(is_disabled().await);
    let proof = cookies(&right).pop().unwrap();
    let session = format!("{session}; {proof}");
    let enable = [("name", "dev"), ("disabled", "false")];
    fixture.clock.advance(TimeDelta::minutes(9));
    assert_eq!(
        fixture.post(&session, path, &enable).await.status,
        StatusCode::SEE_OTHER,
        "within ten minutes"
    );
    fixture.clock.advance(TimeDelta::minutes(2));
    assert_eq!(fixture.post(&session, path, &disable).await.status, StatusCode::UNAUTHORIZED);
    assert!(!is_disabled().await);
}

#[tokio::test]
async fn a_proof_is_of_one_session_and_opens_nothing_alone() {
    let fixture = Fixture::seeded().await;
    let (own, other) = (fixture.session("root").await, fixture.session("root").await);
    let proof = other.split("; ").nth(1).unwrap();
    let enable = [("name", "dev"), ("disabled", "false")];
    let path = "/console/admin/accounts/disable";
    let mixed = format!("{}; {proof}", without_proof(&own));
    assert_eq!(fixture.post(&mixed, path, &enable).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(fixture.get(proof, "/console").await.status, StatusCode::SEE_OTHER);
    for forged in ["pilothouse-confirmed=9999999999.00", "pilothouse-confirmed=x", "pilothouse-confirmed="] {
        let forged = format!("{}; {forged}", without_proof(&own));
        assert_eq!(fixture.post(&forged, path, &enable).await.status, StatusCode::UNAUTHORIZED, "{forged}");
    }
    assert_eq!(fixture.post(&own, path, &enable).await.status, StatusCode::SEE_OTHER, "a log-in is a proof");
}

#[tokio::test]
async fn everything_that_gives_or_takes_rights_asks() {
    let fixture = Fixture::seeded().await;
    let session = without_proof(&fixture.session("root").await);
    for path in [
        "/me/tokens",
        "/admin/accounts",
        "/admin/accounts/update",
        "/admin/accounts/delete",
        "/admin/accounts/disable",
        "/admin/accounts/end-token",
        "/admin/companies",
        "/apps/shop/members",
        "/apps/shop/members/delete",
        "/apps/shop/keys",
        "/apps/shop/keys/delete",
        "/apps/shop/delete",
        "/machines/enroll",
        "/cdn/customers",
        "/cdn/customers/update",
        "/cdn/customers/delete",
    ] {
        let asked = fixture.post(&session, &format!("/console{path}"), &[("name", CANARY)]).await;
        assert_eq!(asked.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(asked.body.contains("confirm_password") && !asked.body.contains("<canary"), "{path}");
    }
    fixture.get(&session, "/console/admin/accounts").await.ok();
}

#[tokio::test]
async fn guesses_at_the_password_are_throttled_like_log_ins() {
    let fixture = Fixture::seeded().await;
    let session = without_proof(&fixture.session("root").await);
    let mut answers = Vec::new();
    for _ in 0..6 {
        let guess = [("name", "dev"), ("disabled", "true"), ("confirm_password", "guess")];
        answers.push(fixture.post(&session, "/console/admin/accounts/disable", &guess).await.status);
    }
    assert_eq!(answers[4..], [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS]);
}

#[tokio::test]
async fn a_log_in_proves_the_password() {
    let fixture = Fixture::seeded().await;
    let fields = [("name", "root"), ("password", PASSWORD), ("customer", "false")];
    let begun = fixture.post("", "/console/login", &fields).await;
    let cookie = begun.headers.get_all("set-cookie").iter().nth(1).unwrap().to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=600"), "{cookie}");
    let session = cookies(&begun).join("; ");
    let made = fixture.post(&session, "/console/apps/shop/keys", &[]).await;
    assert!(made.ok().contains("class=\"secret\""));
}

#[tokio::test]
async fn violations_of_the_policy_are_taken_from_browsers() {
    let fixture = Fixture::seeded().await;
    let page = fixture.get("", "/console/login").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.ends_with("; report-uri /console/csp"), "{policy}");
    let report = r#"{"csp-report":{"effective-directive":"script-src","blocked-uri":"inline"}}"#;
    let kind = ("content-type", "application/csp-report");
    for (body, expected) in [
        (report.to_owned(), StatusCode::NO_CONTENT),
        ("nothing of the sort".to_owned(), StatusCode::NO_CONTENT),
        ("x".repeat(20_000), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(fixture.send("POST", "/console/csp", &[kind], &body).await.status, expected);
    }
    assert_eq!(fixture.get("", "/console/csp").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn colours_are_the_systems_or_chosen() {
    let fixture = Fixture::seeded().await;
    let page = fixture.get("", "/console/login").await.ok();
    assert!(page.contains("<meta name=\"color-scheme\" content=\"light dark\">"), "{page}");
    assert!(!page.contains("data-theme"), "{page}");
    let chosen = fixture.post("", "/console/theme", &[("theme", "dark"), ("next", "/console/login")]).await;
    assert_eq!(chosen.location(), "/console/login");
    let cookie = cookies(&chosen).pop().unwrap();
    let page = fixture.get(&cookie, "/console/login").await.ok();
    assert!(page.contains("data-theme=\"dark\"") && page.contains("content=\"dark\""), "{page}");
    for (theme, next) in [(CANARY, "/console"), ("", "/console")] {
        let refused = fixture.post("", "/console/theme", &[("theme", theme), ("next", next)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let foreign = fixture.post("", "/console/theme", &[("theme", "light"), ("next", "//evil.example")]).await;
    assert_eq!(foreign.location(), "/console");
}
