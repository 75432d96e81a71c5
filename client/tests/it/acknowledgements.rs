//! Acknowledgements: applied, rejected and failed versions, and their resending.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fake_server::{FakeServer, event, eventually, item};

fn outcome(version: i64, result: &str, message: &str) -> (i64, String, String) {
    (version, result.into(), message.into())
}

#[tokio::test]
async fn each_event_is_acknowledged_in_one_call() {
    let server = FakeServer::new(event(1, &[item("a", "1", 1), item("b", "2", 5)], &[])).await;
    let client = server.client().connect().await.unwrap();
    eventually("the acknowledgement of the full state", || server.script().acknowledged.len() == 1).await;
    server.send_event(&event(2, &[item("a", "2", 2)], &["b"]));
    eventually("the acknowledgement of the change", || server.script().acknowledged.len() == 2).await;
    let script = server.script();
    for (number, results) in [
        r#"[{"key":"a","result":"applied","version":1},{"key":"b","result":"applied","version":5}]"#,
        r#"[{"key":"a","result":"applied","version":2}]"#,
    ]
    .iter()
    .enumerate()
    {
        let call = &script.acknowledged[number];
        assert_eq!(call["results"].to_string(), *results);
        assert_eq!((&call["app"], &call["profile"]), (&"shop".into(), &"production".into()));
        assert_eq!(call["nodeId"], client.node_id());
    }
}

#[tokio::test]
async fn a_rejected_value_is_not_applied() {
    let server = FakeServer::new(event(1, &[item("limit", "1", 1), item("port", "zero", 1)], &[])).await;
    let client = server.client().on_change(|change| match &*change.key {
        "a" => Err("in two\nlines".into()),
        "port" | "limit" if change.new.is_none() => Err("is needed".into()),
        "port" | "limit" => Ok(change.parse::<u16>().map(drop)?),
        "bomb" => panic!("cannot take {}", change.new.as_deref().unwrap_or_default()),
        _ => Ok(()),
    });
    let client = client.connect().await.unwrap();
    assert_eq!(client.get_str("port"), None, "there was no old value");
    assert_eq!(client.get_str("limit").as_deref(), Some("1"));
    let why = "cannot parse the value of port: expected value at line 1 column 1";
    eventually("the rejection of port", || {
        server.outcomes().get("port") == Some(&outcome(1, "rejected", why))
    })
    .await;

    server.send_event(&event(
        2,
        &[item("limit", "none", 2), item("port", "80", 2), item("other", "x", 1)],
        &[],
    ));
    eventually("the rejection of limit", || server.outcomes()["limit"].0 == 2).await;
    assert_eq!(server.outcomes()["port"], outcome(2, "applied", ""));
    assert_eq!(server.outcomes()["other"], outcome(1, "applied", ""));
    assert_eq!(client.get_str("limit").as_deref(), Some("1"), "the old value stays");
    assert_eq!((client.get_str("port").as_deref(), client.revision()), (Some("80"), 2));

    server.send_event(&event(2, &[item("a", "1", 1)], &[]));
    eventually("the one-line message", || {
        server.outcomes().get("a") == Some(&outcome(1, "rejected", "in two lines"))
    })
    .await;

    // A server sends a value again when the acknowledged version differs: the callback validates it once more.
    let before = server.script().acknowledged.len();
    server.send_event(&event(2, &[item("limit", "none", 2)], &[]));
    eventually("another acknowledgement", || server.script().acknowledged.len() > before).await;
    let why = "cannot parse the value of limit: expected ident at line 1 column 2";
    assert_eq!(server.outcomes()["limit"], outcome(2, "rejected", why));

    server.send_event(&event(3, &[item("bomb", "this", 1)], &[]));
    eventually("the report of the panic", || {
        server.outcomes().get("bomb") == Some(&outcome(1, "failed", "cannot take this"))
    })
    .await;
    assert_eq!(client.get_str("bomb"), None);

    server.send_event(&event(4, &[item("limit", "9", 3)], &["port"]));
    eventually("the last event", || client.revision() == 4).await;
    assert_eq!(
        (client.get_str("limit").as_deref(), client.get_str("port")),
        (Some("9"), None),
        "a removal cannot be rejected"
    );
}

#[tokio::test]
async fn on_change_runs_before_the_value_is_visible() {
    let server = FakeServer::new(event(1, &[item("a", "1", 1)], &[])).await;
    let called = Arc::new(AtomicBool::new(false));
    let released = Arc::new(AtomicBool::new(false));
    let (set_called, wait_released) = (called.clone(), released.clone());
    let client = server.client().on_change(move |change| {
        if change.new.as_deref() == Some("2") {
            set_called.store(true, Ordering::Relaxed);
            while !wait_released.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        }
        Ok(())
    });
    let client = client.connect().await.unwrap();
    server.send_event(&event(2, &[item("a", "2", 2)], &[]));
    eventually("the call of on_change", || called.load(Ordering::Relaxed)).await;
    assert_eq!(client.get_str("a").as_deref(), Some("1"), "reads do not wait for the callback");
    released.store(true, Ordering::Relaxed);
    eventually("the value", || client.get_str("a").as_deref() == Some("2")).await;
}

#[tokio::test]
async fn a_failed_acknowledgement_is_sent_again() {
    let server = FakeServer::new(event(1, &[item("a", "1", 1), item("b", "1", 1)], &[])).await;
    // A failure of the server, one of a proxy, an unregistered node, a refused app key.
    let refusals = vec![(500, 1), (502, -1), (200, 6), (200, 3)];
    server.script().refusals.insert("/node/ack", refusals);
    let client = server.client().connect().await.unwrap();
    eventually("the acknowledgement", || !server.script().acknowledged.is_empty()).await;
    assert_eq!(server.outcomes()["a"], outcome(1, "applied", ""));
    assert_eq!(server.script().registered.len(), 2, "it registered again in between");
    assert_eq!(client.revision(), 1);
}

#[tokio::test]
async fn the_outcome_of_a_superseded_version_is_not_sent() {
    let server = FakeServer::new(event(1, &[item("a", "1", 1), item("b", "1", 1)], &[])).await;
    server.script().refusals.insert("/node/ack", vec![(500, 1); 100_000]);
    let client = server.client().connect().await.unwrap();
    server.send_event(&event(2, &[item("a", "2", 2)], &["b"]));
    eventually("the change", || client.revision() == 2).await;
    server.script().refusals.clear();
    eventually("the acknowledgement", || !server.script().acknowledged.is_empty()).await;
    let call = server.script().acknowledged[0]["results"].to_string();
    assert_eq!(call, r#"[{"key":"a","result":"applied","version":2}]"#);
}

#[tokio::test]
async fn an_acknowledgement_that_the_server_calls_invalid_is_dropped() {
    let server = FakeServer::new(event(1, &[item("a", "1", 1)], &[])).await;
    server.script().refusals.insert("/node/ack", vec![(200, 2)]);
    let _client = server.client().connect().await.unwrap();
    eventually("the refusal", || server.script().refusals["/node/ack"].is_empty()).await;
    server.send_event(&event(2, &[item("b", "1", 1)], &[]));
    eventually("the next acknowledgement", || server.outcomes().contains_key("b")).await;
    assert!(!server.outcomes().contains_key("a"));
}
