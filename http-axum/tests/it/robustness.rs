//! Robustness of every operation: each parameter with values of wrong types, sizes and encodings.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use pilothouse_http_axum::Family;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::api::{Answer, PASSWORD};
use crate::operation_calls::{Call, calls};
use crate::seeded_api::{Identity, SeededApi};

/// Texts that no answer may contain.
const LEAKS: [&str; 6] = ["SELECT", "INSERT", "/src/", "sqlx", "panicked", "argon2"];

/// Values that are invalid for most parameters and must be harmless for all.
fn values() -> Vec<Value> {
    let huge = "x".repeat(1 << 20);
    vec![
        Value::Null,
        json!(""),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!("9223372036854775808"),
        json!("\0"),
        json!("a\u{1}b\u{7f}\u{85}"),
        json!("\u{202e}\u{feff}😀"),
        json!("' OR 1=1; --"),
        json!("%00%ff"),
        json!([null, [], {}]),
        json!({"x": {"x": {}}}),
        json!(huge),
    ]
}

/// Records internal errors, leaks and oversized answers; the envelope was checked against the document on arrival.
fn inspect(call: &Call, api: &SeededApi, what: &str, answer: &Answer, wrong: &mut Vec<String>) {
    let text = answer.body.to_string();
    let mut note = |why: &str| {
        let start: String = text.chars().take(300).collect();
        wrong.push(format!("{} with {what}: {why}: {} {start}", call.operation.id(), answer.status));
    };
    // Areas are unavailable without a city database, which is not an internal error.
    let unavailable = call.code == 1;
    if answer.status.is_server_error() || (answer.codes().1 == 1 && !unavailable) {
        note("an internal error");
    }
    let secrets = [PASSWORD, api.token(Identity::Root), api.token(Identity::Customer)];
    if LEAKS.into_iter().chain(secrets).any(|leak| text.contains(leak)) {
        note("a leak");
    }
    if answer.codes().1 == call.code && text.len() > 100_000 {
        note("accepted, and echoed at length");
    }
}

/// The JSON pointers of all members of the arguments, at every depth.
fn members(arguments: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in arguments.as_object().into_iter().flatten() {
        paths.push(format!("/{name}"));
        paths.extend(members(value).into_iter().map(|path| format!("/{name}{path}")));
    }
    paths
}

