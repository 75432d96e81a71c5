//! Authorisation of every operation in the document: each caller without its permission is refused.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use pilothouse_http_axum::Family;
use serde_json::json;

use crate::document_check::operations;
use crate::operation_calls::{Call, calls};
use crate::seeded_api::{GROUPS, Identity, SeededApi};

/// Operations that need no token.
const PUBLIC: [&str; 11] = [
    "get /healthz",
    "get /level3/log/{file}",
    "get /level3/logincheck",
    "get /level3/logout",
    "get /readyz",
    "get /services/config",
    "post /admin/user_login",
    "post /api/agent/enroll",
    "post /level3/login",
    "post /level3/logincheck",
    "post /level3/logout",
];

#[test]
fn the_public_operations_are_exactly_the_listed_ones() {
    let mut public = BTreeSet::new();
    for operation in operations() {
        let schemes = operation.definition["security"].as_array();
        let open = schemes.is_none_or(|schemes| schemes.is_empty() || schemes.contains(&json!({})));
        assert_eq!(open, operation.definition["x-permission"] == "none", "{}", operation.id());
        if open {
            public.insert(format!("{} {}", operation.method, operation.path));
        }
    }
    assert_eq!(public, PUBLIC.map(str::to_owned).into());
}

pub(crate) fn unauthenticated(family: Family) -> (u16, i64) {
    match family {
        Family::Ops => (403, 403),
        Family::Apollo => (401, 401),
        Family::Config | Family::Cdn => (200, 3),
    }
}

fn forbidden(family: Family) -> (u16, i64) {
    match family {
        Family::Ops => (403, 403),
        // A caller without a key of the app must not learn whether the app exists.
        Family::Apollo => (401, 401),
        Family::Config | Family::Cdn => (200, 4),
    }
}

fn absent(family: Family) -> (u16, i64) {
    if family == Family::Ops { (200, 404) } else { (200, 6) }
}

/// The identities that must be refused a call, and the codes of the refusal.
fn refused(call: &Call) -> Vec<(Identity, (u16, i64))> {
    let family = call.operation.family();
    let permission = call.operation.definition["x-permission"].as_str().unwrap();
    if permission == "none" {
        return Vec::new();
    }
    let mut refused: Vec<_> =
        [Identity::Anonymous, Identity::UnknownToken, Identity::ExpiredToken, Identity::RevokedToken]
            .map(|who| (who, unauthenticated(family)))
            .into();
    let forbidden = forbidden(family);
    if permission == "app key" {
        // Tokens of accounts are not app keys.
        refused.extend([Identity::Root, Identity::RootForCdn].map(|who| (who, unauthenticated(family))));
        refused.push((Identity::OtherNode, forbidden));
        return refused;
    }
    refused.push((Identity::Node, unauthenticated(family)));
    if permission == "the machine's agent, by its token" {
        // Tokens of accounts and of edges are none of agents.
        let others = [Identity::Root, Identity::RootForCdn, Identity::Customer, Identity::Edge];
        refused.extend(others.map(|who| (who, unauthenticated(family))));
        if !["/api/agent/poll", "/api/agent/renew"].contains(&call.operation.path) {
            // Whether another machine has the order is not told.
            refused.push((Identity::OtherAgent, (404, 404)));
        }
        return refused;
    }
    refused.push((Identity::Agent, unauthenticated(family)));
    if !call.operation.path.starts_with("/level3/") {
        refused.push((Identity::RootForCdn, forbidden));
    }
    let unpermitted = match permission {
        "any account"
        | "any account; group 7 for others"
        | "any customer"
        | "any customer; group 8 for all" => vec![],
        // Other accounts are reported as missing.
        "any account; group 6 for others" => vec![(Identity::WithoutGroup(6), absent(family))],
        "the customer itself; group 8 for others" if call.operation.path == "/level3/task" => {
            vec![(Identity::OtherCustomer, absent(family)), (Identity::WithoutGroup(8), absent(family))]
        }
        "the customer itself; group 8 for others"
        | "the customer itself, with operations; group 8 for others"
        | "the customer that holds the domain; group 8 for others"
        | "the customer that holds the domains; group 8 for others" => {
            vec![(Identity::OtherCustomer, forbidden), (Identity::WithoutGroup(8), forbidden)]
        }
        "the edge itself, by its key" => vec![
            (Identity::OtherEdge, forbidden),
            (Identity::Root, unauthenticated(family)),
            (Identity::Customer, unauthenticated(family)),
        ],
        "grant 0 on a profile" => {
            vec![(Identity::OtherManager, forbidden), (Identity::WithoutGroup(9), forbidden)]
        }
        "grant 0" => vec![
            (Identity::OtherManager, forbidden),
            (Identity::WithoutGroup(9), forbidden),
            (Identity::ProfileManager, forbidden),
        ],
        "grant 0 on the whole app"
        | "grant 1"
        | "grant 1; grant 9 to approve, publish and delete what was released" => vec![
            (Identity::OtherManager, forbidden),
            (Identity::WithoutGroup(9), forbidden),
            (Identity::ProfileManager, forbidden),
            (Identity::Reader, forbidden),
        ],
        "grant 9" | "grant 1; grant 9 where it is published" => {
            vec![
                (Identity::OtherManager, forbidden),
                (Identity::WithoutGroup(9), forbidden),
                (Identity::ProfileManager, forbidden),
                (Identity::Reader, forbidden),
                (Identity::Developer, forbidden),
            ]
        }
        other => {
            let group = GROUPS.into_iter().find(|group| {
                let words = format!("group {group}");
                other == words || other.starts_with(&format!("{words}; "))
            });
            let group = group
                .unwrap_or_else(|| panic!("{}: no caller is known that lacks {other}", call.operation.id()));
            vec![
                (Identity::WithoutGroup(group), forbidden),
                (Identity::OtherCustomer, forbidden),
                (Identity::Developer, forbidden),
            ]
        }
    };
    refused.extend(unpermitted);
    refused
}

