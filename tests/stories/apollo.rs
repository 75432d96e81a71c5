//! Nodes that follow as Apollo's clients do: told that a namespace changed, they read it.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{RequestBuilder, Url};
use serde_json::{Value as Json, json};
use sha1::Sha1;

use crate::follower::{Node, PROFILE, lock, value};
use crate::released::{KEYS, When};

/// The namespaces of [`KEYS`] for Apollo clients, their keys, and what these begin with there.
const NAMESPACES: [(&str, &[&str], &str); 2] =
    [("application", KEYS.split_at(2).0, ""), ("dir", KEYS.split_at(2).1, "dir/")];

/// What an Apollo client knows of a namespace.
struct Known {
    id: i64,
    messages: Json,
    release_key: String,
}

impl Node {
    /// Follows as Apollo's clients do.
    pub(crate) async fn apollo(mut self) {
        let mut known =
            NAMESPACES.map(|_| Known { id: -1, messages: Json::Null, release_key: String::new() });
        for (of, known) in NAMESPACES.iter().zip(&mut known) {
            self.read(*of, known).await;
        }
        let address = self.id.split('/').next().unwrap().to_owned();
        loop {
            let asked = NAMESPACES
                .iter()
                .zip(&known)
                .map(|((name, ..), known)| json!({"namespaceName": name, "notificationId": known.id}));
            let asked = Json::Array(asked.collect()).to_string();
            let mut url = self.url("/notifications/v2");
            let pairs = [
                ("appId", &*self.site.app),
                ("cluster", PROFILE),
                ("notifications", &asked),
                ("ip", &address),
            ];
            url.query_pairs_mut().extend_pairs(pairs);
            let request = self.signed(url);
            let Some(answer) = self.answer(request).await else { continue };
            if answer.status() == 304 {
                continue;
            }
            assert_eq!(answer.status(), 200, "{}", self.id);
            let Ok(told) = answer.json::<Vec<Json>>().await else { continue };
            for (of, known) in NAMESPACES.iter().zip(&mut known) {
                let Some(told) = told.iter().find(|told| told["namespaceName"] == of.0) else { continue };
                let id = told["notificationId"].as_i64().unwrap();
                assert!(id > known.id, "{}: an id that does not grow: {told}", self.id);
                (known.id, known.messages) = (id, told["messages"].clone());
                self.read(*of, known).await;
            }
        }
    }

    /// Reads a namespace.
    async fn read(&mut self, (name, keys, prefix): (&str, &'static [&'static str], &str), known: &mut Known) {
        let id = self.id.clone();
        let (address, label) = id.split_once('/').unwrap_or((&id, ""));
        let messages = known.messages.to_string();
        let pairs = [
            ("ip", address),
            ("label", label),
            ("releaseKey", &*known.release_key),
            ("messages", &*messages),
        ];
        let body = loop {
            let mut url = self.url(&format!("/configs/{}/{PROFILE}/{name}", self.site.app));
            url.query_pairs_mut().extend_pairs(pairs);
            let request = self.signed(url);
            let Some(answer) = self.answer(request).await else { continue };
            match answer.status().as_u16() {
                304 => break None,
                // Nothing was published there so far.
                404 => break Some(json!({"configurations": {}, "releaseKey": ""})),
                status => assert_eq!(status, 200, "{}", self.id),
            }
            if let Ok(body) = answer.json::<Json>().await {
                break Some(body);
            }
        };
        let mut memory = lock(&self.memory);
        if let Some(body) = body {
            body["releaseKey"].as_str().unwrap().clone_into(&mut known.release_key);
            memory.held.retain(|key, _| !keys.contains(&&**key));
            let items = body["configurations"].as_object().unwrap().iter();
            memory.held.extend(items.map(|(name, text)| (format!("{prefix}{name}"), value(text, None))));
        }
        // An id is that of the app and, in its lower half, the revision.
        let revision = known.id.max(0) & i64::from(u32::MAX);
        self.shows(When::Since(revision), keys, &memory.held);
    }

    fn signed(&self, url: Url) -> RequestBuilder {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis().to_string();
        let mac = Hmac::<Sha1>::new_from_slice(self.site.key.as_bytes()).unwrap();
        let mac = mac.chain_update(format!("{now}\n{}?{}", url.path(), url.query().unwrap()));
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let request = self.site.http.get(url).header("timestamp", now);
        request.header("authorization", format!("Apollo {}:{signature}", self.site.app))
    }
}
