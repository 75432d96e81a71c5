//! How the API document describes operations that take their parameters by GET and by POST.

use serde_json::{Map, Value, json};

/// Gives the POST of every operation under `paths` an identifier of its own, and a body, JSON or form, in the place of
/// its query parameters.
pub(crate) fn describe_posts(paths: &mut Map<String, Value>) {
    for operations in paths.values_mut() {
        let both = operations.get("get").is_some() && operations.get("post").is_some();
        let (true, Some(post)) = (both, operations.get_mut("post")) else { continue };
        if post["tags"][0] != "config" {
            continue;
        }
        let id = post["operationId"].as_str().map(|id| format!("{id}_by_post"));
        post["operationId"] = json!(id);
        let parameters = post.as_object_mut().and_then(|post| post.remove("parameters"));
        let parameters = parameters.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        let (query, rest): (Vec<_>, Vec<_>) = parameters.into_iter().partition(|one| one["in"] == "query");
        if !rest.is_empty() {
            post["parameters"] = json!(rest);
        }
        if !query.is_empty() {
            let schema = body(&query);
            post["requestBody"] = json!({
                "description": "The parameters; they may also come in the query string.",
                "content": {
                    "application/json": { "schema": schema },
                    "application/x-www-form-urlencoded": { "schema": schema },
                },
            });
        }
    }
}

/// The schema of a body with these parameters.
fn body(parameters: &[Value]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        let mut schema = parameter["schema"].clone();
        for member in ["description", "example"] {
            if !parameter[member].is_null() {
                schema[member] = parameter[member].clone();
            }
        }
        if parameter["required"] == true {
            required.push(name.clone());
        }
        properties.insert(name, schema);
    }
    json!({ "type": "object", "properties": properties, "required": required })
}
