//! Generated bad input for every operation, on every store: no internal error, no misspelt parameter that is overlooked,
//! and what was refused has changed nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use pilothouse_core::ports::{Clock as _, Storage, SystemClock};
use pilothouse_http_axum::Family;
use pilothouse_storage_sqlx::SqlxStorage;
use pilothouse_test_support::{Rng, env_number, postgres_or_skip};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::api::Answer;
use crate::api::escape;
use crate::audit_trail::AuditTrail;
use crate::document_check::{Operation, resolve};
use crate::operation_calls::{Call, calls};
use crate::seeded_api::SeededApi;

/// Accepted inputs after which the store is made anew: they take away what later ones would find.
const ACCEPTED: u32 = 200;
/// Refused inputs in a row after which the whole memory store is compared.
const REFUSED: u32 = 20;

#[tokio::test]
async fn on_memory() {
    let seeded = SeededApi::new().await;
    run(("PILOTHOUSE_TEST_MEMORY_INPUTS", 20_000), async || seeded.fork()).await;
}

#[tokio::test]
async fn on_sqlite() {
    let folder = TempDir::new().unwrap();
    let mut file = 0;
    run(("PILOTHOUSE_TEST_INPUTS", 3000), async || {
        file += 1;
        let storage = SqlxStorage::sqlite(folder.path().join(format!("{file}.db"))).await.unwrap();
        over(storage).await
    })
    .await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(postgres) = postgres_or_skip("bad_input::on_postgres") else { return };
    run(("PILOTHOUSE_TEST_INPUTS", 3000), async || {
        over(SqlxStorage::postgres(&postgres.database().url).await.unwrap()).await
    })
    .await;
}

async fn over(storage: SqlxStorage) -> SeededApi {
    storage.migrate().await.unwrap();
    SeededApi::over(Arc::new(storage) as Arc<dyn Storage>, SystemClock.now()).await
}

