//! Alarms of the real program: a domain above its threshold until its lines are taken back, a silent edge, a log that cannot be
//! read, each one row and one event of begin and end, across a kill and on two servers.

use std::fs;
use std::time::{Duration, Instant};

use pilothouse_test_support::{free_port, postgres_or_skip};
use serde_json::{Value, json};

use crate::support::{
    ApiClient, HOST, Installation, ROOT, TIMEOUT, TestServer, WebhookReceiver, http_client, logged_customer,
    now,
};

/// An installation with an edge that nobody answers for and whose log is a folder, and a webhook of alarms at `port`.
fn with_alarms(installation: Installation, port: u16) -> Installation {
    let log = installation.file("access.log");
    fs::create_dir_all(&log).unwrap();
    let settings = format!(
        "edge_silent_seconds = 5\n\
         [[cdn]]\nname = \"level3\"\nkind = \"edges\"\n\
         [[cdn.edge]]\nname = \"edge-1\"\nkind = \"nginx\"\nurl = \"http://127.0.0.1:9\"\n\
         access_log = \"{}\"\nlog_format = \"tsv\"\n\
         [[webhook]]\nname = \"chat\"\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret = \"env:TEST_SECRET\"\n\
         events = [\"alarm.begun\", \"alarm.ended\"]\n",
        log.display()
    );
    let file = installation.file("settings.toml");
    fs::write(&file, settings).unwrap();
    installation.with("CONFIG", &file.display().to_string())
}

async fn alarms(root: &ApiClient, query: &str) -> Vec<Value> {
    root.get(&format!("/level3/alarms?{query}")).await.ok()["results"].as_array().unwrap().clone()
}

