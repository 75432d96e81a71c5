//! The API document is whole: valid, free of loose ends, and no different from the one that was reviewed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::conform::{DOCUMENT, Operation, closed, operations, resolve};

/// What `openapi-3.1.json` is: the OpenAPI Initiative's schema of OpenAPI 3.1 documents (Apache-2.0).
const OPENAPI: &str = include_str!("openapi-3.1.json");

#[test]
fn it_is_the_reviewed_document() {
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
fn it_is_valid_openapi() {
    let schema = serde_json::from_str(OPENAPI).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<_> =
        validator.iter_errors(&DOCUMENT).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (at, schema) in schemas() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{at} is no JSON schema");
    }
}

/// Every schema that is not part of another, by where it is.
fn schemas() -> Vec<(String, &'static Value)> {
    let components = DOCUMENT["components"]["schemas"].as_object().unwrap().iter();
    let mut found: Vec<_> = components.map(|(name, schema)| (name.clone(), schema)).collect();
    for operation in operations() {
        for parameter in operation.parameters() {
            found.push((format!("{} {}", operation.id(), parameter["name"]), &parameter["schema"]));
        }
        let contents = operation.says["responses"].as_object().unwrap().values().map(resolve);
        for content in contents.chain([&operation.says["requestBody"]]).map(|holder| &holder["content"]) {
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
fn every_reference_leads_somewhere_and_nothing_is_left_over() {
    let mut used = BTreeSet::new();
    each_object(&DOCUMENT, &mut |members| {
        let targets = members.get("$ref").into_iter();
        let mapping = members.get("mapping").and_then(Value::as_object).into_iter();
        for target in targets.chain(mapping.flat_map(serde_json::Map::values)) {
            let Some(target) = target.as_str() else { continue };
            assert!(DOCUMENT.pointer(&target[1..]).is_some(), "{target} leads nowhere");
            used.insert(target.to_owned());
        }
    });
    for (name, _) in DOCUMENT["components"]["responses"].as_object().unwrap() {
        assert!(used.contains(&format!("#/components/responses/{name}")), "nothing refers to {name}");
    }
}

#[test]
fn every_operation_says_all_a_client_needs() {
    let tags: Vec<_> = DOCUMENT["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let schemes = DOCUMENT["components"]["securitySchemes"].as_object().unwrap();
    let mut ids = BTreeMap::new();
    for operation in operations() {
        let Operation { method, path, says } = operation;
        let at = format!("{method} {path}");
        if let Some(other) = ids.insert(operation.id(), at.clone()) {
            panic!("{at} and {other} have one operationId");
        }
        for text in ["summary", "description", "x-permission"] {
            assert!(says[text].as_str().is_some_and(|text| !text.is_empty()), "{at}: no {text}");
        }
        let tagged = says["tags"].as_array().unwrap();
        assert!(tagged.len() == 1 && tags.contains(&&tagged[0]), "{at}: {tagged:?}");
        for name in says["security"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|scheme| scheme.as_object().unwrap().keys())
        {
            assert!(schemes.contains_key(name), "{at}: {name} is no security scheme");
        }
        let responses = says["responses"].as_object().unwrap();
        for (status, response) in responses {
            let response = resolve(response);
            let description = response["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{at}: nothing about {status}");
            for (media, content) in response["content"].as_object().into_iter().flatten() {
                assert!(content["schema"].is_object(), "{at}: {status} {media} has no schema");
            }
        }
        assert!(resolve(&says["responses"]["200"])["content"].is_object(), "{at}: no success");
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
fn every_limit_of_a_parameter_is_told() {
    let mut untold = Vec::new();
    for operation in operations() {
        for parameter in operation.parameters() {
            let at = format!("{} {}", operation.id(), parameter["name"].as_str().unwrap());
            limited(&at, &parameter["schema"], &parameter["description"].to_string(), &mut untold);
        }
        if let Some(body) = operation.body() {
            limited(operation.id(), body, "", &mut untold);
        }
    }
    assert!(untold.is_empty(), "how long may they be?\n{}", untold.join("\n"));
}

/// Texts have a greatest length, a pattern or a list of values; or their description, or that of what holds them, says.
fn limited(at: &str, schema: &'static Value, about: &str, untold: &mut Vec<String>) {
    let about = format!("{about} {}", schema["description"]);
    let schema = resolve(schema);
    let is_text = schema["type"] == "string" || schema["type"][0] == "string";
    let known = ["maxLength", "pattern", "enum", "format"].iter().any(|limit| !schema[limit].is_null());
    if is_text && !known && !about.contains("at most") {
        untold.push(at.to_owned());
    }
    for part in ["oneOf", "anyOf", "allOf"].iter().filter_map(|choice| schema[choice].as_array()).flatten() {
        limited(at, part, &about, untold);
    }
    if schema["items"].is_object() {
        limited(at, &schema["items"], &about, untold);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        limited(&format!("{at}.{name}"), property, "", untold);
    }
}

#[test]
fn every_example_fits_its_schema() {
    let mut seen = 0;
    let mut fits = |at: &str, schema: &'static Value, example: &Value| {
        let validator = jsonschema::validator_for(&closed(schema)).unwrap();
        let wrong: Vec<_> = validator.iter_errors(example).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{at}: {}", wrong.join("; "));
        seen += 1;
    };
    for operation in operations() {
        for parameter in operation.parameters().iter().filter(|parameter| !parameter["example"].is_null()) {
            fits(
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
                    fits(name, member, example);
                }
            }
        }
    });
    assert!(seen > 50, "only {seen} examples");
}

/// The document knows types by their names alone: two of one name would be one.
#[test]
fn every_type_of_the_document_has_a_name_of_its_own() {
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