/// Sends as many inputs as the environment variable says, or as is usual, each for the next operation in turn.
async fn run((inputs, usual): (&str, u64), mut fresh: impl AsyncFnMut() -> SeededApi) {
    let seed = env_number("PILOTHOUSE_TEST_SEED", 1);
    eprintln!("PILOTHOUSE_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut api = fresh().await;
    let mut calls = calls(&api);
    let mut trail = AuditTrail::new(&api).await;
    let mut unchanged = api.memory_dump();
    let (mut accepted, mut refused) = (0, 0);
    for n in 0..usize::try_from(env_number(inputs, usual)).unwrap() {
        let call = &calls[n % calls.len()];
        let input = Input::new(call, &mut rng);
        let limit = Duration::from_secs(if call.may_wait() { 1 } else { 60 });
        let Ok(answer) = timeout(limit, input.send(&api, call)).await else {
            assert!(call.may_wait(), "input {n}: {input:?}");
            continue;
        };
        let described = || format!("input {n}: {input:?} was answered {} {}", answer.status, answer.body);
        let is_unavailable = call.code == 1;
        assert!(is_unavailable || !is_internal(&answer), "{}", described());
        if is_accepted(&answer) {
            assert!(!input.is_misspelt, "{}", described());
            // It may have ended the token that reads the trail.
            accepted = if trail.skip(&api).await { accepted + 1 } else { ACCEPTED };
            refused = 0;
            unchanged = None;
        } else {
            assert_eq!(trail.added(&api).await, Some(json!([])), "{}", described());
            refused += 1;
        }
        if accepted == ACCEPTED {
            api = fresh().await;
            calls = crate::operation_calls::calls(&api);
            trail = AuditTrail::new(&api).await;
            (accepted, refused) = (0, 0);
            unchanged = api.memory_dump();
        } else if refused == REFUSED {
            let now = api.memory_dump();
            // A refusal of a known caller is a row itself.
            let before = unchanged.take().filter(|_| !std::mem::take(&mut trail.has_refusals));
            if let (Some(before), Some(now)) = (&before, &now) {
                let what = difference(before, now);
                assert!(before == now, "one of the {REFUSED} inputs before {}: {what}", described());
            }
            (refused, unchanged) = (0, now);
        }
    }
}

/// Where two texts begin to differ, with what stands before.
fn difference(one: &str, other: &str) -> String {
    let at = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let around = |text: &str| {
        let text = text.as_bytes();
        let part = &text[at.saturating_sub(300)..(at + 300).min(text.len())];
        String::from_utf8_lossy(part).into_owned()
    };
    format!("{} became {}", around(one), around(other))
}

/// Whether an answer reports a fault of the server's own.
fn is_internal(answer: &Answer) -> bool {
    let (status, code) = answer.codes();
    status >= 500 || [1, 500, 503].contains(&code)
}

fn is_accepted(answer: &Answer) -> bool {
    let (status, code) = answer.codes();
    status < 400 && [-1, 0, 200].contains(&code)
}

/// A request that differs from a working call.
#[derive(Debug)]
struct Input {
    method: &'static str,
    uri: String,
    content_type: &'static str,
    body: Option<Vec<u8>>,
    /// Whether all that is wrong with it is a parameter that the operation does not have.
    is_misspelt: bool,
}

impl Input {
    fn new(call: &Call, rng: &mut Rng) -> Self {
        let mut arguments = call.existing.clone();
        if call.may_wait() {
            arguments["wait"] = json!(0);
        }
        let mut misspelt = None;
        match rng.u8(0..10) {
            0..=4 => {
                for _ in 0..rng.usize(1..4) {
                    if let Some(member) = any_member(&arguments, rng) {
                        *arguments.pointer_mut(&member).unwrap() = hostile(rng, 3);
                    }
                }
            }
            5 => {
                if let Some(member) = any_member(&arguments, rng) {
                    let (parent, name) = member.rsplit_once('/').unwrap();
                    arguments.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().remove(name);
                }
            }
            6 => {
                let pair = [any_member(&arguments, rng), any_member(&arguments, rng)];
                if let [Some(one), Some(other)] = pair {
                    let value = arguments.pointer(&one).cloned().unwrap();
                    *arguments.pointer_mut(&other).unwrap() = value;
                }
            }
            7 => misspelt = misspell(&mut arguments, call.operation, rng),
            _ => {}
        }
        let (mut uri, body) = call.request(&arguments);
        if let Some(name) = &misspelt
            && body.is_none()
        {
            // What the document does not have is no part of a request without a body.
            let value = &arguments[name];
            let separator = if uri.contains('?') { '&' } else { '?' };
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            uri = format!("{uri}{separator}{}={}", escape(name), escape(&value));
        }
        let mut is_misspelt = misspelt.is_some();
        let (mut content_type, mut body) =
            ("application/json", body.map(|body| body.to_string().into_bytes()));
        let mut method = call.operation.method;
        if call.operation.body().is_some() && call.operation.family() != Family::Apollo && rng.u8(0..4) == 0 {
            let members = call.request(&arguments).1.unwrap_or_default();
            (content_type, body) = ("application/x-www-form-urlencoded", Some(form(&members).into_bytes()));
        }
        match rng.u8(0..20) {
            0 => {
                method = rng.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]).unwrap();
                is_misspelt = false;
            }
            1 => {
                content_type =
                    rng.choice(["text/plain", "application/json; charset=latin1", "x/y", ""]).unwrap();
                is_misspelt = false;
            }
            2..=5 => {
                if let Some(body) = &mut body {
                    scramble(body, rng);
                    is_misspelt = false;
                }
            }
            _ => {}
        }
        Self { method, uri, content_type, body, is_misspelt }
    }

    async fn send(&self, api: &SeededApi, call: &Call) -> Answer {
        let method = self.method.to_uppercase();
        if call.operation.family() == Family::Apollo {
            return api.call(call.by, &method, &self.uri, None).await;
        }
        let mut request = Request::builder().method(method.as_str()).uri(&self.uri);
        let token = api.token(call.by);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = self.body.clone().map_or_else(Body::empty, Body::from);
        api.api.send(request.header("content-type", self.content_type).body(body).unwrap()).await
    }
}

/// The JSON pointer of a member at any depth.
fn any_member(arguments: &Value, rng: &mut Rng) -> Option<String> {
    let mut pointers = Vec::new();
    collect(arguments, "", &mut pointers);
    rng.choice(pointers)
}

fn collect(value: &Value, at: &str, pointers: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        collect(value, &pointer, pointers);
        pointers.push(pointer);
    }
}