#[tokio::test]
async fn no_argument_causes_an_internal_error_or_a_leak() {
    let fresh = SeededApi::new().await;
    let before = fresh.dump();
    let mut api = fresh.fork();
    let mut wrong = Vec::new();
    let values = values();
    for call in calls(&fresh) {
        for member in members(&call.existing) {
            let mut without = call.existing.clone();
            let (parent, name) = member.rsplit_once('/').unwrap();
            without.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().remove(name);
            let changed = values.iter().map(|value| {
                let mut changed = call.existing.clone();
                *changed.pointer_mut(&member).unwrap() = value.clone();
                (changed, value)
            });
            for (arguments, value) in changed.chain([(without, &Value::Null)]) {
                let (uri, body) = call.request(&arguments);
                // The server refuses a request line this long before it is routed.
                if uri.len() > 60_000 {
                    continue;
                }
                let answer = api.call(call.by, call.operation.method, &uri, body);
                let limit = Duration::from_secs(if call.may_wait() { 1 } else { 60 });
                let Ok(answer) = timeout(limit, answer).await else {
                    assert!(call.may_wait(), "{uri}");
                    continue;
                };
                let shown: String = value.to_string().chars().take(40).collect();
                inspect(&call, &api, &format!("{member} = {shown}"), &answer, &mut wrong);
            }
        }
        if api.dump() != before {
            api = fresh.fork();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn unknown_repeated_and_misencoded_arguments_are_refused() {
    let fresh = SeededApi::new().await;
    let before = fresh.dump();
    let mut api = fresh.fork();
    let mut wrong = Vec::new();
    for call in calls(&fresh) {
        if api.dump() != before {
            api = fresh.fork();
        }
        let (uri, body) = call.request(&call.existing);
        let family = call.operation.family();
        let invalid = match family {
            // Programs look at the status alone.
            Family::Ops if call.operation.says_code_as_status() => (400, 400),
            Family::Ops => (200, 400),
            Family::Apollo => (400, 400),
            Family::Config | Family::Cdn => (200, 2),
        };
        if let Some(body) = &body {
            for path in ["", "/data"] {
                let mut more = body.clone();
                let Some(members) = more.pointer_mut(path).and_then(Value::as_object_mut) else { continue };
                members.insert("undocumented".into(), json!(1));
                let answer = api.call(call.by, call.operation.method, &uri, Some(more)).await;
                if answer.codes() != invalid || !answer.body.to_string().contains("undocumented") {
                    wrong.push(format!("{} accepts an unknown member: {}", call.operation.id(), answer.body));
                }
            }
        }
        let separator = if uri.contains('?') { '&' } else { '?' };
        for more in ["%ff=1", "undocumented=%ff", "undocumented=1", "password=x"] {
            let uri = format!("{uri}{separator}{more}");
            let answer = api.call(call.by, call.operation.method, &uri, body.clone()).await;
            inspect(&call, &api, more, &answer, &mut wrong);
            let takes_any = family == Family::Apollo || call.operation.definition["tags"][0] == "health";
            let is_refused = answer.codes() == invalid && answer.body.to_string().contains("undocumented");
            if more == "undocumented=1" && !takes_any && !is_refused {
                wrong.push(format!("{} accepts an unknown parameter: {}", call.operation.id(), answer.body));
            }
        }
        for parameter in call.operation.parameters().iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            for twice in [
                format!("{name}=1&{name}=2"),
                format!("{name}=%ff"),
                format!("{name}=%"),
                name.to_owned(),
                format!("{name}=%00"),
            ] {
                let path = uri.split('?').next().unwrap();
                let answer =
                    api.call(call.by, call.operation.method, &format!("{path}?{twice}"), body.clone()).await;
                inspect(&call, &api, &twice, &answer, &mut wrong);
                let is_refused = answer.codes() == invalid;
                if (twice.contains("=2") || twice.ends_with("%ff"))
                    && call.operation.method == "get"
                    && !is_refused
                {
                    wrong.push(format!("{} accepts {twice}: {}", call.operation.id(), answer.body));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_body_causes_an_internal_error_or_a_leak() {
    let fresh = SeededApi::new().await;
    let mut wrong = Vec::new();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("{{{}}}", (0..2_000).map(|n| format!("\"m{n}\":{n}")).collect::<Vec<_>>().join(","));
    let bodies: [(&str, &[u8]); 10] = [
        ("application/json", b""),
        ("application/json", b"null"),
        ("application/json", b"[]"),
        ("application/json", b"{\"a\":1,\"a\":2}"),
        ("application/json", b"\xef\xbb\xbf{}"),
        ("application/json", b"{\"a\":\"\\ud800\"}"),
        ("application/json", b"\xff\xff"),
        ("application/json", deep.as_bytes()),
        ("application/json", wide.as_bytes()),
        ("application/x-www-form-urlencoded", b"a=%ff&=&==&%"),
    ];
    for call in calls(&fresh) {
        let api = fresh.fork();
        let (uri, _) = call.request(&call.existing);
        for (kind, body) in bodies {
            let request = Request::builder()
                .method(&*call.operation.method.to_uppercase())
                .uri(&uri)
                .header("authorization", format!("Bearer {}", api.token(call.by)))
                .header("content-type", kind)
                .body(Body::from(body.to_vec()));
            let answer = api.api.send(request.unwrap()).await;
            inspect(&call, &api, &String::from_utf8_lossy(&body[..body.len().min(20)]), &answer, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
