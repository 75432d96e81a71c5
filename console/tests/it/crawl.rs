//! Every page as every kind of caller: nothing that is shown is refused, nothing that is stored is taken for markup.

use std::collections::{BTreeSet, VecDeque};

use axum::http::StatusCode;

use crate::fixture::{Fixture, PASSWORD};
use crate::markup::{Form, forms, tags};

/// A value for a field that has to be filled in.
fn sample(name: &str, kind: &str) -> String {
    let value = match (name, kind) {
        ("old", _) => PASSWORD,
        (_, "password") => "another long password",
        (_, "email") => "dev@example.com",
        ("ip" | "inside_ip", _) => "10.0.0.9",
        ("account", _) => "1",
        ("urls", _) => "http://cdn.example.com/a.css",
        ("domains", _) => "new.example.com",
        ("month", _) => "2016-09",
        ("content", _) => "/etc/motd",
        ("app", _) => "new-app",
        _ => "sample",
    };
    value.to_owned()
}

/// What must not stand in any page.
fn check_markup(path: &str, page: &str) {
    assert!(!page.contains("<canary"), "{path}: a stored text became markup");
    for tag in tags(page) {
        for (name, value) in &tag.attributes {
            assert!(
                name != "style" && !name.starts_with("on") && !name.starts_with("hx-on"),
                "{path}: {name}"
            );
            assert!(!value.trim_start().to_ascii_lowercase().starts_with("javascript:"), "{path}: {value}");
        }
        match &*tag.name {
            "script" => {
                assert!(
                    tag.attribute("src").is_some() && tag.text.trim().is_empty(),
                    "{path}: inline script"
                );
            }
            "style" => panic!("{path}: inline style"),
            _ => {}
        }
    }
}

/// A form without what differs from row to row.
fn signature(form: &Form) -> String {
    let action: String = form.action.chars().filter(|c| !c.is_ascii_digit()).collect();
    let names: Vec<_> = form.fields.iter().map(|(name, _)| &**name).collect();
    let demand = form.fields.iter().find(|(name, _)| name == "demand").map_or("", |(_, value)| value);
    format!("{} {action} {names:?} {demand}", form.method)
}

/// Opens every page that links and forms lead to, and sends every form to a copy of the store.
async fn crawl(fixture: &Fixture, name: &str, session: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::from(["/console".to_owned()]);
    let mut sent = BTreeSet::new();
    let mut waiting = VecDeque::from(["/console".to_owned()]);
    while let Some(path) = waiting.pop_front() {
        let answer = fixture.get(session, &path).await;
        let is_file =
            answer.headers.get("content-type").is_none_or(|kind| !kind.as_bytes().starts_with(b"text/html"));
        assert_eq!(answer.status, StatusCode::OK, "{path} as {name}: {}", answer.body);
        if is_file {
            continue;
        }
        check_markup(&path, &answer.body);
        for tag in tags(&answer.body) {
            let links = [tag.attribute("href").filter(|_| tag.name == "a"), tag.attribute("hx-get")];
            for link in links.into_iter().flatten().filter(|link| link.starts_with("/console")) {
                let link = link.split('#').next().unwrap().to_owned();
                if seen.insert(link.clone()) {
                    waiting.push_back(link);
                }
            }
        }
        for form in forms(&answer.body, sample) {
            if !sent.insert(signature(&form)) {
                continue;
            }
            let fields: Vec<_> = form.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
            let done = if form.enctype == "multipart/form-data" {
                let fields: Vec<_> = fields.into_iter().filter(|(name, _)| *name != "file").collect();
                fixture.fork().upload(session, &form.action, "a file", &fields).await
            } else if form.method == "get" {
                let query: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| format!("{name}={}", crate::fixture::escaped(value)))
                    .collect();
                fixture.get(session, &format!("{}?{}", form.action, query.join("&"))).await
            } else {
                fixture.fork().post(session, &form.action, &fields).await
            };
            let kind = done.status.as_u16();
            assert!(
                matches!(kind, 200 | 303 | 409 | 422),
                "{form:?} on {path} as {name}: {kind} {}",
                done.body
            );
            check_markup(&form.action, &done.body);
        }
    }
    seen
}

#[tokio::test]
async fn nothing_that_is_shown_is_refused() {
    let fixture = Fixture::seeded().await;
    fixture.register("seen").await;
    let customer = fixture.cdn_session().await;
    let mut pages = 0;
    for name in ["root", "dev", "cust", "nobody", "clerk", "customer"] {
        let session = if name == "customer" { customer.clone() } else { fixture.session(name).await };
        let seen = crawl(&fixture, name, &session).await;
        pages += seen.len();
        let is_there = |part: &str| seen.iter().any(|path| path.contains(part));
        if name == "root" {
            for part in [
                "/publish?key=",
                "/item?key=",
                "/releases/",
                "/rollback",
                "/changesets/",
                "/text",
                "/files",
                "/compare?",
                "/cdn/jobs/refresh-",
                "/tasks/",
                "?edit=",
                "/batches/new",
                "/machines/machine?",
                "/accounts/account?",
                "/thresholds?customer",
                "/bills.csv",
                "/nodes/node?id=seen",
            ] {
                assert!(is_there(part), "{part} is not linked");
            }
        }
        assert_eq!(is_there("/publish?"), name == "root", "{name}");
    }
    assert!(pages > 160, "only {pages} pages were found");
}