/// Adds a member beside another of nearly its name, or in its place; its name.
fn misspell(arguments: &mut Value, operation: Operation, rng: &mut Rng) -> Option<String> {
    let documented = documented_names(operation);
    let member = any_member(arguments, rng)?;
    let (parent, name) = member.rsplit_once('/').unwrap();
    let mut letters: Vec<char> = name.chars().collect();
    let misspelt = match rng.u8(0..5) {
        0 => format!("{name}s"),
        1 => format!("{name}_"),
        2 => format!("{}{}", name[..1].to_uppercase(), &name[1..]),
        3 => name.to_uppercase(),
        _ => {
            let at = rng.usize(..letters.len());
            letters.remove(at);
            letters.into_iter().collect()
        }
    };
    let takes_any = operation.family() == Family::Apollo || operation.definition["tags"][0] == "health";
    let is_path = operation
        .parameters()
        .iter()
        .any(|parameter| parameter["name"] == *name && parameter["in"] == "path");
    // A name that the document does not have is the caller's own to choose: that of a label.
    let is_free = !documented.contains(name);
    if takes_any || is_path || is_free || documented.contains(&*misspelt) || ["", "_"].contains(&&*misspelt) {
        return None;
    }
    let parent = arguments.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    let value = if rng.bool() { parent[name].clone() } else { parent.remove(name).unwrap() };
    parent.insert(misspelt.clone(), value);
    Some(misspelt)
}

/// The names of all parameters and members that the document has for an operation.
fn documented_names(operation: Operation) -> BTreeSet<String> {
    let mut names: BTreeSet<_> = operation
        .parameters()
        .iter()
        .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
        .collect();
    if let Some(body) = operation.body() {
        properties(body, &mut names);
    }
    names
}

fn properties(schema: &'static Value, names: &mut BTreeSet<String>) {
    match resolve(schema) {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "properties" {
                    names.extend(member.as_object().unwrap().keys().cloned());
                }
                properties(member, names);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| properties(member, names)),
        _ => {}
    }
}

/// A value that few parameters take.
fn hostile(rng: &mut Rng, depth: u8) -> Value {
    match rng.u8(0..16) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(rng.i64(..)),
        3 => json!(rng.i64(-2..1002)),
        4 => json!(f64::from_bits(rng.u64(..))),
        5 => json!(rng.u64(..).to_string()),
        6 => json!(
            rng.choice(["", " ", "-0", "+5", "007", "1e3", "0x10", "NaN", "null", "all", "*", "."]).unwrap()
        ),
        7 => json!(
            rng.choice(["\0", "\u{202e}", "\u{feff}a", "%00", "%ff", "' OR 1=1; --", "../../x"]).unwrap()
        ),
        8 => json!(
            rng.choice(["http://x", "http://[::1]:0/", "//", "a@b", "a..b", "-a.test", "::ffff:1.2.3.4"])
                .unwrap()
        ),
        9 => json!(
            "a".repeat(rng.choice([63, 64, 65, 128, 129, 253, 254, 256, 257, 1024, 1025, 4097]).unwrap())
        ),
        10 => json!("字".repeat(rng.usize(..2000))),
        11 => (0..rng.usize(..40)).map(|_| rng.char(..)).collect::<String>().into(),
        12 => (0..rng.usize(..9)).map(|_| rng.char(' '..='~')).collect::<String>().into(),
        _ if depth == 0 => json!([]),
        13 => (0..rng.usize(..4)).map(|_| hostile(rng, depth - 1)).collect(),
        14 => json!([rng.choice(["x", "", "cdn.exrqs.com", "11"]).unwrap(), hostile(rng, depth - 1)]),
        _ => json!({"x": hostile(rng, depth - 1)}),
    }
}

/// Changes, removes, repeats or inserts some bytes.
fn scramble(body: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..=body.len());
        match rng.u8(0..4) {
            0 if at < body.len() => body[at] = rng.u8(..),
            1 => body.truncate(at),
            2 => {
                let repeated = body[at..].to_vec();
                body.extend(repeated);
            }
            _ => body.insert(at, rng.u8(..)),
        }
    }
}

/// Members as a form, those of objects as `outer[inner]`.
fn form(members: &Value) -> String {
    let text = |value: &Value| escape(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let mut pairs = Vec::new();
    for (name, value) in members.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => {
                let inner =
                    inner.iter().map(|(member, value)| format!("{name}[{}]={}", escape(member), text(value)));
                pairs.extend(inner);
            }
            value => pairs.push(format!("{}={}", escape(name), text(value))),
        }
    }
    pairs.join("&")
}
