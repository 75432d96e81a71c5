//! API document: valid OpenAPI, complete, and equal to the reviewed file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::document_check::{DOCUMENT, Operation, closed, operations, resolve};

/// The OpenAPI Initiative's schema of OpenAPI 3.1 documents (Apache-2.0).
const OPENAPI: &str = include_str!("openapi-3.1.json");

#[test]
fn the_document_equals_the_reviewed_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/openapi.json");
    if std::env::var_os("PILOTHOUSE_TEST_BLESS").is_some() {
        fs::write(&file, format!("{:#}\n", *DOCUMENT)).unwrap();
    }
    let reviewed: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let mut differences = Vec::new();
    compare("", &reviewed, &DOCUMENT, &mut differences);
    assert!(
        differences.is_empty(),
        "the API document is not tests/it/openapi.json. If it should change, run this test with \
         PILOTHOUSE_TEST_BLESS=1 and review the difference:\n{}",
        differences.join("\n"),
    );
}

/// The JSON pointers at which two values differ.
fn compare(at: &str, old: &Value, new: &Value, differences: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                let at = format!("{at}/{name}");
                match (old.get(name), new.get(name)) {
                    (Some(old), Some(new)) => compare(&at, old, new, differences),
                    (old, _) => differences.push(format!("{} {at}", if old.is_some() { "-" } else { "+" })),
                }
            }
        }
        (old, new) if old != new => differences.push(format!("! {at}: {old} became {new}")),
        _ => {}
    }
}

#[test]
fn the_document_is_valid_openapi() {
    let schema = serde_json::from_str(OPENAPI).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<_> =
        validator.iter_errors(&DOCUMENT).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (at, schema) in schemas() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{at} is not a JSON schema");
    }
}

/// Every schema that is not part of another, with its place in the document.
fn schemas() -> Vec<(String, &'static Value)> {
    let components = DOCUMENT["components"]["schemas"].as_object().unwrap().iter();
    let mut found: Vec<_> = components.map(|(name, schema)| (name.clone(), schema)).collect();
    for operation in operations() {
        for parameter in operation.parameters() {
            found.push((format!("{} {}", operation.id(), parameter["name"]), &parameter["schema"]));
        }
        let contents = operation.definition["responses"].as_object().unwrap().values().map(resolve);
        for content in contents.chain([&operation.definition["requestBody"]]).map(|holder| &holder["content"])
        {
            for (media, content) in content.as_object().into_iter().flatten() {
                found.push((format!("{} {media}", operation.id()), &content["schema"]));
            }
        }
    }
    found
}

