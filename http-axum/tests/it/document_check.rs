//! Check of answers against the API document: [`check`] is called for every answer that a test receives.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use jsonschema::Validator;
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::{ApiState, Family, router};
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Map, Value, json};

/// The API document, as it is served at the root.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new().strict()), Settings::default()).unwrap();
    json!(router::<()>(ApiState::new(pilothouse)).1)
});

/// An operation of the document.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// Its definition in the document.
    pub(crate) definition: &'static Value,
}

impl Operation {
    pub(crate) fn id(&self) -> &'static str {
        self.definition["operationId"].as_str().unwrap()
    }

    pub(crate) fn family(&self) -> Family {
        Family::of(self.path)
    }

    /// Its parameters, references resolved.
    pub(crate) fn parameters(&self) -> Vec<&'static Value> {
        self.definition["parameters"].as_array().into_iter().flatten().map(resolve).collect()
    }

    /// The schema of its JSON body, where it takes one.
    pub(crate) fn body(&self) -> Option<&'static Value> {
        let schema = &self.definition["requestBody"]["content"]["application/json"]["schema"];
        (!schema.is_null()).then_some(schema)
    }

    /// Whether its code is the HTTP status, too.
    pub(crate) fn says_code_as_status(&self) -> bool {
        self.path == "/api/blob" || self.path.starts_with("/api/agent/")
    }

    /// Whether its body is bytes, so that its arguments stand in the query string.
    pub(crate) fn takes_octets(&self) -> bool {
        !self.definition["requestBody"]["content"]["application/octet-stream"].is_null()
    }
}

/// All operations, by path.
pub(crate) fn operations() -> impl Iterator<Item = Operation> {
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, definition)| Operation { method, path, definition })
    })
}

/// The target of a `$ref`, or the value itself.
pub(crate) fn resolve(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            let target = DOCUMENT.pointer(reference.strip_prefix('#').unwrap());
            resolve(target.unwrap_or_else(|| panic!("{reference} has no target")))
        }
        None => value,
    }
}

/// A schema without references, whose objects have exactly the members it names.
pub(crate) fn closed(schema: &'static Value) -> Value {
    close(schema, true)
}

/// `seal` is false within an `allOf`, where a part does not list the members of the others.
fn close(schema: &'static Value, seal: bool) -> Value {
    let schema = resolve(schema);
    let Some(members) = schema.as_object() else { return schema.clone() };
    let mut closed = Map::new();
    for (name, member) in members {
        let member = match (name.as_str(), member) {
            ("allOf", Value::Array(parts)) => parts.iter().map(|part| close(part, false)).collect(),
            ("oneOf" | "anyOf", Value::Array(parts)) => parts.iter().map(|part| close(part, seal)).collect(),
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, property)| (name.clone(), close(property, true))).collect()
            }
            ("items" | "additionalProperties", member) => close(member, true),
            _ => member.clone(),
        };
        closed.insert(name.clone(), member);
    }
    let is_object = members.get("type") == Some(&json!("object")) || members.contains_key("allOf");
    if seal && is_object && !members.contains_key("additionalProperties") {
        closed.insert("unevaluatedProperties".into(), json!(false));
    }
    Value::Object(closed)
}

/// Panics unless the document allows this answer to the request.
pub(crate) fn check(method: &Method, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    if method == Method::HEAD {
        assert!(body.is_empty());
        return;
    }
    let media = headers.get(CONTENT_TYPE).map_or("", |media| media.to_str().unwrap());
    let media = media.split(';').next().unwrap_or_default();
    let described = || format!("{method} {path} answered {status} {media} {}", String::from_utf8_lossy(body));
    let wanted = method.as_str().to_lowercase();
    let operation =
        operations().find(|operation| operation.method == wanted && matches_template(operation.path, path));
    let (key, content) = match operation {
        Some(operation) => {
            let response = resolve(&operation.definition["responses"][status.as_str()]);
            assert!(response.is_object(), "{}: the document has no such status", described());
            ((operation.id().to_owned(), status.as_u16()), &response["content"])
        }
        // Not an operation: a page of /docs, or an error in the envelope of the family.
        None if status.is_success() || status.is_redirection() => return,
        None => {
            assert!([404, 405].contains(&status.as_u16()), "{}", described());
            let name = format!("{:?}TooLarge", Family::of(path));
            ((name.clone(), 0), &DOCUMENT["components"]["responses"][&name]["content"])
        }
    };
    if content.is_null() && body.is_empty() {
        return;
    }
    let content = &content[media];
    assert!(content.is_object(), "{}: the document has no such content", described());
    if media == "application/json" {
        let body = serde_json::from_slice(body).unwrap();
        let wrong: Vec<_> =
            validator(key, &content["schema"]).iter_errors(&body).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{}: {}", described(), wrong.join("; "));
    }
}

/// Whether a path matches a path template.
fn matches_template(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given))
                if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

/// Compiled schemas, by operation and status.
type Validators = HashMap<(String, u16), Arc<Validator>>;

/// The validator of the answers of an operation with a status, compiled once.
fn validator(key: (String, u16), schema: &'static Value) -> Arc<Validator> {
    static COMPILED: LazyLock<Mutex<Validators>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap();
    compiled
        .entry(key)
        .or_insert_with(|| Arc::new(jsonschema::validator_for(&closed(schema)).unwrap()))
        .clone()
}

#[test]
fn an_undocumented_member_fails_the_check() {
    let answer = |body: &str| {
        let body = body.to_owned();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
        let checked = move || check(&Method::GET, "/api/task", StatusCode::OK, &headers, body.as_bytes());
        std::panic::catch_unwind(checked).is_ok()
    };
    assert!(answer(r#"{"code":200,"ok":true,"info":[]}"#));
    assert!(answer(r#"{"code":404,"ok":false,"info":"why"}"#));
    assert!(!answer(r#"{"code":200,"ok":true,"info":[],"more":1}"#));
    assert!(!answer(r#"{"code":200}"#));
    assert!(!answer(r#"{"code":200,"ok":true,"info":[{"id":1}]}"#));
}
