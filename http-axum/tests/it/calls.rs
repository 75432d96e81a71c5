//! How every operation is called so that it works: the document's own examples, changed where they must name what exists.

use pilothouse_http_axum::Family;
use serde_json::{Map, Value, json};

use crate::conform::{Operation, operations, resolve};
use crate::world::{Who, World};

/// A way to call an operation.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// Who may.
    pub(crate) by: Who,
    /// Arguments that name what exists.
    pub(crate) existing: Value,
    /// The same, but of something that does not exist.
    pub(crate) absent: Value,
    /// The code of the answer to `existing`.
    pub(crate) code: i64,
}

/// A row of the table: an operation, or the path of a GET and POST; what differs from the document's examples; and what
/// in turn makes of it something that does not exist. A `null` takes a member away.
type Row = (&'static str, Who, Value, Value);

#[expect(clippy::too_many_lines, reason = "a table")]
fn table(world: &World) -> Vec<Row> {
    let thing = |name: &str| world.things[name].clone();
    let same = || json!({});
    let nobody = || json!({"login_email": "nobody@example.com"});
    let password = crate::api::PASSWORD;
    let no_task = || json!({"task_id": "00000000000000000000000000000000"});
    let times = || json!({"startTime": 1_473_750_000, "endTime": 1_473_753_600, "domain.1": null});
    let nowhere = || json!({"domain": "nowhere.exrqs.com", "domain.0": null});
    let key = || json!({"app": "app1", "profile": "dev", "key": "k1", "version": null});
    let no_key = || json!({"app": "nowhere", "key": "nothing"});
    vec![
        ("get_healthz", Who::Root, same(), same()),
        ("get_readyz", Who::Root, same(), same()),
        ("get_api_task", Who::Root, json!({"task_id": thing("task")}), no_task()),
        ("post_api_task", Who::Root, same(), same()),
        ("delete_api_task", Who::Root, json!({"task_id": thing("task")}), no_task()),
        ("get_api_task_status", Who::Root, json!({"task_id": thing("task")}), no_task()),
        (
            "post_api_task_status",
            Who::Root,
            json!({"data": {"task_id": thing("task"), "revert": 0, "revert_time": null}}),
            json!({"data": no_task()}),
        ),
        ("get_api_machine_info", Who::Root, same(), json!({"machine_name": "nothing"})),
        ("post_api_machine_info", Who::Root, json!({"data": {"machine_name": "web02"}}), same()),
        (
            "post_api_machine_info",
            Who::Root,
            json!({"action": "update"}),
            json!({"data": {"machine_name": "nothing"}}),
        ),
        ("delete_api_machine_info", Who::Root, same(), json!({"machine_name": "nothing"})),
        ("get_admin_token", Who::Root, same(), same()),
        ("delete_admin_token", Who::Root, json!({"id": thing("token")}), json!({"id": 999_999})),
        ("get_admin_user", Who::Root, json!({"username": "xxx"}), json!({"username": "nobody"})),
        ("post_admin_user", Who::Root, json!({"data": {"name": "new", "mail": "new@example.com"}}), same()),
        (
            "post_admin_user",
            Who::Root,
            json!({"action": "update", "data": {"name": "xxx", "mail": null, "passwd": null}}),
            json!({"data": {"name": "nobody"}}),
        ),
        ("delete_admin_user", Who::Root, json!({"name": "xxx"}), json!({"name": "nobody"})),
        ("post_admin_user_login", Who::Root, json!({"password": password}), same()),
        ("post_admin_user_logout", Who::Root, same(), same()),
        ("post_level3_login", Who::Root, json!({"password": password}), same()),
        ("post_level3_logout", Who::Root, same(), same()),
        ("get_level3_logincheck", Who::Root, same(), same()),
        ("post_level3_user", Who::Root, json!({"login_email": "manager@example.com"}), nobody()),
        ("delete_level3_user", Who::Root, same(), nobody()),
        ("post_level3_user_update", Who::Root, same(), nobody()),
        ("get_level3_user_domains", Who::Customer, same(), nobody()),
        ("post_level3_user_domains", Who::Root, json!({"domains": "new.exrqs.com"}), nobody()),
        (
            "put_level3_user_domains",
            Who::Root,
            json!({"cdns": null, "id": null, "domains": ["new.exrqs.com"]}),
            nobody(),
        ),
        ("get_level3_user_cdns", Who::Customer, same(), nobody()),
        ("post_level3_user_cdns", Who::Root, json!({"cdns": "level3"}), nobody()),
        ("get_level3_cdn", Who::Customer, same(), same()),
        ("post_level3_cdn", Who::Root, same(), same()),
        ("put_level3_cdn", Who::Root, json!({"id": thing("cdn")}), json!({"id": 999_999})),
        ("get_level3_domains", Who::Customer, same(), same()),
        ("post_level3_edge_logs", Who::Edge, same(), json!({"edge": "nowhere"})),
        ("post_level3_refresh", Who::Customer, json!({"path": "http://cdn.exrqs.com/x"}), nobody()),
        ("post_level3_preload", Who::Customer, json!({"path": "http://cdn.exrqs.com/x"}), nobody()),
        ("get_level3_refresh_list", Who::Customer, same(), nobody()),
        ("get_level3_preload_list", Who::Customer, same(), nobody()),
        ("get_level3_edges", Who::Root, same(), json!({"cdn": "nothing"})),
        ("get_level3_task", Who::Customer, json!({"taskid": thing("job")}), json!({"taskid": "refresh-0"})),
        ("get_level3_bandwidths", Who::Customer, times(), nowhere()),
        ("get_level3_fluxs", Who::Customer, times(), nowhere()),
        ("get_level3_stats", Who::Customer, times(), nowhere()),
        ("get_level3_edges", Who::Root, same(), json!({"cdn": "nothing"})),
        ("get_level3_billing", Who::Customer, json!({"domain.1": null}), nowhere()),
        ("get_level3_bandwidths_area", Who::Customer, times(), nowhere()),
        ("get_level3_fluxs_area", Who::Customer, times(), nowhere()),
        ("get_level3_logdownload", Who::Customer, same(), json!({"domain": "nowhere.exrqs.com"})),
        ("get_level3_log_file", Who::Root, same(), same()),
        ("post_useful_create_company", Who::Root, json!({"owner_email": "owner@example.com"}), same()),
        ("app_create", Who::Root, same(), same()),
        ("app_del_app", Who::Root, json!({"app": "app3"}), json!({"app": "nowhere"})),
        ("app_update", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("app_list", Who::Root, same(), same()),
        (
            "userauth_create",
            Who::Root,
            json!({"app": "app1", "uid": thing("uid")}),
            json!({"app": "nowhere"}),
        ),
        ("userauth_list_app", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("userauth_del", Who::Root, json!({"id": thing("grant")}), json!({"id": 999_999})),
        ("userauth_update_permission", Who::Root, json!({"id": thing("grant")}), json!({"id": 999_999})),
        ("config_create", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("config_update", Who::Root, key(), no_key()),
        ("config_del", Who::Root, key(), no_key()),
        ("config_approve", Who::Root, key(), no_key()),
        (
            "config_rollback",
            Who::Root,
            json!({"app": "app1", "profile": "dev", "key": "k1", "version": 1}),
            no_key(),
        ),
        ("config_queryWithKey", Who::Root, key(), no_key()),
        ("config_query", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("config_profiles_app", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("config_history", Who::Root, key(), no_key()),
        (
            "config_diff",
            Who::Root,
            json!({"app": "app1", "profile": "dev", "key": "k1", "from": 1, "to": 2}),
            no_key(),
        ),
        ("node_list", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        (
            "publish",
            Who::Root,
            json!({"id": thing("config"), "nodes": null, "percent": null, "labels": null, "version": null}),
            json!({"id": 999_999}),
        ),
        ("publish_promote", Who::Root, json!({"release": thing("release")}), json!({"release": 999_999})),
        ("publish_abort", Who::Root, json!({"release": thing("release")}), json!({"release": 999_999})),
        ("publish_status", Who::Root, json!({"release": thing("release")}), json!({"release": 999_999})),
        ("publish_list", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("app_key_create", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("app_key_list_app", Who::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("app_key_del", Who::Root, json!({"id": thing("key")}), json!({"id": 999_999})),
        ("post_node_register", Who::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("post_node_ack", Who::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("post_node_leave", Who::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("get_node_config", Who::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("get_node_watch", Who::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("get_services_config", Who::Root, same(), same()),
        ("get_configs_appId_cluster_namespace", Who::Node, same(), json!({"appId": "nowhere"})),
        ("get_configfiles_appId_cluster_namespace", Who::Node, same(), json!({"appId": "nowhere"})),
        ("get_configfiles_json_appId_cluster_namespace", Who::Node, same(), json!({"appId": "nowhere"})),
        (
            "get_configfiles_raw_appId_cluster_namespace",
            Who::Node,
            json!({"namespace": "k2.json"}),
            json!({"appId": "nowhere"}),
        ),
        ("get_notifications_v2", Who::Node, same(), json!({"appId": "nowhere"})),
        ("audit_list", Who::Root, same(), json!({"object": "nothing"})),
    ]
}

/// What an operation answers where that is not success: areas need a city database, a log a good link.
fn code(operation: &Operation) -> i64 {
    match operation.id() {
        "get_level3_bandwidths_area" | "get_level3_fluxs_area" => 1,
        "get_level3_log_file" => 4,
        _ if operation.path.starts_with("/api") || operation.path.starts_with("/admin") => 200,
        _ if operation.says["tags"][0] == "health" || operation.family() == Family::Apollo => -1,
        _ => 0,
    }
}

/// Every call of the table, in the order of the document. Panics where an operation has none.
pub(crate) fn calls(world: &World) -> Vec<Call> {
    let table = table(world);
    let mut used = vec![false; table.len()];
    let mut calls = Vec::new();
    for operation in operations() {
        let before = calls.len();
        for (row, (name, by, existing, absent)) in table.iter().enumerate() {
            let id = operation.id();
            let fits = *name == id
                || id.strip_prefix("get_") == Some(name)
                || id.strip_prefix("post_") == Some(name);
            if !fits {
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
    /// Where to send these arguments, and with which body.
    pub(crate) fn place(&self, arguments: &Value) -> (String, Option<Value>) {
        let (mut path, mut query, mut body) = (self.operation.path.to_owned(), Vec::new(), Map::new());
        let parameters = self.operation.parameters();
        for (name, value) in arguments.as_object().unwrap() {
            let place = parameters
                .iter()
                .find(|parameter| parameter["name"] == **name)
                .map(|parameter| &parameter["in"]);
            let text = || escape(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            match place.and_then(Value::as_str) {
                Some("path") => path = path.replace(&format!("{{{name}}}"), &text()),
                Some("query") if !body.contains_key(name) && self.operation.body().is_none() => {
                    query.push(format!("{name}={}", text()));
                }
                _ => drop(body.insert(name.clone(), value.clone())),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        (path, self.operation.body().map(|_| Value::Object(body)))
    }
}

/// Percent-escapes all but letters and digits.
pub(crate) fn escape(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}

/// The document's examples of an operation's arguments; of a body that differs by its `action`, the one `wanted`.
fn example(operation: &Operation, wanted: &Value) -> Value {
    let mut arguments = Map::new();
    for parameter in operation.parameters() {
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

/// A value made of the examples in a schema.
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

/// Puts the members of one object over those of another.
fn overlay(onto: &mut Value, from: &Value) {
    match (onto, from) {
        (Value::Object(onto), Value::Object(from)) => {
            for (name, value) in from {
                match onto.get_mut(name) {
                    Some(_) if value.is_null() => drop(onto.remove(name)),
                    Some(held) => overlay(held, value),
                    None if value.is_null() => {}
                    None => drop(onto.insert(name.clone(), value.clone())),
                }
            }
        }
        (onto, from) => *onto = from.clone(),
    }
}
