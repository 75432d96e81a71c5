//! The robustness sweep: every parameter of every operation, given as nobody should.

use axum::body::Body;
use axum::http::Request;
use pilothouse_http_axum::Family;
use serde_json::{Value, json};

use crate::api::{Answer, PASSWORD};
use crate::calls::{Call, calls};
use crate::world::{Who, World};

/// What no answer may hold.
const LEAKS: [&str; 6] = ["SELECT", "INSERT", "/src/", "sqlx", "panicked", "argon2"];

/// Values that are wrong for most parameters and must be harmless for all.
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

/// Looks at an answer whatever it is; the envelope itself is checked against the document when it arrives.
fn look(call: &Call, world: &World, what: &str, answer: &Answer, wrong: &mut Vec<String>) {
    let told = answer.body.to_string();
    let mut note = |why: &str| {
        let told: String = told.chars().take(300).collect();
        wrong.push(format!("{} with {what}: {why}: {} {told}", call.operation.id(), answer.status));
    };
    // Areas say that there is no city database; that is no fault of ours.
    let unavailable = call.code == 1;
    if answer.status.is_server_error() || (answer.codes().1 == 1 && !unavailable) {
        note("our own fault");
    }
    let secrets = [PASSWORD, world.token(Who::Root), world.token(Who::Customer)];
    if LEAKS.into_iter().chain(secrets).any(|leak| told.contains(leak)) {
        note("a leak");
    }
    if answer.codes().1 == call.code && told.len() > 100_000 {
        note("taken, and repeated at length");
    }
}

/// The paths of all members of arguments, also of those within.
fn members(arguments: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in arguments.as_object().into_iter().flatten() {
        paths.push(format!("/{name}"));
        paths.extend(members(value).into_iter().map(|path| format!("/{name}{path}")));
    }
    paths
}

#[tokio::test]
async fn no_argument_breaks_an_operation_or_makes_it_talk() {
    let fresh = World::new().await;
    let before = fresh.dump();
    let mut world = fresh.fork();
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
                let (uri, body) = call.place(&arguments);
                // A request line this long never gets here.
                if uri.len() > 60_000 {
                    continue;
                }
                let answer = world.call(call.by, call.operation.method, &uri, body).await;
                let shown: String = value.to_string().chars().take(40).collect();
                look(&call, &world, &format!("{member} = {shown}"), &answer, &mut wrong);
            }
        }
        if world.dump() != before {
            world = fresh.fork();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn unknown_repeated_and_misspelt_arguments_are_told_apart() {
    let fresh = World::new().await;
    let before = fresh.dump();
    let mut world = fresh.fork();
    let mut wrong = Vec::new();
    for call in calls(&fresh) {
        if world.dump() != before {
            world = fresh.fork();
        }
        let (uri, body) = call.place(&call.existing);
        let family = call.operation.family();
        let invalid = match family {
            Family::Ops => (200, 400),
            Family::Apollo => (400, 400),
            Family::Config | Family::Cdn => (200, 2),
        };
        if let Some(body) = &body {
            for path in ["", "/data"] {
                let mut more = body.clone();
                let Some(members) = more.pointer_mut(path).and_then(Value::as_object_mut) else { continue };
                members.insert("stranger".into(), json!(1));
                let answer = world.call(call.by, call.operation.method, &uri, Some(more)).await;
                if answer.codes() != invalid || !answer.body.to_string().contains("stranger") {
                    wrong.push(format!("{} takes a stranger: {}", call.operation.id(), answer.body));
                }
            }
        }
        let separator = if uri.contains('?') { '&' } else { '?' };
        for more in ["%ff=1", "stranger=%ff", "stranger=1", "password=x"] {
            let uri = format!("{uri}{separator}{more}");
            let answer = world.call(call.by, call.operation.method, &uri, body.clone()).await;
            look(&call, &world, more, &answer, &mut wrong);
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
                let answer = world
                    .call(call.by, call.operation.method, &format!("{path}?{twice}"), body.clone())
                    .await;
                look(&call, &world, &twice, &answer, &mut wrong);
                let said = answer.codes() == invalid;
                if (twice.contains("=2") || twice.ends_with("%ff")) && call.operation.method == "get" && !said
                {
                    wrong.push(format!("{} takes {twice}: {}", call.operation.id(), answer.body));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_body_breaks_an_operation() {
    let fresh = World::new().await;
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
        let world = fresh.fork();
        let (uri, _) = call.place(&call.existing);
        for (kind, body) in bodies {
            let request = Request::builder()
                .method(&*call.operation.method.to_uppercase())
                .uri(&uri)
                .header("authorization", format!("Bearer {}", world.token(call.by)))
                .header("content-type", kind)
                .body(Body::from(body.to_vec()));
            let answer = world.api.send(request.unwrap()).await;
            look(&call, &world, &String::from_utf8_lossy(&body[..body.len().min(20)]), &answer, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
