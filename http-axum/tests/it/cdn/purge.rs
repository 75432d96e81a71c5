//! Refresh and preload API: the documented examples, task details and refusals.

use std::sync::Arc;

use pilothouse_conformance::doubles::{ManualClock, Reply, ScriptedProvider, ScriptedVendor};
use pilothouse_core::cdn::JobRunner;
use pilothouse_core::ports::{CdnProvider, Prefix, ProviderError, Providers, RandomIds};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use crate::api::Api;

const URLS: &str = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html";
const MAIL: &str = "user@example.com";

/// The time of the documented examples, 2016-09-13 15:44:07 in Shanghai.
const EXAMPLE_TIME: i64 = 1_473_752_647;

/// A provider that confirms every call; with `refuses`, `edge-2` refuses the second URL of the first.
fn provider(purges: bool, refuses: bool) -> Arc<dyn CdnProvider> {
    let provider = ScriptedProvider::new(&["edge-1", "edge-2"]).with_capabilities(|can| {
        can.purge_urls = purges;
        can.purge_prefix = Prefix::Never;
    });
    if refuses {
        let refused = ProviderError::Refused("403 forbidden".into());
        provider.next("edge-2", Reply::Each(vec![Ok(()), Err(refused)]));
    }
    Arc::new(provider)
}

/// An API with the domain `cdn.exrqs.com` of a user on two cdns, of which only the first can purge; the token of the user.
async fn server(refuses: bool) -> (Api, String) {
    server_with(refuses, None).await
}

/// The same with a provider of the cdn that has none else, whose domain is `bare.exrqs.com`.
async fn server_with(refuses: bool, bare: Option<Arc<dyn CdnProvider>>) -> (Api, String) {
    let settings = Settings::default().with_cdns(["level3", "qcloud", "bare"]);
    let clock = Arc::new(ManualClock::at(EXAMPLE_TIME));
    let storage = Arc::new(MemoryStorage::with_clock(clock.clone()).strict());
    let providers: Providers = [("level3", provider(true, refuses)), ("qcloud", provider(false, false))]
        .into_iter()
        .chain(bare.map(|bare| ("bare", bare)))
        .map(|(cdn, provider)| (cdn.to_owned(), provider))
        .collect();
    let pilothouse = Pilothouse::with(storage, settings, clock, Arc::new(RandomIds)).unwrap();
    let api = Api::over(pilothouse.with_providers(providers), HttpSettings::default()).await;
    api.pilothouse.cdns().ensure_configured().await.unwrap();
    let user = api.account("user", "").await;
    let root = api.login("root").await;
    let access = json!({"login_email": MAIL, "password": "cdn password"});
    assert_eq!(api.post(&root, "/level3/user", access).await.codes(), (200, 0));
    for cdn in ["level3", "qcloud"] {
        let domains = json!({"login_email": MAIL, "cdn": cdn, "domains": "cdn.exrqs.com"});
        assert_eq!(api.post(&root, "/level3/user_domains", domains).await.codes(), (200, 0));
    }
    let domains = json!({"login_email": MAIL, "cdn": "bare", "domains": "bare.exrqs.com"});
    assert_eq!(api.post(&root, "/level3/user_domains", domains).await.codes(), (200, 0));
    (api, user)
}

fn body(path: &str) -> Value {
    json!({"login_email": MAIL, "path": path})
}

