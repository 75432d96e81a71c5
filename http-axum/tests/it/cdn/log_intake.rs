//! Log intake API: pieces of access logs shipped by edges.

use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use pilothouse_conformance::doubles::ScriptedProvider;
use pilothouse_core::cdn::{
    Batch, BatchUnregistered, Cell, Counters, DomainId, Figures, KeptLines, LogHosts, LogShipper,
};
use pilothouse_core::ports::{CdnProvider, KeptPiece, LogContent, LogReader};
use pilothouse_core::{Pilothouse, Result, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use crate::api::{Answer, Api, PASSWORD};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A log reader that counts each line as one byte of the first domain, in the bucket of the Unix epoch.
#[derive(Debug)]
struct LineCounter;

#[async_trait::async_trait]
impl LogReader for LineCounter {
    async fn read(&self, cdn: &str, batch: Batch, hosts: &LogHosts, lines: Vec<u8>) -> Result<Batch> {
        assert_eq!((cdn, batch.edge.edge.as_str()), ("level3", "edge-1"));
        let flux = (lines.split(|byte| *byte == b'\n').count() - 1).try_into().unwrap();
        let figures = Figures { flux, ..Figures::default() };
        let counters = Counters { lines: flux, billed: flux, kept: flux, ..Counters::default() };
        let cells = vec![Cell { domain_id: hosts.domains[0].id, bucket: 0, figures }];
        Ok(Batch { counters, last_line: Some(1_473_752_647), cells, ..batch })
    }

    async fn keep(&self, _: LogContent) -> Result<Vec<KeptPiece>> {
        panic!("no vendor has logs here");
    }
}

/// An API with a customer, and three edges that ship their logs with a key each.
struct LogIntakeApi {
    api: Api,
    user: String,
}

impl LogIntakeApi {
    async fn new() -> Self {
        let shipper = |edge: &str, key: &str, is_followed: bool| LogShipper {
            cdn: "level3".into(),
            edge: edge.into(),
            key: key.into(),
            is_followed,
        };
        let log_shippers = vec![
            shipper("edge-1", KEY, false),
            shipper("edge-2", &KEY.to_uppercase(), false),
            shipper("edge-3", &KEY.repeat(2), true),
        ];
        let settings = Settings::default().with_cdns(["level3"]).with_log_shippers(log_shippers);
        let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new().strict()), settings).unwrap();
        let api = Api::over(pilothouse.with_log_reader(Arc::new(LineCounter)), HttpSettings::default()).await;
        api.pilothouse.cdns().ensure_configured().await.unwrap();
        let user = api.account("user", "").await;
        let root = api.login("root").await;
        let mail = "user@example.com";
        let customer = json!({"login_email": mail, "password": PASSWORD});
        assert_eq!(api.post(&root, "/level3/user", customer).await.ok()["err"], 0);
        let domains = json!({"login_email": mail, "cdn": "level3", "domains": "cdn.exrqs.com"});
        assert_eq!(api.post(&root, "/level3/user_domains", domains).await.ok()["err"], 0);
        Self { api, user }
    }

    async fn send(&self, offset: &str, key: &str, encoding: Option<&str>, body: &[u8]) -> Answer {
        self.send_for("level3", "edge-1", offset, key, encoding, body).await
    }

    async fn send_for(
        &self,
        cdn: &str,
        edge: &str,
        offset: &str,
        key: &str,
        encoding: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let uri = format!("/level3/edge_logs?cdn={cdn}&edge={edge}&offset={offset}");
        let mut request = Request::post(uri).header("authorization", format!("Bearer {key}"));
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        self.api.send(request.body(Body::from(body.to_vec())).unwrap()).await
    }

    /// Ships a piece of `edge-1`; the answer with the next expected offset.
    async fn ship(&self, offset: i64, body: &[u8]) -> Value {
        self.send(&offset.to_string(), KEY, None, body).await.ok()
    }

    /// The number of lines counted so far.
    async fn lines(&self) -> i64 {
        let series = self.api.get(&self.user, "/level3/fluxs?startTime=0&endTime=0").await.ok();
        series["results"][0]["value"].as_i64().unwrap()
    }
}

fn gzip(lines: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines).unwrap();
    gzip.finish().unwrap()
}

fn next(offset: i64) -> Value {
    json!({"err": 0, "offset": offset})
}

