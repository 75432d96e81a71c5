//! Callers that are stopped while half of their request's body is on its way: no operation writes for them any more.

use std::collections::BTreeMap;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::Request;
use chrono::TimeDelta;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use pilothouse_core::ports::Clock as _;
use pilothouse_http_axum::Family;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::api::{Answer, PASSWORD};
use crate::authorisation::unauthenticated;
use crate::document_check::Operation;
use crate::operation_calls::{Call, calls};
use crate::seeded_api::{Identity, SeededApi};

/// The way in which a caller is stopped.
#[derive(Clone, Copy, Debug)]
enum Stop {
    LogOut,
    Password,
    Demotion,
    Deletion,
    Expiry,
    /// Deletion of the app key.
    Key,
    /// Deletion of the cdn access.
    CdnAccess,
    /// Another password of the cdn access.
    CdnPassword,
}

impl Stop {
    /// Stops the caller with this account name and token by the hand of `chief`.
    async fn run(self, api: &SeededApi, chief: &str, name: &str, token: &str) {
        let change = |data: Value| json!({"action": "update", "data": data});
        let another = "another long password";
        let customer = "user@example.com";
        let (method, by, uri, body) = match self {
            Self::LogOut if name.is_empty() => ("POST", "", "/level3/logout".into(), json!({"token": token})),
            Self::LogOut => ("POST", token, "/admin/user_logout".into(), json!({})),
            Self::Password => {
                ("POST", chief, "/admin/user".into(), change(json!({"name": name, "new_passwd": another})))
            }
            Self::Demotion => {
                // Whatever the account's groups were, these are others.
                ("POST", chief, "/admin/user".into(), change(json!({"name": name, "permissions": "9"})))
            }
            Self::Deletion => ("DELETE", chief, format!("/admin/user?name={name}"), Value::Null),
            Self::Key => ("POST", chief, "/app/key/del".into(), json!({"id": api.seeded["key"]})),
            Self::CdnAccess => ("DELETE", chief, format!("/level3/user?login_email={customer}"), Value::Null),
            Self::CdnPassword => {
                let body = json!({"login_email": customer, "password": another});
                ("POST", chief, "/level3/user/update".into(), body)
            }
            Self::Expiry => {
                api.clock.advance(TimeDelta::days(1));
                return;
            }
        };
        let body = Some(body).filter(|body| !body.is_null());
        let done = api.api.call(method, by, &uri, body).await;
        assert!([0, 200].contains(&done.codes().1), "{self:?} of {name}: {}", done.body);
    }
}

/// Sends every call, and once half of each body was taken, stops the callers; then the rest arrives. The answers, and whether
/// the rest changed the store.
async fn held(
    api: &SeededApi,
    calls: &[Call],
    token: impl Fn(&Call) -> String,
    stop: impl AsyncFnOnce(),
) -> (Vec<Answer>, bool) {
    let (mut sent, mut taken, mut rests) = (Vec::new(), Vec::new(), Vec::new());
    for call in calls {
        let (uri, body) = call.request_with_body(&call.existing);
        let mut half = Bytes::from(body.to_string());
        let rest = half.split_off(half.len() / 2);
        let (half_taken, is_taken) = oneshot::channel();
        let (rest_arrives, arrived) = oneshot::channel::<Bytes>();
        let second = async move {
            half_taken.send(()).ok();
            arrived.await.map_err(io::Error::other)
        };
        let chunks = stream::iter([Ok(half)]).chain(second.into_stream());
        let request = Request::builder()
            .method(call.operation.method.to_uppercase().as_str())
            .uri(uri)
            .header("authorization", format!("Bearer {}", token(call)))
            .header("content-type", "application/json")
            .body(Body::from_stream(chunks));
        sent.push(api.api.send(request.unwrap()));
        taken.push(is_taken);
        rests.push((rest_arrives, rest));
    }
    let stopped = async {
        for (is_taken, call) in taken.into_iter().zip(calls) {
            is_taken.await.unwrap_or_else(|_| panic!("{} does not wait for its body", call.operation.id()));
        }
        stop().await;
        let before = api.dump();
        for (rest_arrives, rest) in rests {
            rest_arrives.send(rest).unwrap();
        }
        before
    };
    let now = api.clock.now();
    let (answers, before) = tokio::join!(join_all(sent), stopped);
    let changed = api.dump() != before;
    // The clock is shared with the other stores of a test.
    api.clock.advance(now - api.clock.now());
    (answers, changed)
}