#[tokio::test]
async fn tags_are_refreshed_where_the_provider_can() {
    let vendor = ScriptedVendor::new("bare").with_capabilities(|can| can.purge_tags = true);
    let (api, user) = server_with(false, Some(Arc::new(vendor))).await;
    let refresh = async |members: Value| {
        let mut body = json!({"login_email": MAIL});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        api.post(&user, "/level3/refresh", body).await.body
    };
    let refused = async |members: Value| {
        let body = refresh(members).await;
        (body["err"].as_i64().unwrap(), body["msg"].as_str().unwrap().to_owned())
    };
    let many = vec!["x"; 31];
    for (members, code, msg) in [
        (json!({}), 2, "path: is required"),
        (json!({"tags": ["a"]}), 2, "domain: is required beside tags"),
        (json!({"domain": "bare.exrqs.com"}), 2, "tags: is required beside domain"),
        (
            json!({"path": URLS, "domain": "bare.exrqs.com", "tags": ["a"]}),
            2,
            "path: must not stand beside domain and tags",
        ),
        (json!({"domain": "bare.exrqs.com", "tags": many}), 2, "tags: must hold 1 to 30 tags, not 31"),
        (
            json!({"domain": "bare.exrqs.com", "tags": ["a b"]}),
            2,
            "tags: tag 1 must be printable ASCII without blanks, commas and bars",
        ),
        (
            json!({"domain": "cdn.exrqs.com", "tags": ["a"]}),
            2,
            "tags: level3 cannot purge by tag: it purges URLs only",
        ),
        (json!({"domain": "other.com", "tags": ["a"]}), 4, "not permitted"),
    ] {
        assert_eq!(refused(members.clone()).await, (code, msg.to_owned()), "{members}");
    }
    let list = format!("/level3/refresh_list?login_email={MAIL}");
    assert_eq!(api.get(&user, &list).await.ok()["results"], json!([]), "nothing is queued");

    let queued = refresh(json!({"domain": "Bare.exrqs.com", "tags": ["news", "blog/1", "news"]})).await;
    let url = "tag://bare.exrqs.com/news|tag://bare.exrqs.com/blog/1";
    assert_eq!((&queued["err"], &queued["results"][0]["url"]), (&json!(0), &json!(url)));
    assert_eq!(api.get(&user, &list).await.ok()["results"][0]["url"], url);
    let preload = json!({"login_email": MAIL, "domain": "bare.exrqs.com", "tags": ["news"]});
    assert_eq!(api.post(&user, "/level3/preload", preload).await.codes(), (200, 2));
}

/// The documented row, with an actual task id.
fn row(taskid: &Value, percent: &str) -> Value {
    json!({"time": "2016/09/13 15:44:07", "url": URLS, "taskid": taskid, "percentComplete": percent})
}

#[tokio::test]
async fn the_documented_refresh_and_preload_examples_work() {
    let (api, user) = server(false).await;
    for kind in ["refresh", "preload"] {
        let queued = api.post(&user, &format!("/level3/{kind}"), body(URLS)).await.ok();
        let ids = [&queued["results"][0]["taskid"], &queued["results"][1]["taskid"]];
        assert_ne!(ids[0], ids[1]);
        let rows = json!([row(ids[0], "0"), row(ids[1], "0")]);
        assert_eq!(queued, json!({"err": 0, "results": rows, "status": "success"}));

        let listed = api.get(&user, &format!("/level3/{kind}_list?login_email={MAIL}")).await.ok();
        assert_eq!(listed, json!({"err": 0, "results": [row(ids[1], "0"), row(ids[0], "0")]}));
        let named = json!({"login_email": MAIL});
        let again = api.call("GET", &user, &format!("/level3/{kind}_list"), Some(named)).await.ok();
        assert_eq!(again, listed, "the customer may be named in a JSON body");
    }
}