/// Calls `visit` with every object within a value.
fn each_object(value: &'static Value, visit: &mut impl FnMut(&'static serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| each_object(member, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| each_object(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_has_a_target_and_every_response_is_used() {
    let mut used = BTreeSet::new();
    each_object(&DOCUMENT, &mut |members| {
        let targets = members.get("$ref").into_iter();
        let mapping = members.get("mapping").and_then(Value::as_object).into_iter();
        for target in targets.chain(mapping.flat_map(serde_json::Map::values)) {
            let Some(target) = target.as_str() else { continue };
            assert!(DOCUMENT.pointer(&target[1..]).is_some(), "{target} has no target");
            used.insert(target.to_owned());
        }
    });
    for (name, _) in DOCUMENT["components"]["responses"].as_object().unwrap() {
        assert!(used.contains(&format!("#/components/responses/{name}")), "nothing refers to {name}");
    }
}

/// Panics where an object of a request body leaves open whether it has more members than those it names.
fn assert_closed(at: &str, schema: &'static Value) {
    let schema = resolve(schema);
    if let Some(properties) = schema["properties"].as_object() {
        assert!(!schema["additionalProperties"].is_null(), "{at} may have other members");
        properties.iter().for_each(|(name, property)| assert_closed(&format!("{at}.{name}"), property));
    }
    let parts = schema["oneOf"].as_array().into_iter().flatten().chain(schema.get("items"));
    parts.for_each(|part| assert_closed(at, part));
}

#[test]
fn bodies_have_no_other_members_than_those_they_name() {
    for operation in operations() {
        let contents = operation.definition["requestBody"]["content"].as_object();
        for content in contents.into_iter().flat_map(serde_json::Map::values) {
            assert_closed(operation.id(), &content["schema"]);
        }
    }
}

#[test]
fn every_operation_is_described_completely() {
    let tags: Vec<_> = DOCUMENT["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let schemes = DOCUMENT["components"]["securitySchemes"].as_object().unwrap();
    let mut ids = BTreeMap::new();
    for operation in operations() {
        let Operation { method, path, definition } = operation;
        let at = format!("{method} {path}");
        if let Some(other) = ids.insert(operation.id(), at.clone()) {
            panic!("{at} and {other} have one operationId");
        }
        for text in ["summary", "description", "x-permission"] {
            assert!(definition[text].as_str().is_some_and(|text| !text.is_empty()), "{at}: no {text}");
        }
        let tagged = definition["tags"].as_array().unwrap();
        assert!(tagged.len() == 1 && tags.contains(&&tagged[0]), "{at}: {tagged:?}");
        for name in definition["security"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|scheme| scheme.as_object().unwrap().keys())
        {
            assert!(schemes.contains_key(name), "{at}: {name} is not a security scheme");
        }
        let responses = definition["responses"].as_object().unwrap();
        for (status, response) in responses {
            let response = resolve(response);
            let description = response["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{at}: no description of {status}");
            for (media, content) in response["content"].as_object().into_iter().flatten() {
                assert!(content["schema"].is_object(), "{at}: {status} {media} has no schema");
            }
        }
        assert!(resolve(&definition["responses"]["200"])["content"].is_object(), "{at}: no success");
        let parameters = operation.parameters();
        let in_path: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let declared = parameters.iter().filter(|parameter| parameter["in"] == "path");
        assert_eq!(in_path, declared.map(|parameter| parameter["name"].as_str().unwrap()).collect(), "{at}");
        for parameter in parameters {
            let at = format!("{at}: {}", parameter["name"]);
            assert!(
                parameter["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{at}: no description"
            );
            assert!(
                !parameter["example"].is_null() || !resolve(&parameter["schema"])["example"].is_null(),
                "{at}: no example"
            );
        }
    }
}

#[test]
fn every_text_parameter_has_a_documented_limit() {
    let mut undocumented = Vec::new();
    for operation in operations() {
        for parameter in operation.parameters() {
            let at = format!("{} {}", operation.id(), parameter["name"].as_str().unwrap());
            find_unlimited(
                &at,
                &parameter["schema"],
                &parameter["description"].to_string(),
                &mut undocumented,
            );
        }
        if let Some(body) = operation.body() {
            find_unlimited(operation.id(), body, "", &mut undocumented);
        }
    }
    assert!(undocumented.is_empty(), "texts without a limit:\n{}", undocumented.join("\n"));
}

/// Collects texts that have no greatest length, pattern, format or list of values, and no limit in their description or
/// in that of the schema around them.
fn find_unlimited(at: &str, schema: &'static Value, about: &str, undocumented: &mut Vec<String>) {
    let about = format!("{about} {}", schema["description"]);
    let schema = resolve(schema);
    let is_text = schema["type"] == "string" || schema["type"][0] == "string";
    let known = ["maxLength", "pattern", "enum", "format"].iter().any(|limit| !schema[limit].is_null());
    if is_text && !known && !about.contains("at most") {
        undocumented.push(at.to_owned());
    }
    for part in ["oneOf", "anyOf", "allOf"].iter().filter_map(|choice| schema[choice].as_array()).flatten() {
        find_unlimited(at, part, &about, undocumented);
    }
    if schema["items"].is_object() {
        find_unlimited(at, &schema["items"], &about, undocumented);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        find_unlimited(&format!("{at}.{name}"), property, "", undocumented);
    }
}

#[test]
fn every_example_fits_its_schema() {
    let mut seen = 0;
    let mut check = |at: &str, schema: &'static Value, example: &Value| {
        let validator = jsonschema::validator_for(&closed(schema)).unwrap();
        let wrong: Vec<_> = validator.iter_errors(example).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{at}: {}", wrong.join("; "));
        seen += 1;
    };
    for operation in operations() {
        for parameter in operation.parameters().iter().filter(|parameter| !parameter["example"].is_null()) {
            check(
                &format!("{} {}", operation.id(), parameter["name"]),
                &parameter["schema"],
                &parameter["example"],
            );
        }
    }
    each_object(&DOCUMENT["components"]["schemas"], &mut |members| {
        for (name, member) in members {
            for example in
                member.get("example").into_iter().chain(member["examples"].as_array().into_iter().flatten())
            {
                if member.get("type").is_some() {
                    check(name, member, example);
                }
            }
        }
    });
    assert!(seen > 50, "only {seen} examples");
}

/// Types are known to the document by their names alone, so that two types of one name would be merged.
#[test]
fn no_two_types_of_the_document_have_one_name() {
    let mut named = BTreeMap::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let source = fs::read_to_string(&entry).unwrap();
            for item in source
                .split("#[derive(")
                .skip(1)
                .filter(|item| item.split(')').next().unwrap().contains("ToSchema"))
            {
                let line =
                    item.lines().find(|line| line.contains("struct ") || line.contains("enum ")).unwrap();
                let name = line
                    .split_whitespace()
                    .skip_while(|word| !["struct", "enum"].contains(word))
                    .nth(1)
                    .unwrap();
                let name = name.split(['<', '(', ';']).next().unwrap().to_owned();
                if let Some(other) = named.insert(name.clone(), entry.clone()) {
                    panic!("{name} is in {} and {}", other.display(), entry.display());
                }
            }
        }
    }
    assert!(named.len() > 10, "{named:?}");
}
