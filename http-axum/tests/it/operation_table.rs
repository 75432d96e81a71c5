//! The table of working calls: what they have other than the examples of the document.

use serde_json::{Value, json};

use crate::seeded_api::{Identity, SeededApi};

/// A row of the table: an operation, or the path of a GET and a POST; a caller with the permission; the arguments that
/// differ from the document's examples; and those that turn it into a call for an object that does not exist. A `null`
/// removes an argument.
pub(crate) type Row = (&'static str, Identity, Value, Value);

#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn table(api: &SeededApi) -> Vec<Row> {
    let seeded = |name: &str| api.seeded[name].clone();
    let unchanged = || json!({});
    let nobody = || json!({"login_email": "nobody@example.com"});
    let password = crate::api::PASSWORD;
    let one_task = || {
        let any = ["before", "ip", "status", "action", "text"].map(|filter| (filter.to_owned(), Value::Null));
        let one = [("task_id".to_owned(), json!(seeded("task")))];
        Value::Object(any.into_iter().chain(one).collect())
    };
    let no_task = || json!({"task_id": "00000000000000000000000000000000"});
    let no_blob = || json!({"sha256": "0".repeat(64)});
    let order = |action: &str, task: &str| {
        let no = Value::Null;
        let no_batch = json!({
            "task_id": seeded(task), "batch": no, "canary": no, "batch_size": no, "max_failures": no, "on_stop": no,
        });
        json!({"action": action, "data": no_batch})
    };
    let batch = |action: &str, batch: &str| {
        let limits = json!({"canary": 1, "batch_size": 10, "max_failures": 1, "on_stop": "hold"});
        let mut data = json!({"task_id": null, "batch": seeded(batch)});
        if action == "execute" {
            data.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        }
        json!({"action": action, "data": data})
    };
    let no_batch = || json!({"data": {"batch": "00000000000000000000000000000000"}});
    let looked = |name: &str, value: Value| {
        let mut query = json!({"task_id": null, "batch": null, "state": null, "count": null, "since": null, "wait": null});
        query[name] = value;
        query
    };
    let times = || json!({"startTime": 1_473_750_000, "endTime": 1_473_753_600});
    let nowhere = || json!({"domain": "nowhere.exrqs.com"});
    let key = || json!({"app": "app1", "profile": "dev", "key": "k1", "version": null, "id": null});
    let no_key = || json!({"app": "nowhere", "key": "nothing"});
    vec![
        ("get_healthz", Identity::Root, unchanged(), unchanged()),
        ("get_readyz", Identity::Root, unchanged(), unchanged()),
        ("get_api_task", Identity::Root, one_task(), no_task()),
        ("post_api_task", Identity::Root, json!({"data": {"ips": null, "machines": null}}), unchanged()),
        ("delete_api_task", Identity::Root, json!({"task_id": seeded("task")}), no_task()),
        ("get_api_task_status", Identity::Root, one_task(), no_task()),
        ("get_api_task_view", Identity::Root, one_task(), no_task()),
        (
            "post_api_task_status",
            Identity::Root,
            json!({"data": {"task_id": seeded("task"), "revert": 0, "revert_time": null}}),
            json!({"data": no_task()}),
        ),
        ("get_api_machine", Identity::Root, unchanged(), json!({"machine_name": "nothing"})),
        ("get_api_machine_info", Identity::Root, json!({"before": null}), json!({"machine_name": "nothing"})),
        ("post_api_machine_info", Identity::Root, json!({"data": {"machine_name": "web02"}}), unchanged()),
        (
            "post_api_machine_info",
            Identity::Root,
            json!({"action": "update"}),
            json!({"data": {"machine_name": "nothing"}}),
        ),
        (
            "post_api_machine_info",
            Identity::Root,
            json!({"action": "rename", "data": {"machine_name": "web01", "new_name": "db01"}}),
            json!({"data": {"machine_name": "nothing"}}),
        ),
        (
            "delete_api_machine_info",
            Identity::Root,
            json!({"cancel": null}),
            json!({"machine_name": "nothing"}),
        ),
        (
            "post_api_machine_info",
            Identity::Root,
            json!({"action": "enroll", "data": {"machine_name": "web01"}}),
            json!({"data": {"machine_name": "nothing"}}),
        ),
        (
            "post_api_machine_info",
            Identity::Root,
            json!({"action": "revoke", "data": {"machine_name": "agent02"}}),
            json!({"data": {"machine_name": "nothing"}}),
        ),
        ("get_api_update", Identity::Root, looked("task_id", seeded("running_order")), no_task()),
        (
            "get_api_update",
            Identity::Root,
            looked("batch", seeded("pending_batch")),
            json!({"batch": "00000000000000000000000000000000"}),
        ),
        ("get_api_update", Identity::Root, looked("state", json!("running")), unchanged()),
        ("post_api_update", Identity::Root, batch("execute", "pending_batch"), no_batch()),
        ("post_api_update", Identity::Root, batch("cancel", "pending_batch"), no_batch()),
        ("post_api_update", Identity::Root, batch("plan", "pending_batch"), no_batch()),
        ("post_api_update", Identity::Root, batch("pause", "running_batch"), no_batch()),
        ("post_api_update", Identity::Root, batch("revert", "running_batch"), no_batch()),
        ("post_api_update", Identity::Root, batch("resume", "paused_batch"), no_batch()),
        ("post_api_update", Identity::Root, batch("retry", "cancelled_batch"), no_batch()),
        ("post_api_update", Identity::Root, order("execute", "pending_order"), json!({"data": no_task()})),
        ("post_api_update", Identity::Root, order("revert", "succeeded_order"), json!({"data": no_task()})),
        ("post_api_update", Identity::Root, order("cancel", "running_order"), json!({"data": no_task()})),
        ("post_api_update", Identity::Root, order("retry", "failed_order"), json!({"data": no_task()})),
        ("post_api_update", Identity::Root, order("plan", "pending_order"), json!({"data": no_task()})),
        ("get_api_blob", Identity::Root, unchanged(), no_blob()),
        ("put_api_blob", Identity::Root, unchanged(), no_blob()),
        (
            "post_api_agent_enroll",
            Identity::Root,
            json!({"code": seeded("code")}),
            json!({"code": "nothing"}),
        ),
        ("post_api_agent_renew", Identity::Agent, unchanged(), unchanged()),
        ("post_api_agent_poll", Identity::Agent, unchanged(), unchanged()),
        (
            "post_api_agent_report",
            Identity::Agent,
            json!({"task_id": seeded("running_order"), "seq": 9, "result": {"state": "failed", "changed": false}}),
            no_task(),
        ),
        ("get_api_agent_blob_sha256", Identity::Agent, unchanged(), no_blob()),
        ("get_admin_system", Identity::Root, unchanged(), unchanged()),
        ("get_admin_token", Identity::Root, json!({"name": null}), json!({"name": "nobody"})),
        (
            "delete_admin_token",
            Identity::Root,
            json!({"id": seeded("token"), "name": null}),
            json!({"id": 999_999}),
        ),
        ("get_admin_api_token", Identity::Root, json!({"name": null}), json!({"name": "nobody"})),
        ("post_admin_api_token", Identity::Root, unchanged(), unchanged()),
        (
            "delete_admin_api_token",
            Identity::Root,
            json!({"id": seeded("api_token"), "name": null}),
            json!({"id": 999_999}),
        ),
        (
            "get_admin_user",
            Identity::Root,
            json!({"username": "xxx", "before": null}),
            json!({"username": "nobody"}),
        ),
        (
            "post_admin_user",
            Identity::Root,
            json!({"data": {"name": "new", "mail": "new@example.com"}}),
            unchanged(),
        ),
        (
            "post_admin_user",
            Identity::Root,
            json!({"action": "update", "data": {"id": null, "name": "xxx", "mail": null, "old_passwd": null}}),
            json!({"data": {"name": "nobody"}}),
        ),
        (
            "post_admin_user",
            Identity::Root,
            json!({"action": "disable"}),
            json!({"data": {"name": "nobody"}}),
        ),
        ("post_admin_user", Identity::Root, json!({"action": "enable"}), json!({"data": {"name": "nobody"}})),
        ("delete_admin_user", Identity::Root, json!({"name": "xxx"}), json!({"name": "nobody"})),
        ("post_admin_user_login", Identity::Root, json!({"password": password}), unchanged()),
        ("post_admin_user_logout", Identity::Root, unchanged(), unchanged()),
        ("post_level3_login", Identity::Root, json!({"password": password}), unchanged()),
        ("level3_logout", Identity::Root, unchanged(), unchanged()),
        ("level3_logincheck", Identity::Root, unchanged(), unchanged()),
        ("post_level3_user", Identity::Root, json!({"login_email": "manager@example.com"}), nobody()),
        ("delete_level3_user", Identity::Root, unchanged(), nobody()),
        ("post_level3_user_update", Identity::Root, unchanged(), nobody()),
        ("get_level3_users", Identity::Root, json!({"before": null}), unchanged()),
        ("get_level3_services", Identity::Root, unchanged(), json!({"cdn": "nothing"})),
        ("get_level3_user_domains", Identity::Customer, unchanged(), nobody()),
        ("post_level3_user_domains", Identity::Root, json!({"domains": "new.exrqs.com"}), nobody()),
        (
            "put_level3_user_domains",
            Identity::Root,
            json!({"cdns": null, "id": null, "domains": ["new.exrqs.com"]}),
            nobody(),
        ),
        ("get_level3_user_cdns", Identity::Customer, unchanged(), nobody()),
        ("post_level3_user_cdns", Identity::Root, json!({"cdns": "level3"}), nobody()),
        ("get_level3_cdn", Identity::Customer, unchanged(), unchanged()),
        ("post_level3_cdn", Identity::Root, unchanged(), unchanged()),
        ("put_level3_cdn", Identity::Root, json!({"id": seeded("cdn")}), json!({"id": 999_999})),
        ("get_level3_domains", Identity::Customer, unchanged(), nobody()),
        ("post_level3_edge_logs", Identity::Edge, unchanged(), json!({"edge": "nowhere"})),
        ("post_level3_edge_logs_skip", Identity::Root, json!({"edge": "edge-2"}), json!({"edge": "nowhere"})),
        (
            "post_level3_refresh",
            Identity::Customer,
            json!({"path": "http://cdn.exrqs.com/x", "domain": null, "tags": null}),
            nobody(),
        ),
        ("post_level3_preload", Identity::Customer, json!({"path": "http://cdn.exrqs.com/x"}), nobody()),
        ("get_level3_refresh_list", Identity::Customer, unchanged(), nobody()),
        ("get_level3_preload_list", Identity::Customer, unchanged(), nobody()),
        ("get_level3_edges", Identity::Root, unchanged(), json!({"cdn": "nothing"})),
        (
            "get_level3_threshold",
            Identity::Customer,
            json!({"domain": "cdn.exrqs.com"}),
            json!({"domain": "nowhere.exrqs.com"}),
        ),
        ("post_level3_threshold", Identity::Customer, unchanged(), nowhere()),
        ("delete_level3_threshold", Identity::Customer, unchanged(), nowhere()),
        (
            "get_level3_alarms",
            Identity::Customer,
            json!({"before": null, "state": null, "kind": null, "cdn": null, "edge": null}),
            nobody(),
        ),
        ("get_level3_log_sources", Identity::Root, unchanged(), json!({"cdn": "nothing"})),
        ("get_level3_unregistered", Identity::Root, unchanged(), json!({"cdn": "nothing"})),
        (
            "post_level3_job_retry",
            Identity::Root,
            json!({"taskid": seeded("job"), "request": null}),
            json!({"taskid": "refresh-0", "request": null}),
        ),
        (
            "get_level3_jobs",
            Identity::Root,
            json!({"before": null, "state": null, "domain": null, "text": null}),
            nobody(),
        ),
        (
            "get_level3_task",
            Identity::Customer,
            json!({"taskid": seeded("job")}),
            json!({"taskid": "refresh-0"}),
        ),
        ("get_level3_bandwidths", Identity::Customer, times(), nowhere()),
        ("get_level3_fluxs", Identity::Customer, times(), nowhere()),
        ("get_level3_stats", Identity::Customer, times(), nowhere()),
        ("get_level3_edges", Identity::Root, unchanged(), json!({"cdn": "nothing"})),
        ("get_level3_top", Identity::Customer, times(), nowhere()),
        ("get_level3_total", Identity::Root, times(), unchanged()),
        ("get_level3_bills", Identity::Root, unchanged(), unchanged()),
        ("get_level3_billing", Identity::Customer, unchanged(), nowhere()),
        ("get_level3_bandwidths_area", Identity::Customer, times(), nowhere()),
        ("get_level3_fluxs_area", Identity::Customer, times(), nowhere()),
        ("get_level3_regions", Identity::Customer, times(), nowhere()),
        ("get_level3_logdownload", Identity::Customer, unchanged(), json!({"domain": "nowhere.exrqs.com"})),
        ("get_level3_log_file", Identity::Root, unchanged(), unchanged()),
        ("get_useful_companies", Identity::Root, json!({"before": null}), unchanged()),
        (
            "post_useful_create_company",
            Identity::Root,
            json!({"owner_email": "owner@example.com"}),
            unchanged(),
        ),
        ("app_create", Identity::Root, unchanged(), unchanged()),
        ("app_del_app", Identity::Root, json!({"app": "app3"}), json!({"app": "nowhere"})),
        ("app_update", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        (
            "app_share",
            Identity::Root,
            json!({"app": "app1", "namespace": "middleware", "shared": true}),
            json!({"app": "nowhere"}),
        ),
        ("app_mine", Identity::Root, json!({"before": null}), unchanged()),
        ("app_list", Identity::Root, unchanged(), unchanged()),
        (
            "userauth_create",
            Identity::Root,
            json!({"app": "app1", "uid": seeded("uid")}),
            json!({"app": "nowhere"}),
        ),
        ("userauth_list_app", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("userauth_profiles_app", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("userauth_del", Identity::Root, json!({"id": seeded("grant")}), json!({"id": 999_999})),
        (
            "userauth_update_permission",
            Identity::Root,
            json!({"id": seeded("grant")}),
            json!({"id": 999_999}),
        ),
        ("config_create", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("config_update", Identity::Root, key(), no_key()),
        ("config_del", Identity::Root, key(), no_key()),
        ("config_approve", Identity::Root, key(), no_key()),
        (
            "config_rollback",
            Identity::Root,
            json!({"app": "app1", "profile": "dev", "key": "k1", "version": 1}),
            no_key(),
        ),
        ("post_config_apply", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("changeset_list", Identity::Root, json!({"app": "app1", "before": null}), json!({"app": "nowhere"})),
        (
            "changeset_get",
            Identity::Root,
            json!({"changeset": seeded("changeset")}),
            json!({"changeset": 999_999}),
        ),
        (
            "post_changeset_approve",
            Identity::Root,
            json!({"changeset": seeded("changeset")}),
            json!({"changeset": 999_999}),
        ),
        (
            "post_changeset_discard",
            Identity::Root,
            json!({"changeset": seeded("changeset")}),
            json!({"changeset": 999_999}),
        ),
        ("config_queryWithKey", Identity::Root, key(), no_key()),
        ("config_query", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("config_export", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        (
            "config_copy",
            Identity::Root,
            json!({"withProfile": "copied", "keys": ["k1"]}),
            json!({"keys": ["nothing"]}),
        ),
        ("config_import", Identity::Root, json!({"env": null}), json!({"app": "nowhere"})),
        ("config_compare", Identity::Root, unchanged(), json!({"withApp": "nowhere"})),
        ("config_search", Identity::Root, unchanged(), json!({"app": "nowhere"})),
        ("config_pending", Identity::Root, unchanged(), unchanged()),
        ("userauth_names", Identity::Root, unchanged(), json!({"uids": "999999"})),
        ("config_profiles_app", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("config_history", Identity::Root, key(), no_key()),
        (
            "config_diff",
            Identity::Root,
            json!({"app": "app1", "profile": "dev", "key": "k1", "from": 1, "to": 2}),
            no_key(),
        ),
        ("node_detail", Identity::Root, json!({"app": "app1", "nodeId": "11"}), json!({"app": "nowhere"})),
        ("node_list", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        (
            "publish",
            Identity::Root,
            json!({"id": seeded("config"), "nodes": null, "percent": null, "labels": null, "version": null}),
            json!({"id": 999_999}),
        ),
        (
            "publish_promote",
            Identity::Root,
            json!({"release": seeded("release")}),
            json!({"release": 999_999}),
        ),
        (
            "post_publish_set",
            Identity::Root,
            json!({
                "app": "app1", "changeset": null, "keys": ["k2.json"], "nodes": null, "percent": null,
                "labels": null,
            }),
            json!({"app": "nowhere"}),
        ),
        (
            "post_publish_rollback",
            Identity::Root,
            json!({"release": seeded("release")}),
            json!({"release": 999_999}),
        ),
        ("publish_abort", Identity::Root, json!({"release": seeded("release")}), json!({"release": 999_999})),
        (
            "publish_status",
            Identity::Root,
            json!({"release": seeded("release"), "state": null}),
            json!({"release": 999_999}),
        ),
        (
            "publish_follow",
            Identity::Root,
            json!({"release": seeded("release")}),
            json!({"release": 999_999}),
        ),
        ("publish_list", Identity::Root, json!({"app": "app1", "before": null}), json!({"app": "nowhere"})),
        ("app_key_create", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("app_key_list_app", Identity::Root, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("app_key_del", Identity::Root, json!({"id": seeded("key")}), json!({"id": 999_999})),
        ("post_node_register", Identity::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("post_node_ack", Identity::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("post_node_leave", Identity::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("get_node_config", Identity::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("get_node_watch", Identity::Node, json!({"app": "app1"}), json!({"app": "nowhere"})),
        ("get_services_config", Identity::Root, unchanged(), unchanged()),
        ("get_configs_appId_cluster_namespace", Identity::Node, unchanged(), json!({"appId": "nowhere"})),
        ("get_configfiles_appId_cluster_namespace", Identity::Node, unchanged(), json!({"appId": "nowhere"})),
        (
            "get_configfiles_json_appId_cluster_namespace",
            Identity::Node,
            unchanged(),
            json!({"appId": "nowhere"}),
        ),
        (
            "get_configfiles_raw_appId_cluster_namespace",
            Identity::Node,
            json!({"namespace": "k2.json"}),
            json!({"appId": "nowhere"}),
        ),
        ("get_notifications_v2", Identity::Node, unchanged(), json!({"appId": "nowhere"})),
        ("audit_list", Identity::Root, unchanged(), json!({"object": "nothing"})),
    ]
}
