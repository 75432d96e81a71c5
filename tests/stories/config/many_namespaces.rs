//! An Apollo client with a thousand namespaces: five hundred in each of two polls, and every one is told and applied.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{ApiClient, Installation, ROOT, TIMEOUT, http_client, signed};

const APP: &str = "shop";
const PROFILE: &str = "prod";
const ADDRESS: &str = "10.9.0.1";
/// Namespaces of one poll, as many as the API promises.
const POLLED: usize = 500;

/// Notification ids by namespace.
type Ids = BTreeMap<String, i64>;

fn namespace(n: usize) -> String {
    format!("platform.module-{n:04}")
}

/// The client, which does what an Apollo client does.
struct Client {
    http: reqwest::Client,
    server: String,
    key: String,
}

impl Client {
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> reqwest::Response {
        let mut url: Url = format!("{}{path}", self.server).parse().unwrap();
        url.query_pairs_mut().extend_pairs(query).append_pair("ip", ADDRESS);
        signed(&self.http, APP, &self.key, url).send().await.unwrap()
    }

    /// The notifications after the ids that the client knows; none for 304.
    async fn poll(&self, known: &Ids) -> Ids {
        let asked = known.iter().map(|(name, id)| json!({"namespaceName": name, "notificationId": id}));
        let asked = Value::Array(asked.collect()).to_string();
        let query = [("appId", APP), ("cluster", PROFILE), ("notifications", &asked)];
        let answer = self.get("/notifications/v2", &query).await;
        if answer.status() == 304 {
            return Ids::new();
        }
        assert_eq!(answer.status(), 200, "a poll of {} namespaces", known.len());
        let told: Vec<Value> = answer.json().await.unwrap();
        let id = |one: &Value| {
            (one["namespaceName"].as_str().unwrap().to_owned(), one["notificationId"].as_i64().unwrap())
        };
        told.iter().map(id).collect()
    }

    /// The one value of a namespace.
    async fn value(&self, name: &str) -> String {
        let answer = self.get(&format!("/configs/{APP}/{PROFILE}/{name}"), &[]).await;
        assert_eq!(answer.status(), 200, "{name}");
        let body: Value = answer.json().await.unwrap();
        body["configurations"]["k"].as_str().unwrap().to_owned()
    }

    /// Reads the namespaces that it was told of, which all have the value.
    async fn read(&self, told: &Ids, value: &str) {
        for name in told.keys() {
            assert_eq!(self.value(name).await, value, "{name}");
        }
    }
}

/// Publishes a value in each of some namespaces as one set; its release.
async fn publish(root: &ApiClient, numbers: std::ops::Range<usize>, value: &str) -> Value {
    let changes: Vec<Value> =
        numbers.map(|n| json!({"key": format!("{}/k", namespace(n)), "value": value})).collect();
    let apply = json!({"app": APP, "profile": PROFILE, "changes": changes, "publish": true});
    root.post("/config/apply", apply).await.ok()["data"]["Release"].clone()
}

async fn wait_until_applied(root: &ApiClient, release: &Value) {
    let begun = Instant::now();
    loop {
        let status = root.get(&format!("/publish/status?release={release}")).await.ok()["data"].clone();
        if status["Targets"] == 1 && status["Counts"]["applied"] == 1 {
            return;
        }
        assert!(begun.elapsed() < TIMEOUT, "not applied: {}", status["Nodes"]);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_namespaces_are_told_and_applied_over_two_polls() {
    let installation = Installation::sqlite().with("LONG_POLL_SECONDS", "5");
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    root.post("/app/create", json!({"app": APP, "appType": 0, "name": APP, "charger": ROOT})).await.ok();
    let key = root.post("/app/key/create", json!({"app": APP})).await.ok();
    let key = key["data"]["Key"].as_str().unwrap().to_owned();
    let client = Client { http: http_client().build().unwrap(), server: server.url(), key };

    let mut release = publish(&root, 0..2 * POLLED, "first").await;
    let unknown = |from: usize| -> Ids { (from..from + POLLED).map(|n| (namespace(n), -1)).collect() };
    let (mut one, mut two) = (unknown(0), unknown(POLLED));
    for (next, value) in [(Some("second"), "first"), (None, "second")] {
        let told = tokio::join!(client.poll(&one), client.poll(&two));
        assert_eq!((told.0.len(), told.1.len()), (POLLED, POLLED), "every namespace of {value} is told");
        client.read(&told.0, value).await;
        client.read(&told.1, value).await;
        (one, two) = told;
        // Nothing is new until the next set, which the polls wait for; they tell that the client has what it read.
        let (told, published) =
            tokio::join!(async { tokio::join!(client.poll(&one), client.poll(&two)) }, async {
                wait_until_applied(&root, &release).await;
                match next {
                    Some(next) => Some(publish(&root, 0..2 * POLLED, next).await),
                    None => None,
                }
            });
        match published {
            // The polls may have ended before; the next ones are told.
            Some(published) => release = published,
            None => assert_eq!(told, (Ids::new(), Ids::new())),
        }
    }

    // A change of one namespace is told for that one alone.
    publish(&root, 7..8, "third").await;
    let (told, other) = tokio::join!(client.poll(&one), client.poll(&two));
    assert_eq!(told.keys().collect::<Vec<_>>(), [&namespace(7)]);
    assert_eq!(other, Ids::new());
    client.read(&told, "third").await;
}