#[tokio::test]
async fn pieces_of_a_log_are_counted_once() {
    let fixture = LogIntakeApi::new().await;
    assert_eq!(fixture.ship(0, b"").await, next(0), "an empty piece asks for the offset");
    assert_eq!(fixture.ship(0, b"one\ntwo\nthr").await, next(8), "an incomplete line is expected again");
    assert_eq!(fixture.ship(8, b"three\n").await, next(14));
    assert_eq!(fixture.ship(8, b"three\n").await, next(14), "the piece is repeated after a lost answer");
    assert_eq!(fixture.ship(8, b"three\nfour\n").await, next(19));
    assert_eq!(fixture.ship(4, b"two\n").await, next(19), "an earlier piece changes nothing");
    assert_eq!(fixture.ship(0, b"one\ntwo\nthree\nfour\nfive\n").await, next(24));
    assert_eq!(fixture.lines().await, 5);
    assert_eq!(fixture.ship(24, b"no line end").await, next(24));

    let gap = json!({"err": 7, "msg": "offset: 24 is wanted next, not 25"});
    assert_eq!(fixture.ship(25, b"six\n").await, gap);
    let other = fixture.ship(19, b"FIVE\nsix\n").await;
    assert_eq!(other["err"], 7, "{other}");
    assert_eq!(fixture.ship(0, b"").await, next(24));
    assert_eq!(fixture.lines().await, 5);

    let long = vec![b'x'; (1 << 20) + 1];
    assert_eq!(fixture.ship(24, &long[1..]).await, next(24));
    assert_eq!(fixture.ship(24, &long).await, next(24 + (1 << 20) + 1), "a line over 1 MiB is skipped");
    assert_eq!(fixture.lines().await, 5);
}

#[tokio::test]
async fn an_edge_that_begins_anew_is_refused() {
    let fixture = LogIntakeApi::new().await;
    let line = "the first line of a log that is longer than what is compared with what is sent again\n";
    let length = i64::try_from(line.len()).unwrap();
    assert_eq!(fixture.ship(0, line.as_bytes()).await, next(length));
    assert_eq!(fixture.ship(length, line.repeat(9).as_bytes()).await, next(10 * length));
    for (offset, piece) in [(0, "one line of a new installation\n"), (4, "FIRST line\n"), (0, "x")] {
        let refused = fixture.ship(offset, piece.as_bytes()).await;
        assert_eq!(refused["err"], 7, "{refused}");
    }
    for piece in [line, &line[..10], &line.repeat(2)] {
        assert_eq!(fixture.ship(0, piece.as_bytes()).await, next(10 * length), "it is sent again");
    }
    assert_eq!(fixture.lines().await, 10);
}