/// Whether an operation waits for its body: not if it takes no arguments, or those in its path alone.
fn takes_a_body(operation: &Operation) -> bool {
    let takes_query = operation.parameters().iter().any(|parameter| parameter["in"] == "query");
    operation.family() != Family::Apollo && (operation.body().is_some() || takes_query)
}

/// A seeded API with one more superuser, and that one's token.
async fn with_chief() -> (SeededApi, String) {
    let fresh = SeededApi::new().await;
    fresh.api.pilothouse.accounts().create_superuser("chief", "chief@example.com", PASSWORD).await.unwrap();
    let chief = fresh.api.login("chief").await;
    (fresh, chief)
}

#[tokio::test]
async fn a_caller_that_was_stopped_writes_nothing() {
    let (fresh, chief) = with_chief().await;
    let mut calls = calls(&fresh);
    calls.retain(|call| {
        let public = call.operation.definition["x-permission"] == "none";
        // The keys of edges are in the settings: nobody revokes them while the server runs. Agents are no accounts.
        let revocable = !public && ![Identity::Edge, Identity::Agent].contains(&call.by);
        revocable && takes_a_body(&call.operation)
    });
    let mut answered = BTreeMap::new();
    let stops = [Stop::LogOut, Stop::Password, Stop::Demotion, Stop::Deletion, Stop::Expiry];
    for stop in stops {
        let api = fresh.fork();
        let token = |call: &Call| api.token(call.by).to_owned();
        let stop_all = async || {
            Stop::Key.run(&api, &chief, "", "").await;
            stop.run(&api, &chief, "xxx", api.token(Identity::Customer)).await;
            stop.run(&api, &chief, "root", api.token(Identity::Root)).await;
        };
        let (answers, changed) = held(&api, &calls, token, stop_all).await;
        assert!(!changed, "{stop:?}");
        for (call, answer) in calls.iter().zip(answers) {
            if answer.codes() != unauthenticated(call.operation.family()) {
                let text = format!("{stop:?}: {:?} {}", answer.codes(), answer.body);
                answered.insert(call.operation.id(), (call, text));
            }
        }
    }
    // What reads may still be answered.
    let api = fresh.fork();
    let before = api.dump();
    for (call, text) in answered.values() {
        let (uri, body) = call.request(&call.existing);
        let read = api.call(call.by, call.operation.method, &uri, body).await;
        assert_eq!(read.codes().1, call.code, "{}: {}", call.operation.id(), read.body);
        assert!(api.dump() == before, "{} writes, and was not refused: {text}", call.operation.id());
    }
    assert!(calls.len() - answered.len() > 40, "{:?}", answered.keys());
}

#[tokio::test]
async fn a_customer_that_was_stopped_queues_nothing() {
    let (fresh, chief) = with_chief().await;
    let login = json!({"login_email": "user@example.com", "password": PASSWORD});
    let login = fresh.api.post("", "/level3/login", login).await.ok();
    let token = login["token"].as_str().unwrap();
    let mut calls = calls(&fresh);
    calls.retain(|call| ["post_level3_refresh", "post_level3_preload"].contains(&call.operation.id()));
    for stop in [Stop::LogOut, Stop::CdnPassword, Stop::CdnAccess, Stop::Expiry] {
        let api = fresh.fork();
        let stop_it = async || stop.run(&api, &chief, "", token).await;
        let (answers, changed) = held(&api, &calls, |_| token.to_owned(), stop_it).await;
        assert!(answers.len() == 2 && !changed, "{stop:?}");
        for answer in answers {
            assert_eq!(answer.codes(), (200, 3), "{stop:?}: {}", answer.body);
        }
    }
}