#[tokio::test]
async fn the_documented_list_example_works() {
    let (api, user) = server(false).await;
    let queued = api.post(&user, "/level3/refresh", body(URLS)).await.ok();
    let ids = [&queued["results"][0]["taskid"], &queued["results"][1]["taskid"]];
    JobRunner::new(api.pilothouse.clone()).turn().await.unwrap();
    let listed = api.get(&user, &format!("/level3/refresh_list?login_email={MAIL}")).await.ok();
    assert_eq!(listed, json!({"err": 0, "results": [row(ids[1], "0"), row(ids[0], "100")]}));

    let waiting = api.get(&user, &format!("/level3/task?taskid={}", ids[1].as_str().unwrap())).await.ok();
    assert_eq!(waiting["state"], "pending");
    assert_eq!(waiting["reason"], "qcloud cannot purge");
    assert_eq!(waiting["results"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_task_shows_the_state_of_every_url_on_every_edge() {
    let (api, user) = server(true).await;
    let queued = api.post(&user, "/level3/refresh", body(URLS)).await.ok();
    let taskid = queued["results"][0]["taskid"].as_str().unwrap();
    let uri = format!("/level3/task?taskid={taskid}");
    let cell = |url: &str, edge: &str, state: &str, reason: &str, time: &str| json!({"url": url, "edge": edge, "state": state, "reason": reason, "time": time});
    let before = api.get(&user, &uri).await.ok();
    let first = cell("http://cdn.exrqs.com/test.html", "edge-1", "pending", "", "");
    assert_eq!(before["results"][0], first);

    JobRunner::new(api.pilothouse.clone()).turn().await.unwrap();
    let time = "2016/09/13 15:44:07";
    let expected = json!({
        "err": 0,
        "taskid": taskid,
        "request": taskid,
        "requestPercent": 37,
        "kind": "refresh",
        "cdn": "level3",
        "time": time,
        "percentComplete": "75",
        "state": "failed",
        "reason": "edge-2: 403 forbidden",
        "results": [
            cell("http://cdn.exrqs.com/test.html", "edge-1", "acked", "", time),
            cell("http://cdn.exrqs.com/test.html", "edge-2", "acked", "", time),
            cell("http://cdn.exrqs.com/test1.html", "edge-1", "acked", "", time),
            cell("http://cdn.exrqs.com/test1.html", "edge-2", "failed", "403 forbidden", time),
        ],
    });
    assert_eq!(api.get(&user, &uri).await.ok(), expected);

    let operator = api.account("operator", "8").await;
    assert_eq!(api.get(&operator, &uri).await.ok(), expected);
    let login = json!({"login_email": MAIL, "password": "cdn password"});
    let cdn_token = api.post("", "/level3/login", login).await.ok()["token"].as_str().unwrap().to_owned();
    assert_eq!(api.get(&cdn_token, &uri).await.ok(), expected);

    let stranger = api.account("stranger", "1,2,3,4,5,6,7,9").await;
    let others = api.get(&stranger, &uri).await.ok();
    let absent = api.get(&stranger, "/level3/task?taskid=refresh-0").await.ok();
    assert_eq!(others, json!({"err": 6, "msg": "the task does not exist"}));
    assert_eq!(others, absent);
    assert_eq!(api.get("", &uri).await.codes(), (200, 3));
    for uri in ["/level3/task", "/level3/task?taskid=", "/level3/task?taskid=a%00b"] {
        assert_eq!(api.get(&user, uri).await.codes(), (200, 2), "{uri}");
    }
}

#[tokio::test]
async fn refusals_have_the_documented_codes() {
    let (api, user) = server(false).await;
    let other = api.account("other", "").await;
    let root = api.login("root").await;
    for uri in ["/level3/refresh", "/level3/preload"] {
        for (token, path, code) in [
            ("", URLS, 3),
            (other.as_str(), URLS, 4),
            (&user, "http://other.com/", 4),
            (&user, "http://bare.exrqs.com/", 1),
            (&user, "", 2),
            (&user, "cdn.exrqs.com/test.html", 2),
            (&user, "http://user@cdn.exrqs.com/test.html", 2),
            (&user, "http://cdn.exrqs.com/i/*", 2),
        ] {
            assert_eq!(api.post(token, uri, body(path)).await.codes(), (200, code), "{uri} {path}");
        }
        let unknown = json!({"login_email": "nobody@example.com", "path": URLS});
        assert_eq!(api.post(&root, uri, unknown.clone()).await.codes(), (200, 6));
        assert_eq!(api.post(&user, uri, unknown).await.codes(), (200, 4));
        assert_eq!(api.post(&user, uri, json!({"login_email": MAIL})).await.codes(), (200, 2));
        let more = json!({"login_email": MAIL, "path": URLS, "paths": ""});
        assert_eq!(api.post(&user, uri, more).await.codes(), (200, 2));
        assert_eq!(api.get(&user, uri).await.codes(), (405, 2));
    }
    let why = api.post(&user, "/level3/refresh", body("http://bare.exrqs.com/")).await.ok();
    assert_eq!(why, json!({"err": 1, "msg": "no provider is set up for bare"}));

    let off = json!({"login_email": MAIL, "operations": false});
    assert_eq!(api.post(&root, "/level3/user/update", off).await.codes(), (200, 0));
    let user = api.login("user").await;
    for token in [&user, &root] {
        assert_eq!(api.post(token, "/level3/refresh", body(URLS)).await.codes(), (200, 4));
    }
    for list in ["refresh_list", "preload_list"] {
        let uri = format!("/level3/{list}?login_email={MAIL}");
        assert_eq!(api.get(&user, &uri).await.ok(), json!({"err": 0, "results": []}), "nothing was queued");
        assert_eq!(api.get(&other, &uri).await.codes(), (200, 4));
    }
}

#[tokio::test]
async fn operators_list_requests_of_all_customers_and_retry_what_failed() {
    let (api, user) = server(true).await;
    let queued = api.post(&user, "/level3/refresh", body(URLS)).await.ok();
    let ids =
        [&queued["results"][0]["taskid"], &queued["results"][1]["taskid"]].map(|id| id.as_str().unwrap());
    JobRunner::new(api.pilothouse.clone()).turn().await.unwrap();
    let operator = api.account("operator", "8").await;
    let get = async |query: &str| api.get(&operator, &format!("/level3/jobs?{query}")).await;
    let all = get("total=1").await;
    assert_eq!(all.headers["x-total-count"], "1");
    let part = |n: usize, cdn: &str, state: &str, percent: i64, reason: &str| json!({"taskid": ids[n], "cdn": cdn, "urls": 2, "state": state, "percent": percent, "reason": reason});
    let id = all.body["results"][0]["id"].clone();
    let row = json!({
        "id": id, "taskid": ids[0], "login_email": MAIL, "kind": "refresh", "urls": 4,
        "cdns": ["level3", "qcloud"], "state": "running", "percent": 37,
        "reason": "level3: edge-2: 403 forbidden", "time": "2016/09/13 15:44:07",
        "parts": [
            part(0, "level3", "failed", 75, "edge-2: 403 forbidden"),
            part(1, "qcloud", "running", 0, "qcloud cannot purge"),
        ],
    });
    assert_eq!(all.body, json!({"err": 0, "results": [row]}));
    for id in ids {
        let task = api.get(&user, &format!("/level3/task?taskid={id}")).await.ok();
        assert_eq!((&task["request"], &task["requestPercent"]), (&json!(ids[0]), &json!(37)));
    }
    for (query, expected) in [
        ("state=running&domain=cdn.exrqs.com&text=test1".to_owned(), json!([row])),
        (format!("login_email={MAIL}&count=1"), json!([row])),
        (format!("before={id}"), json!([])),
        ("state=failed".to_owned(), json!([])),
        ("state=done".to_owned(), json!([])),
        ("domain=exrqs.com".to_owned(), json!([])),
    ] {
        assert_eq!(get(&query).await.ok()["results"], expected, "{query}");
    }
    for query in
        ["state=pending", "state=", "states=failed", "domain=", "text=", "order=oldest", "login_email="]
    {
        assert_eq!(get(query).await.codes(), (200, 2), "{query}");
    }

    let uri = format!("/level3/job/retry?taskid={}", ids[0]);
    assert_eq!(api.post(&user, &uri, json!({})).await.codes(), (200, 4));
    let retried = json!({"err": 0, "taskid": ids[0], "retried": 1});
    assert_eq!(api.post(&operator, &uri, json!({})).await.ok(), retried);
    JobRunner::new(api.pilothouse.clone()).turn().await.unwrap();
    let parts = get("").await.ok()["results"][0]["parts"].clone();
    assert_eq!((&parts[0]["state"], &parts[1]["state"]), (&json!("done"), &json!("running")));
    let again = api.post(&operator, "/level3/job/retry", json!({"taskid": ids[0]})).await.ok();
    assert_eq!(again["retried"], 0);
    let absent = api.post(&operator, "/level3/job/retry?taskid=refresh-0", json!({})).await;
    assert_eq!(absent.codes(), (200, 6));
}

#[tokio::test]
async fn what_failed_of_a_whole_request_is_retried_by_one_call() {
    let (api, user) = server(true).await;
    let queued = api.post(&user, "/level3/refresh", body(URLS)).await.ok();
    let ids = [0, 1].map(|n| queued["results"][n]["taskid"].clone());
    JobRunner::new(api.pilothouse.clone()).turn().await.unwrap();
    let operator = api.account("operator", "8").await;
    let retry = async |token: &str, body: Value| api.post(token, "/level3/job/retry", body).await;
    assert_eq!(retry(&user, json!({"request": ids[0]})).await.codes(), (200, 4));
    for wrong in [json!({}), json!({"taskid": ids[0], "request": ids[0]}), json!({"request": "a b"})] {
        assert_eq!(retry(&operator, wrong.clone()).await.codes(), (200, 2), "{wrong}");
    }
    assert_eq!(retry(&operator, json!({"request": ids[1]})).await.codes(), (200, 6), "no first job");
    let retried = retry(&operator, json!({"request": ids[0]})).await.ok();
    assert_eq!(retried, json!({"err": 0, "taskid": ids[0], "retried": 1}));
    JobRunner::new(api.pilothouse.clone()).turn().await.unwrap();
    let row = api.get(&operator, "/level3/jobs").await.ok()["results"][0].clone();
    assert_eq!((&row["percent"], &row["reason"]), (&json!(50), &json!("qcloud: qcloud cannot purge")));
}