#[tokio::test]
async fn gzip_pieces_are_counted_by_their_content() {
    let fixture = LogIntakeApi::new().await;
    let packed = gzip(b"one\ntwo\n");
    for encoding in [None, Some("gzip"), Some("x-gzip")] {
        assert_eq!(fixture.send("0", KEY, encoding, &packed).await.ok(), next(8));
    }
    let members = [gzip(b"three\n"), gzip(b"four\n")].concat();
    assert_eq!(fixture.send("8", KEY, Some("GZIP"), &members).await.ok(), next(19));
    assert_eq!(fixture.send("19", KEY, Some("identity"), b"five\n").await.ok(), next(24));
    assert_eq!(fixture.lines().await, 5);

    let invalid = async |encoding, body: &[u8]| {
        let answer = fixture.send("24", KEY, encoding, body).await.ok();
        assert_eq!(answer["err"], 2, "{answer}");
        answer["msg"].as_str().unwrap().to_owned()
    };
    assert_eq!(invalid(Some("br"), b"x\n").await, "Content-Encoding: must be gzip, or not be given");
    assert_eq!(invalid(Some("gzip"), b"six\n").await, "body: must be whole, undamaged gzip");
    assert_eq!(invalid(None, &packed[..packed.len() - 3]).await, "body: must be whole, undamaged gzip");
    assert_eq!(fixture.lines().await, 5);
    let long = fixture.send("24", KEY, None, &vec![b'\n'; (8 << 20) + 1]).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_log_is_accepted_only_with_the_key_of_its_edge() {
    let fixture = LogIntakeApi::new().await;
    let answer =
        async |edge: &str, key: &str| fixture.send_for("level3", edge, "0", key, None, b"x\n").await.codes();
    assert_eq!(answer("edge-1", &KEY.to_uppercase()).await, (200, 4), "the key of another edge");
    assert_eq!(answer("nowhere", KEY).await, (200, 4));
    assert_eq!(fixture.send_for("qcloud", "edge-1", "0", KEY, None, b"x\n").await.codes(), (200, 4));
    for key in [&KEY[1..], "", "x", &fixture.user] {
        assert_eq!(answer("edge-1", key).await, (200, 3), "{key}");
        assert_eq!(answer("nowhere", key).await, (200, 3), "{key}");
    }
    assert_eq!(fixture.lines().await, 0);
    let followed = fixture.send_for("level3", "edge-3", "0", &KEY.repeat(2), None, b"x\n").await.ok();
    assert_eq!(followed, json!({"err": 7, "msg": "the log of this edge is followed as a file"}));
    for (offset, why) in [
        ("-1", "offset: must not be negative"),
        ("x", "offset: must be an integer"),
        ("", "offset: must be an integer"),
    ] {
        assert_eq!(fixture.send(offset, KEY, None, b"x\n").await.ok(), json!({"err": 2, "msg": why}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_repetitions_of_a_piece_are_counted_once() {
    let fixture = Arc::new(LogIntakeApi::new().await);
    for round in 0..20 {
        let piece: Arc<[u8]> = format!("line {round:03}\n").repeat(5).into_bytes().into();
        let offset = round * i64::try_from(piece.len()).unwrap();
        let sent: Vec<_> = (0..4)
            .map(|_| {
                let (fixture, piece) = (fixture.clone(), piece.clone());
                tokio::spawn(async move { fixture.ship(offset, &piece).await })
            })
            .collect();
        for sent in sent {
            let answer = sent.await.unwrap();
            assert!(answer["err"] == 0 || answer["err"] == 7, "{answer}");
        }
    }
    assert_eq!(fixture.lines().await, 100);
}

#[tokio::test]
async fn a_log_with_a_hole_goes_on_where_an_operator_says() {
    let fixture = LogIntakeApi::new().await;
    let root = fixture.api.login("root").await;
    let skip = async |token: &str, edge: &str, from: i64, to: i64| {
        let body = json!({"cdn": "level3", "edge": edge, "from": from, "to": to});
        fixture.api.post(token, "/level3/edge_logs/skip", body).await.ok()
    };
    assert_eq!(fixture.ship(0, b"one\n").await, next(4));
    let hole = json!({"err": 7, "msg": "offset: 4 is wanted next, not 100"});
    assert_eq!(fixture.ship(100, b"two\n").await, hole);
    let refusals = [
        (&fixture.user, "edge-1", 4, 100, json!({"err": 4, "msg": "not permitted"})),
        (&root, "edge-1", -1, 100, json!({"err": 2, "msg": "from: must not be negative"})),
        (&root, "edge-1", 4, 4, json!({"err": 2, "msg": "to: must be greater than from"})),
        (&root, "edge-1", 3, 100, json!({"err": 7, "msg": "from: 4 is wanted next, not 3"})),
        (&root, "edge-3", 0, 100, json!({"err": 6, "msg": "the edge that ships its log does not exist"})),
        (&root, "nowhere", 0, 100, json!({"err": 6, "msg": "the edge that ships its log does not exist"})),
    ];
    for (token, edge, from, to, refused) in refusals {
        assert_eq!(skip(token, edge, from, to).await, refused, "{edge} {from}-{to}");
    }
    assert_eq!(fixture.ship(100, b"two\n").await, hole, "what was refused changed nothing");

    assert_eq!(skip(&root, "edge-1", 4, 100).await, next(100));
    assert_eq!(fixture.ship(0, b"new\n").await["err"], 7, "a reinstalled edge is still noticed");
    assert_eq!(fixture.ship(98, b"?\ntwo\n").await, next(104), "a piece may begin earlier");
    assert_eq!(fixture.ship(100, b"two\nthree\n").await, next(110), "what was taken since is compared");
    assert_eq!(fixture.ship(100, b"TWO\nthree\n").await["err"], 7);
    assert_eq!(skip(&root, "edge-1", 110, 120).await, next(120));
    assert_eq!(fixture.lines().await, 3);
    assert_eq!(skip(&root, "edge-2", 0, 7).await, next(7), "also before the first piece");
    let second = fixture.send_for("level3", "edge-2", "0", &KEY.to_uppercase(), None, b"").await.ok();
    assert_eq!(second, next(7));

    let trail = fixture.api.get(&root, "/audit/list?count=1000").await.ok();
    let rows = trail["data"].as_array().unwrap().iter().filter(|row| row["Action"] == "cdn.log_skip");
    let objects: Vec<_> = rows.map(|row| row["Object"].as_str().unwrap()).collect();
    assert_eq!(objects, ["level3/edge-1 4-100", "level3/edge-1 110-120", "level3/edge-2 0-7"], "{trail}");
}

#[tokio::test]
async fn logs_are_listed_with_what_was_taken_in_of_them() {
    let fixture = LogIntakeApi::new().await;
    let root = fixture.api.login("root").await;
    let list = async |token: &str, query: &str| {
        fixture.api.get(token, &format!("/level3/log_sources{query}")).await.ok()
    };
    assert_eq!(list(&root, "").await, json!({"err": 0, "results": []}));
    fixture.ship(0, b"one\ntwo\n").await;
    fixture.ship(100, b"three\n").await;
    let mut listed = list(&root, "?cdn=level3").await;
    let row = listed["results"][0].as_object_mut().unwrap();
    let times = ["recorded", "seen", "refused_since"].map(|name| row.remove(name).unwrap());
    assert!(times.iter().all(|time| time.as_str().unwrap().len() == 19), "{times:?}");
    let expected = json!({
        "cdn": "level3", "edge": "edge-1", "kind": "shipped", "bytes": 8, "lines": 2, "billed": 2, "unreadable": 0,
        "unregistered": 0, "purges": 0, "unreadable_ratio": null, "last_line": "2016/09/13 15:44:07", "unread": null,
        "offset": 8, "skipped": 0, "refusal": "offset: 8 is wanted next, not 100", "log_gap": "", "log_gap_reason": "",
    });
    assert_eq!(listed, json!({"err": 0, "results": [expected]}));
    assert_eq!(list(&root, "?cdn=nowhere").await["err"], 6);
    assert_eq!(list(&fixture.user, "").await["err"], 4);
}

#[tokio::test]
async fn unregistered_hosts_are_listed_with_what_is_kept_aside_of_them() {
    let provider = ScriptedProvider::new(&["edge-1"])
        .with_capabilities(|can| can.known_domains = vec!["listed.exrqs.com".to_owned()]);
    let providers = [("level3".to_owned(), Arc::new(provider) as Arc<dyn CdnProvider>)];
    let settings = Settings::default().with_cdns(["level3"]);
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new().strict()), settings).unwrap();
    let pilothouse = pilothouse.with_providers(providers.into_iter().collect());
    let api = Api::over(pilothouse, HttpSettings::default()).await;
    api.pilothouse.cdns().ensure_configured().await.unwrap();
    let root = api.login("root").await;
    let intake = api.pilothouse.log_intake();
    let edge = intake.edge("level3", "edge-1").await.unwrap();
    let lines = |host: &str, offset| BatchUnregistered {
        host: host.to_owned(),
        first: 1_473_752_647,
        last: 1_473_815_411,
        kept: KeptLines {
            domain_id: DomainId::UNSAVED,
            day: "2016-09-13".parse().unwrap(),
            offset,
            length: 100,
            lines: 3,
            raw_length: 200,
            is_open: false,
        },
        cells: Vec::new(),
        city_cells: Vec::new(),
    };
    let unregistered = vec![lines("late.exrqs.com", 0), lines("listed.exrqs.com", 100)];
    let pack = "pack".to_owned();
    intake.record(Batch { edge, length: 1, pack, unregistered, ..Batch::default() }).await.unwrap();
    let row = |host: &str, is_listed: bool| {
        json!({
            "cdn": "level3", "host": host, "lines": 3, "bytes": 200, "first": "2016/09/13 15:44:07",
            "last": "2016/09/14 09:10:11", "dropped": 0, "is_listed": is_listed,
        })
    };
    assert_eq!(
        api.get(&root, "/level3/unregistered?cdn=level3").await.ok(),
        json!({"err": 0, "results": [row("late.exrqs.com", false), row("listed.exrqs.com", true)]})
    );
    // Without the provider the settings list nothing, whatever the store was told.
    let bare = api.pilothouse.clone().with_providers(std::iter::empty().collect());
    let listed = Api::of(bare, HttpSettings::default()).get(&root, "/level3/unregistered").await.ok();
    assert_eq!(listed["results"][1], row("listed.exrqs.com", false));
}