#[tokio::test]
async fn a_refusal_is_the_same_for_absent_objects_and_changes_nothing() {
    let api = SeededApi::new().await.with_accounts_without_a_group().await;
    let before = api.dump();
    let mut wrong = Vec::new();
    for call in calls(&api) {
        for (who, codes) in refused(&call) {
            let mut answers = Vec::new();
            for arguments in [&call.existing, &call.absent] {
                let (uri, body) = call.request(arguments);
                let answer = api.call(who, call.operation.method, &uri, body).await;
                if answer.codes() != codes {
                    wrong.push(format!(
                        "{} {uri} by {who:?}: {} {}",
                        call.operation.id(),
                        answer.status,
                        answer.body
                    ));
                }
                answers.push(answer.body);
            }
            if answers[0] != answers[1] {
                wrong.push(format!(
                    "{} lets {who:?} distinguish existing from absent objects: {} or {}",
                    call.operation.id(),
                    answers[0],
                    answers[1]
                ));
            }
            assert!(api.dump() == before, "{} by {who:?} changed the store", call.operation.id());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn malformed_credentials_are_unauthenticated() {
    let api = SeededApi::new().await;
    let root = api.token(Identity::Root);
    let long = "0".repeat(10_000);
    for credentials in [
        "",
        "Bearer",
        "Bearer ",
        &root[..63],
        &format!("Bearer {}", &root[1..]),
        &format!("Basic {root}"),
        &format!("Bearer {root}0"),
        &format!("Bearer {}", root.to_uppercase()),
        &format!("Token {root}"),
        root,
        &format!("Bearer {long}"),
        "Bearer \u{7f}",
    ] {
        for (path, family) in
            [("/api/task", Family::Ops), ("/app/list", Family::Config), ("/level3/domains", Family::Cdn)]
        {
            let Ok(request) = Request::get(path).header("authorization", credentials).body(Body::empty())
            else {
                continue;
            };
            assert_eq!(api.api.send(request).await.codes(), unauthenticated(family), "{path} {credentials}");
        }
    }
    for (name, value) in
        [("cookie", format!("access_token={root}; token={root}")), ("x-access-token", root.to_owned())]
    {
        let request = Request::get("/api/task").header(name, value).body(Body::empty()).unwrap();
        assert_eq!(api.api.send(request).await.codes(), (403, 403), "{name}");
    }
}

/// Proves that the refusals above are due to the caller: with the permission, each of these calls works.
#[tokio::test]
async fn every_call_works_with_its_permission() {
    let fresh = SeededApi::new().await;
    let mut api = fresh.fork();
    let before = api.dump();
    let mut wrong = Vec::new();
    for number in 0..calls(&api).len() {
        let call = calls(&api).swap_remove(number);
        let (uri, body) = call.request(&call.existing);
        let open = call.operation.definition["x-permission"] == "none";
        let answer = api
            .call(if open { Identity::Anonymous } else { call.by }, call.operation.method, &uri, body)
            .await;
        if answer.codes().1 != call.code {
            wrong.push(format!("{} {uri}: {} {}", call.operation.id(), answer.status, answer.body));
        }
        if api.dump() != before {
            api = fresh.fork();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
