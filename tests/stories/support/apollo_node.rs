//! Apollo protocol of a test node: it waits for notifications, and reads the namespaces that changed.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{RequestBuilder, Url};
use serde_json::{Value as Json, json};
use sha1::Sha1;
use tokio::time::sleep;

use super::release_model::{KEYS, ObservedAt};
use super::test_node::{NodeTask, PROFILE, RETRY_DELAY, lock, value};

/// The namespaces of [`KEYS`]: name, keys, and the prefix of these keys outside Apollo.
pub(super) const NAMESPACES: [(&str, &[&str], &str); 2] =
    [("application", KEYS.split_at(3).0, ""), ("dir", KEYS.split_at(3).1, "dir/")];

/// The state of a namespace at the client.
struct NamespaceState {
    id: i64,
    messages: Json,
    release_key: String,
}

impl NodeTask {
    /// Runs the protocol until the task is aborted.
    pub(crate) async fn apollo(mut self) {
        let mut namespace =
            NAMESPACES.map(|_| NamespaceState { id: -1, messages: Json::Null, release_key: String::new() });
        for (of, namespace) in NAMESPACES.iter().zip(&mut namespace) {
            self.read(*of, namespace).await;
        }
        let address = self.id.split('/').next().unwrap().to_owned();
        loop {
            let asked = NAMESPACES.iter().zip(&namespace).map(
                |((name, ..), namespace)| json!({"namespaceName": name, "notificationId": namespace.id}),
            );
            let asked = Json::Array(asked.collect()).to_string();
            let mut url = self.url("/notifications/v2");
            let pairs = [
                ("appId", &*self.environment.app),
                ("cluster", PROFILE),
                ("notifications", &asked),
                ("ip", &address),
            ];
            url.query_pairs_mut().extend_pairs(pairs);
            let request = self.signed(url);
            let Some(answer) = self.answer(request).await else { continue };
            match answer.status().as_u16() {
                304 => continue,
                // The app is deleted.
                401 => {
                    sleep(RETRY_DELAY).await;
                    continue;
                }
                _ => {}
            }
            assert_eq!(answer.status(), 200, "{}", self.id);
            let Ok(notifications) = answer.json::<Vec<Json>>().await else { continue };
            for (of, namespace) in NAMESPACES.iter().zip(&mut namespace) {
                let Some(notification) =
                    notifications.iter().find(|notification| notification["namespaceName"] == of.0)
                else {
                    continue;
                };
                let id = notification["notificationId"].as_i64().unwrap();
                assert!(
                    id > namespace.id,
                    "{}: a notification id that does not grow: {notification}",
                    self.id
                );
                (namespace.id, namespace.messages) = (id, notification["messages"].clone());
                self.read(*of, namespace).await;
            }
        }
    }

    /// Reads a namespace, unless its release key is current.
    async fn read(
        &mut self,
        (name, keys, prefix): (&str, &'static [&'static str], &str),
        namespace: &mut NamespaceState,
    ) {
        let id = self.id.clone();
        let (address, label) = id.split_once('/').unwrap_or((&id, ""));
        let messages = namespace.messages.to_string();
        let pairs = [
            ("ip", address),
            ("label", label),
            ("releaseKey", &*namespace.release_key),
            ("messages", &*messages),
        ];
        let body = loop {
            let mut url = self.url(&format!("/configs/{}/{PROFILE}/{name}", self.environment.app));
            url.query_pairs_mut().extend_pairs(pairs);
            let request = self.signed(url);
            let Some(answer) = self.answer(request).await else { continue };
            match answer.status().as_u16() {
                304 => break None,
                // The app is deleted.
                401 => {
                    sleep(RETRY_DELAY).await;
                    continue;
                }
                // Nothing has been published in the namespace yet.
                404 => break Some(json!({"configurations": {}, "releaseKey": ""})),
                status => assert_eq!(status, 200, "{}", self.id),
            }
            if let Ok(body) = answer.json::<Json>().await {
                break Some(body);
            }
        };
        let mut state = lock(&self.state);
        if let Some(body) = body {
            body["releaseKey"].as_str().unwrap().clone_into(&mut namespace.release_key);
            state.items.retain(|key, _| !keys.contains(&&**key));
            let items = body["configurations"].as_object().unwrap().iter();
            state.items.extend(items.map(|(name, text)| (format!("{prefix}{name}"), value(text, None))));
        }
        // A notification id is a revision.
        self.observe(ObservedAt::AtLeast(namespace.id.max(0)), keys, &state.items);
    }

    pub(super) fn signed(&self, url: Url) -> RequestBuilder {
        signed(&self.environment.http, &self.environment.app, &self.environment.key, url)
    }
}

/// A request signed with a key of an app.
pub(crate) fn signed(http: &reqwest::Client, app: &str, key: &str, url: Url) -> RequestBuilder {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis().to_string();
    let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    let mac = mac.chain_update(format!("{now}\n{}?{}", url.path(), url.query().unwrap()));
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    http.get(url).header("timestamp", now).header("authorization", format!("Apollo {app}:{signature}"))
}
