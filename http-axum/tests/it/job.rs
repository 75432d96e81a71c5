//! The samples of the cdn document about refresh and preload, and what it forbids.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pilothouse_core::cdn::JobEngine;
use pilothouse_core::ports::{
    Capabilities, CdnProvider, Clock, MockCdnProvider, ProviderError, Providers, RandomIds,
};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use crate::api::Api;

const URLS: &str = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html";
const MAIL: &str = "user@example.com";

/// The moment of the document's samples, for ever.
#[derive(Debug)]
struct Sample;

impl Clock for Sample {
    fn now(&self) -> DateTime<Utc> {
        "2016-09-13T15:44:07+08:00".parse().unwrap()
    }
}

/// Confirms everything on `edge-1`; on `edge-2` the last URL of a call is refused where `refuses` says so.
fn provider(purges: bool, refuses: bool) -> Arc<dyn CdnProvider> {
    let mut provider = MockCdnProvider::new();
    provider.expect_capabilities().return_const(Capabilities {
        purge_urls: purges,
        purge_prefix: false,
        preload: true,
        list_domains: false,
        purge_batch: 1000,
        preload_batch: 1000,
        urls_per_second: None,
        edges: vec!["edge-1".into(), "edge-2".into()],
    });
    let answer = move |edge: &str, urls: &[String]| {
        let mut outcomes = vec![Ok(()); urls.len()];
        if refuses && edge == "edge-2" {
            *outcomes.last_mut().unwrap() = Err(ProviderError::Refused("403 forbidden".into()));
        }
        Ok(outcomes)
    };
    provider.expect_purge().returning(move |edge, purges| {
        answer(edge, &purges.iter().map(|purge| purge.url.clone()).collect::<Vec<_>>())
    });
    provider.expect_preload().returning(answer);
    Arc::new(provider)
}

/// A server with two cdns, both serving the user's `cdn.exrqs.com`; only the first can purge. The token of the user.
async fn server(refuses: bool) -> (Api, String) {
    let cdns = vec!["level3".to_owned(), "qcloud".to_owned(), "bare".to_owned()];
    let settings = Settings { cdns, ..Settings::default() };
    let clock = Arc::new(Sample);
    let storage = Arc::new(MemoryStorage::with_clock(clock.clone()));
    let providers: Providers = [("level3", provider(true, refuses)), ("qcloud", provider(false, false))]
        .into_iter()
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

/// The sample's row, with a task id of our own.
fn row(taskid: &Value, percent: &str) -> Value {
    json!({"time": "2016/09/13 15:44:07", "url": URLS, "taskid": taskid, "percentComplete": percent})
}

#[tokio::test]
async fn refresh_and_preload_samples() {
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
        assert_eq!(again, listed, "a JSON body does as well");
    }
}

#[tokio::test]
async fn refresh_list_sample() {
    let (api, user) = server(false).await;
    let queued = api.post(&user, "/level3/refresh", body(URLS)).await.ok();
    let ids = [&queued["results"][0]["taskid"], &queued["results"][1]["taskid"]];
    JobEngine::new(api.pilothouse.clone()).turn().await.unwrap();
    let listed = api.get(&user, &format!("/level3/refresh_list?login_email={MAIL}")).await.ok();
    assert_eq!(listed, json!({"err": 0, "results": [row(ids[1], "0"), row(ids[0], "100")]}));

    let waiting = api.get(&user, &format!("/level3/task?taskid={}", ids[1].as_str().unwrap())).await.ok();
    assert_eq!(waiting["state"], "pending");
    assert_eq!(waiting["reason"], "qcloud cannot purge");
    assert_eq!(waiting["results"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_task_says_where_every_url_stands() {
    let (api, user) = server(true).await;
    let queued = api.post(&user, "/level3/refresh", body(URLS)).await.ok();
    let taskid = queued["results"][0]["taskid"].as_str().unwrap();
    let uri = format!("/level3/task?taskid={taskid}");
    let cell = |url: &str, edge: &str, state: &str, reason: &str, time: &str| json!({"url": url, "edge": edge, "state": state, "reason": reason, "time": time});
    let before = api.get(&user, &uri).await.ok();
    let first = cell("http://cdn.exrqs.com/test.html", "edge-1", "pending", "", "");
    assert_eq!(before["results"][0], first);

    JobEngine::new(api.pilothouse.clone()).turn().await.unwrap();
    let time = "2016/09/13 15:44:07";
    let expected = json!({
        "err": 0,
        "taskid": taskid,
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
async fn refusals_have_their_codes() {
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