/// Waits until the alarms of a query are so many.
async fn wait_for(root: &ApiClient, query: &str, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let found = alarms(root, query).await;
        if found.len() == count {
            return found;
        }
        assert!(begun.elapsed() < TIMEOUT * 2, "{query}: {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Writes a log whose lines all lie in the last closed bucket: 1,000 answers 503 of 1,000 bytes.
fn write_log(installation: &Installation) -> String {
    let closed = (now() - 60) / 300 * 300 - 150;
    let line = format!("{closed}.000\t{HOST}\t503\t1000\t192.0.2.1\tMISS\t0.000\tGET\t/\n");
    let file = installation.file("burst.tsv");
    fs::write(&file, line.repeat(1000)).unwrap();
    file.display().to_string()
}

async fn set_thresholds(root: &ApiClient) {
    let wrong = json!({"domain": HOST, "errorRatio": 1.5});
    let refused = root.post("/level3/threshold", wrong).await.body;
    assert_eq!(refused, json!({"err": 2, "msg": "errorRatio: must be from 0 to 1"}));
    let wanted = json!({"domain": HOST, "bandwidth": 10_000, "errorRatio": 0.05});
    root.post("/level3/threshold", wanted).await.ok();
}

/// A burst begins two alarms, which a kill does not repeat; taken back, it ends them.
async fn burst(installation: &Installation, root: &ApiClient, killed: impl AsyncFnOnce()) {
    set_thresholds(root).await;
    let file = write_log(installation);
    let edge = [&*file, "--cdn", "level3", "--edge", "edge-1", "--format", "tsv"];
    let ingested = installation.run(&[&["ingest"], &edge[..]].concat(), "");
    assert_eq!(ingested.code, Some(0), "{ingested:?}");
    let open = wait_for(root, &format!("state=open&domain={HOST}"), 2).await;
    let shown: Vec<_> = open.iter().map(|row| (&row["kind"], &row["value"], &row["threshold"])).collect();
    let bandwidth = (&json!("bandwidth"), &json!(26_667), &json!(10_000));
    assert_eq!(shown, [bandwidth, (&json!("error_ratio"), &json!(1.0), &json!(0.05))]);
    killed().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(alarms(root, &format!("domain={HOST}&count=100")).await, open);
    let forgotten = installation.run(&[&["forget-log"], &edge[..]].concat(), "");
    assert_eq!(forgotten.code, Some(0), "{forgotten:?}");
    let ended = wait_for(root, &format!("state=ended&domain={HOST}"), 2).await;
    assert_eq!(ended[0]["id"], open[0]["id"]);
    assert!(alarms(root, &format!("state=open&domain={HOST}")).await.is_empty());
}

/// Kinds of the events that reached the receiver, in their order per kind.
fn told(receiver: &WebhookReceiver) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let calls = receiver.calls().into_iter().map(|call| call.verified());
    let mut told: Vec<_> = calls.map(|body| (text(&body["data"]["kind"]), text(&body["event"]))).collect();
    told.sort();
    told
}

fn expected(kinds: &[(&str, &str)]) -> Vec<(String, String)> {
    kinds.iter().map(|(kind, event)| ((*kind).to_owned(), format!("alarm.{event}"))).collect()
}

/// The edge is silent and its log, which is a folder, unreadable until it is a file.
async fn edge_alarms(installation: &Installation, root: &ApiClient) {
    let silent = wait_for(root, "kind=silent_edge&state=open", 1).await;
    assert_eq!((&silent[0]["cdn"], &silent[0]["edge"]), (&json!("level3"), &json!("edge-1")));
    let unreadable = wait_for(root, "kind=unreadable_log&state=open", 1).await;
    assert!(unreadable[0]["reason"].as_str().unwrap().contains("access.log"), "{unreadable:?}");
    let log = installation.file("access.log");
    fs::remove_dir(&log).unwrap();
    fs::write(&log, format!("{}.000\t{HOST}\t200\t1\t192.0.2.1\tHIT\t0.000\tGET\t/\n", now())).unwrap();
    wait_for(root, "kind=unreadable_log&state=ended", 1).await;
}

const ALL_EVENTS: [(&str, &str); 7] = [
    ("bandwidth", "begun"),
    ("bandwidth", "ended"),
    ("error_ratio", "begun"),
    ("error_ratio", "ended"),
    ("silent_edge", "begun"),
    ("unreadable_log", "begun"),
    ("unreadable_log", "ended"),
];

#[tokio::test(flavor = "multi_thread")]
async fn alarms_begin_and_end_once_across_a_kill() {
    let (port, metrics) = (free_port(), free_port());
    let receiver = WebhookReceiver::start(port, Vec::new()).await;
    let installation =
        with_alarms(Installation::sqlite(), port).with("METRICS_LISTEN", &format!("127.0.0.1:{metrics}"));
    let server = installation.serve().await;
    let root = logged_customer(&server).await;
    let port = server.port;
    let mut again: Option<TestServer> = None;
    burst(&installation, &root, async || {
        let mut server = server;
        server.process.kill9();
        again = Some(installation.serve_again(port).await);
    })
    .await;
    edge_alarms(&installation, &root).await;
    receiver.wait_for(ALL_EVENTS.len()).await;
    assert_eq!(told(&receiver), expected(&ALL_EVENTS));
    let text = http_client().build().unwrap().get(format!("http://127.0.0.1:{metrics}/metrics"));
    let text = text.send().await.unwrap().text().await.unwrap();
    for sample in ["{kind=\"silent_edge\"} 1", "{kind=\"bandwidth\"} 0", "{kind=\"unreadable_log\"} 0"] {
        assert!(text.contains(&format!("pilothouse_alarms{sample}\n")), "{sample}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_tell_of_each_alarm_once() {
    let Some(postgres) = postgres_or_skip("cdn::alarms::two_servers_tell_of_each_alarm_once") else { return };
    let port = free_port();
    let receiver = WebhookReceiver::start(port, Vec::new()).await;
    let database = postgres.database();
    let one = with_alarms(Installation::postgres(&database), port);
    let logs = one.file("logs").display().to_string();
    let one = one.with("LOG_DIR", &logs);
    let config = one.file("settings.toml").display().to_string();
    let two = Installation::postgres(&database).with("LOG_DIR", &logs).with("CONFIG", &config);
    let (mut first, second) = (one.serve().await, two.serve().await);
    logged_customer(&first).await;
    let root = ApiClient::new(&[&second]).login(ROOT).await;
    burst(&one, &root, async || first.process.kill9()).await;
    edge_alarms(&one, &root).await;
    receiver.wait_for(ALL_EVENTS.len()).await;
    assert_eq!(told(&receiver), expected(&ALL_EVENTS));
}
