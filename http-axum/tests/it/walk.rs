//! The authorisation walk: every operation of the document, called by everybody who must not.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use pilothouse_http_axum::Family;
use serde_json::json;

use crate::calls::{Call, calls};
use crate::conform::operations;
use crate::world::{GROUPS, Who, World};

/// What answers without a token.
const PUBLIC: [&str; 8] = [
    "get /healthz",
    "get /level3/log/{file}",
    "get /level3/logincheck",
    "get /readyz",
    "get /services/config",
    "post /admin/user_login",
    "post /level3/login",
    "post /level3/logout",
];

#[test]
fn public_operations_are_those_agreed_on() {
    let mut public = BTreeSet::new();
    for operation in operations() {
        let schemes = operation.says["security"].as_array();
        let open = schemes.is_none_or(|schemes| schemes.is_empty() || schemes.contains(&json!({})));
        assert_eq!(open, operation.says["x-permission"] == "none", "{}", operation.id());
        if open {
            public.insert(format!("{} {}", operation.method, operation.path));
        }
    }
    assert_eq!(public, PUBLIC.map(str::to_owned).into());
}

fn unauthenticated(family: Family) -> (u16, i64) {
    match family {
        Family::Ops => (403, 403),
        Family::Apollo => (401, 401),
        Family::Config | Family::Cdn => (200, 3),
    }
}

fn forbidden(family: Family) -> (u16, i64) {
    match family {
        Family::Ops => (403, 403),
        // Who has no key of an app learns nothing of it.
        Family::Apollo => (401, 401),
        Family::Config | Family::Cdn => (200, 4),
    }
}

fn absent(family: Family) -> (u16, i64) {
    if family == Family::Ops { (200, 404) } else { (200, 6) }
}

/// Who must be refused a call, and how.
fn refused(call: &Call) -> Vec<(Who, (u16, i64))> {
    let family = call.operation.family();
    let permission = call.operation.says["x-permission"].as_str().unwrap();
    if permission == "none" {
        return Vec::new();
    }
    let mut refused: Vec<_> = [Who::Anonymous, Who::Stranger, Who::Expired, Who::Revoked]
        .map(|who| (who, unauthenticated(family)))
        .into();
    let no = forbidden(family);
    if permission == "app key" {
        // Tokens of people are no keys.
        refused.extend([Who::Root, Who::RootForCdn].map(|who| (who, unauthenticated(family))));
        refused.push((Who::OtherNode, no));
        return refused;
    }
    refused.push((Who::Node, unauthenticated(family)));
    if !call.operation.path.starts_with("/level3/") {
        refused.push((Who::RootForCdn, no));
    }
    let strangers = match permission {
        "any account" | "any customer" | "any customer; group 8 for all" => vec![],
        // Others are as if they did not exist.
        "any account; group 6 for others" => vec![(Who::Without(6), absent(family))],
        "the customer itself; group 8 for others" if call.operation.path == "/level3/task" => {
            vec![(Who::OtherCustomer, absent(family)), (Who::Without(8), absent(family))]
        }
        "the customer itself; group 8 for others"
        | "the customer itself, with operations; group 8 for others" => {
            vec![(Who::OtherCustomer, no), (Who::Without(8), no)]
        }
        "the customer that holds the domain" | "the customer that holds the domains" => {
            vec![(Who::OtherCustomer, no)]
        }
        "the edge itself, by its key" => vec![
            (Who::OtherEdge, no),
            (Who::Root, unauthenticated(family)),
            (Who::Customer, unauthenticated(family)),
        ],
        "grant 1" => vec![(Who::OtherManager, no), (Who::Without(9), no)],
        "grant 9" | "grant 1; grant 9 where it is published" => {
            vec![(Who::OtherManager, no), (Who::Without(9), no), (Who::Developer, no)]
        }
        other => {
            let group = GROUPS.into_iter().find(|group| {
                let words = format!("group {group}");
                other == words || other.starts_with(&format!("{words}; "))
            });
            let group = group.unwrap_or_else(|| panic!("{}: who has not {other}?", call.operation.id()));
            vec![(Who::Without(group), no), (Who::OtherCustomer, no), (Who::Developer, no)]
        }
    };
    refused.extend(strangers);
    refused
}

#[tokio::test]
async fn whoever_may_not_is_refused_alike_and_changes_nothing() {
    let world = World::new().await.with_lacking().await;
    let before = world.dump();
    let mut wrong = Vec::new();
    for call in calls(&world) {
        for (who, codes) in refused(&call) {
            let mut answers = Vec::new();
            for arguments in [&call.existing, &call.absent] {
                let (uri, body) = call.place(arguments);
                let answer = world.call(who, call.operation.method, &uri, body).await;
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
                    "{} tells {who:?} what exists: {} or {}",
                    call.operation.id(),
                    answers[0],
                    answers[1]
                ));
            }
            assert!(world.dump() == before, "{} by {who:?} changed the store", call.operation.id());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn tokens_that_are_none_open_nothing() {
    let world = World::new().await;
    let root = world.token(Who::Root);
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
            assert_eq!(
                world.api.send(request).await.codes(),
                unauthenticated(family),
                "{path} {credentials}"
            );
        }
    }
    for (name, value) in
        [("cookie", format!("access_token={root}; token={root}")), ("x-access-token", root.to_owned())]
    {
        let request = Request::get("/api/task").header(name, value).body(Body::empty()).unwrap();
        assert_eq!(world.api.send(request).await.codes(), (403, 403), "{name}");
    }
}

/// The refusals above are refusals of the caller: with the right, each of these calls works.
#[tokio::test]
async fn whoever_may_is_not_refused() {
    let fresh = World::new().await;
    let mut world = fresh.fork();
    let before = world.dump();
    let mut wrong = Vec::new();
    for number in 0..calls(&world).len() {
        let call = calls(&world).swap_remove(number);
        let (uri, body) = call.place(&call.existing);
        let open = call.operation.says["x-permission"] == "none";
        let answer =
            world.call(if open { Who::Anonymous } else { call.by }, call.operation.method, &uri, body).await;
        if answer.codes().1 != call.code {
            wrong.push(format!("{} {uri}: {} {}", call.operation.id(), answer.status, answer.body));
        }
        if world.dump() != before {
            world = fresh.fork();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
