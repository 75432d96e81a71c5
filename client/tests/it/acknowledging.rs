//! Rejecting, and telling the server what became of a version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fake::{Fake, event, eventually, item};

fn outcome(version: i64, result: &str, message: &str) -> (i64, String, String) {
    (version, result.into(), message.into())
}

#[tokio::test]
async fn each_event_is_acknowledged_in_one_call() {
    let fake = Fake::new(event(1, &[item("a", "1", 1), item("b", "2", 5)], &[])).await;
    let client = fake.client().connect().await.unwrap();
    eventually("the first state", || fake.script().acknowledged.len() == 1).await;
    fake.tell(&event(2, &[item("a", "2", 2)], &["b"]));
    eventually("the change", || fake.script().acknowledged.len() == 2).await;
    let script = fake.script();
    for (call, results) in [
        r#"[{"key":"a","result":"applied","version":1},{"key":"b","result":"applied","version":5}]"#,
        r#"[{"key":"a","result":"applied","version":2}]"#,
    ]
    .iter()
    .enumerate()
    {
        let told = &script.acknowledged[call];
        assert_eq!(told["results"].to_string(), *results);
        assert_eq!((&told["app"], &told["profile"]), (&"shop".into(), &"production".into()));
        assert_eq!(told["nodeId"], client.node_id());
    }
}

#[tokio::test]
async fn a_rejected_value_is_not_taken() {
    let fake = Fake::new(event(1, &[item("limit", "1", 1), item("port", "zero", 1)], &[])).await;
    let client = fake.client().on_change(|change| match &*change.key {
        "a" => Err("in two\nlines".into()),
        "port" | "limit" if change.new.is_none() => Err("is needed".into()),
        "port" | "limit" => Ok(change.parse::<u16>().map(drop)?),
        "bomb" => panic!("cannot take {}", change.new.as_deref().unwrap_or_default()),
        _ => Ok(()),
    });
    let client = client.connect().await.unwrap();
    assert_eq!(client.get_str("port"), None, "there was no old value");
    assert_eq!(client.get_str("limit").as_deref(), Some("1"));
    let why = "the value of port: expected value at line 1 column 1";
    eventually("the rejection", || fake.outcomes().get("port") == Some(&outcome(1, "rejected", why))).await;

    fake.tell(&event(2, &[item("limit", "none", 2), item("port", "80", 2), item("other", "x", 1)], &[]));
    eventually("the rejection", || fake.outcomes()["limit"].0 == 2).await;
    assert_eq!(fake.outcomes()["port"], outcome(2, "applied", ""));
    assert_eq!(fake.outcomes()["other"], outcome(1, "applied", ""));
    assert_eq!(client.get_str("limit").as_deref(), Some("1"), "the old value stays");
    assert_eq!((client.get_str("port").as_deref(), client.revision()), (Some("80"), 2));

    fake.tell(&event(2, &[item("a", "1", 1)], &[]));
    eventually("the words", || fake.outcomes().get("a") == Some(&outcome(1, "rejected", "in two lines")))
        .await;

    // Sent again, as a server does that sees a node hold something else: asked and answered again.
    let before = fake.script().acknowledged.len();
    fake.tell(&event(2, &[item("limit", "none", 2)], &[]));
    eventually("another answer", || fake.script().acknowledged.len() > before).await;
    let why = "the value of limit: expected ident at line 1 column 2";
    assert_eq!(fake.outcomes()["limit"], outcome(2, "rejected", why));

    fake.tell(&event(3, &[item("bomb", "this", 1)], &[]));
    eventually("the panic", || {
        fake.outcomes().get("bomb") == Some(&outcome(1, "failed", "cannot take this"))
    })
    .await;
    assert_eq!(client.get_str("bomb"), None);

    fake.tell(&event(4, &[item("limit", "9", 3)], &["port"]));
    eventually("the last event", || client.revision() == 4).await;
    assert_eq!(
        (client.get_str("limit").as_deref(), client.get_str("port")),
        (Some("9"), None),
        "a removal stands"
    );
}

#[tokio::test]
async fn on_change_is_asked_before_the_value_shows() {
    let fake = Fake::new(event(1, &[item("a", "1", 1)], &[])).await;
    let (asked, let_go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (seen, wait) = (asked.clone(), let_go.clone());
    let client = fake.client().on_change(move |change| {
        if change.new.as_deref() == Some("2") {
            seen.store(true, Ordering::Relaxed);
            while !wait.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        }
        Ok(())
    });
    let client = client.connect().await.unwrap();
    fake.tell(&event(2, &[item("a", "2", 2)], &[]));
    eventually("the question", || asked.load(Ordering::Relaxed)).await;
    assert_eq!(client.get_str("a").as_deref(), Some("1"), "and reading goes on meanwhile");
    let_go.store(true, Ordering::Relaxed);
    eventually("the value", || client.get_str("a").as_deref() == Some("2")).await;
}

#[tokio::test]
async fn what_does_not_arrive_is_sent_again() {
    let fake = Fake::new(event(1, &[item("a", "1", 1), item("b", "1", 1)], &[])).await;
    // A fault, one of a proxy, a node that is not known, a refused key.
    let refusals = vec![(500, 1), (502, -1), (200, 6), (200, 3)];
    fake.script().refusals.insert("/node/ack", refusals);
    let client = fake.client().connect().await.unwrap();
    eventually("the acknowledgement", || !fake.script().acknowledged.is_empty()).await;
    assert_eq!(fake.outcomes()["a"], outcome(1, "applied", ""));
    assert_eq!(fake.script().registered.len(), 2, "it registered again in between");
    assert_eq!(client.revision(), 1);
}

#[tokio::test]
async fn what_was_superseded_is_not_sent_any_more() {
    let fake = Fake::new(event(1, &[item("a", "1", 1), item("b", "1", 1)], &[])).await;
    fake.script().refusals.insert("/node/ack", vec![(500, 1); 100_000]);
    let client = fake.client().connect().await.unwrap();
    fake.tell(&event(2, &[item("a", "2", 2)], &["b"]));
    eventually("the change", || client.revision() == 2).await;
    fake.script().refusals.clear();
    eventually("the acknowledgement", || !fake.script().acknowledged.is_empty()).await;
    let told = fake.script().acknowledged[0]["results"].to_string();
    assert_eq!(told, r#"[{"key":"a","result":"applied","version":2}]"#);
}

#[tokio::test]
async fn what_the_server_never_takes_is_given_up() {
    let fake = Fake::new(event(1, &[item("a", "1", 1)], &[])).await;
    fake.script().refusals.insert("/node/ack", vec![(200, 2)]);
    let _client = fake.client().connect().await.unwrap();
    eventually("the refusal", || fake.script().refusals["/node/ack"].is_empty()).await;
    fake.tell(&event(2, &[item("b", "1", 1)], &[]));
    eventually("the next one", || fake.outcomes().contains_key("b")).await;
    assert!(!fake.outcomes().contains_key("a"));
}
