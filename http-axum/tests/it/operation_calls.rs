//! Working calls of every operation: the examples of the document, changed where they must name an existing object.

use pilothouse_http_axum::Family;
use serde_json::{Map, Value, json};

use crate::api::escape;
use crate::document_check::{Operation, operations, resolve};
use crate::operation_table::table;
use crate::seeded_api::{Identity, SeededApi};

/// A call of an operation.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// A caller with the permission.
    pub(crate) by: Identity,
    /// Arguments that name existing objects.
    pub(crate) existing: Value,
    /// The same arguments with objects that do not exist.
    pub(crate) absent: Value,
    /// The code of the answer to `existing`.
    pub(crate) code: i64,
}

/// The code of a working call. Areas need a city database, a log a valid link; both are missing here.
fn code(operation: &Operation) -> i64 {
    match operation.id() {
        "get_level3_bandwidths_area" | "get_level3_fluxs_area" => 1,
        "get_level3_log_file" => 4,
        // The content itself, or events, without an envelope.
        "get_api_agent_blob_sha256" | "get_config_export" | "post_config_export" | "get_publish_follow" => -1,
        _ if operation.path.starts_with("/api") || operation.path.starts_with("/admin") => 200,
        _ if operation.definition["tags"][0] == "health" || operation.family() == Family::Apollo => -1,
        _ => 0,
    }
}

/// Every call of the table, in the order of the document. Panics for an operation without a call.
pub(crate) fn calls(api: &SeededApi) -> Vec<Call> {
    let table = table(api);
    let mut used = vec![false; table.len()];
    let mut calls = Vec::new();
    for operation in operations() {
        let before = calls.len();
        for (row, (name, by, existing, absent)) in table.iter().enumerate() {
            let id = operation.id();
            let matches = *name == id
                || id.strip_prefix("get_") == Some(name)
                || id.strip_prefix("post_") == Some(name);
            if !matches {
                continue;
            }
            used[row] = true;
            let mut existing_arguments = example(&operation, existing);
            overlay(&mut existing_arguments, existing);
            let mut absent_arguments = existing_arguments.clone();
            overlay(&mut absent_arguments, absent);
            let (existing, absent) = (existing_arguments, absent_arguments);
            calls.push(Call { operation, by: *by, existing, absent, code: code(&operation) });
        }
        assert!(calls.len() > before, "{} is not in the table of calls", operation.id());
    }
    let unused = used.iter().position(|used| !used);
    assert_eq!(unused.map(|row| table[row].0), None, "the document has no such operation");
    calls
}

impl Call {
    /// Whether it may be answered only when there is news, which is what it is for.
    pub(crate) fn may_wait(&self) -> bool {
        ["get_node_watch", "get_publish_follow"].contains(&self.operation.id())
    }

    /// The URI and the body that carry these arguments.
    pub(crate) fn request(&self, arguments: &Value) -> (String, Option<Value>) {
        let has_body = self.operation.body().is_some();
        let (path, body) = self.place(arguments, has_body);
        (path, has_body.then_some(body))
    }

    /// The same with a body that carries all that is not in the path, which GET and DELETE may have, too.
    pub(crate) fn request_with_body(&self, arguments: &Value) -> (String, Value) {
        self.place(arguments, !self.operation.takes_octets())
    }

    fn place(&self, arguments: &Value, in_body: bool) -> (String, Value) {
        let (mut path, mut query, mut body) = (self.operation.path.to_owned(), Vec::new(), Map::new());
        let parameters = self.operation.parameters();
        for (name, value) in arguments.as_object().unwrap() {
            let location = parameters
                .iter()
                .find(|parameter| parameter["name"] == **name)
                .map(|parameter| &parameter["in"]);
            let text = || escape(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            match location.and_then(Value::as_str) {
                Some("path") => path = path.replace(&format!("{{{name}}}"), &text()),
                Some("query") if !body.contains_key(name) && !in_body => {
                    query.push(format!("{name}={}", text()));
                }
                _ => drop(body.insert(name.clone(), value.clone())),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        (path, Value::Object(body))
    }
}

/// The example arguments of an operation in the document; of a body with variants by `action`, those of `wanted`.
fn example(operation: &Operation, wanted: &Value) -> Value {
    let mut arguments = Map::new();
    for parameter in operation.parameters().iter().filter(|parameter| parameter["in"] != "header") {
        let value = if parameter["example"].is_null() {
            example_of(&parameter["schema"])
        } else {
            parameter["example"].clone()
        };
        arguments.insert(parameter["name"].as_str().unwrap().to_owned(), value);
    }
    if let Some(body) = operation.body().map(resolve) {
        let choices = body["oneOf"].as_array().into_iter().flatten().map(resolve);
        let chosen =
            choices.into_iter().find(|choice| choice["properties"]["action"]["enum"][0] == wanted["action"]);
        let Value::Object(members) = example_of(chosen.unwrap_or(body)) else { panic!("{}", operation.id()) };
        arguments.extend(members);
    }
    Value::Object(arguments)
}

/// A value composed of the examples in a schema.
fn example_of(schema: &'static Value) -> Value {
    let schema = resolve(schema);
    let given = [&schema["example"], &schema["examples"][0], &schema["enum"][0]];
    if let Some(example) = given.into_iter().find(|example| !example.is_null()) {
        return example.clone();
    }
    if let Some(properties) = schema["properties"].as_object() {
        return properties.iter().map(|(name, property)| (name.clone(), example_of(property))).collect();
    }
    match (&schema["oneOf"][0], &schema["items"]) {
        (Value::Null, Value::Null) => json!("x"),
        (Value::Null, items) => json!([example_of(items)]),
        (first, _) => example_of(first),
    }
}

/// Replaces members of one object by those of another; a `null` removes a member.
fn overlay(onto: &mut Value, from: &Value) {
    match (onto, from) {
        (Value::Object(onto), Value::Object(from)) => {
            for (name, value) in from {
                match onto.get_mut(name) {
                    Some(_) if value.is_null() => drop(onto.remove(name)),
                    Some(member) => overlay(member, value),
                    None if value.is_null() => {}
                    None => drop(onto.insert(name.clone(), value.clone())),
                }
            }
        }
        (onto, from) => *onto = from.clone(),
    }
}
