//! Edges that ship their logs.

use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use pilothouse_core::cdn::{Batch, Cell, Domain, Figures, LogShipper};
use pilothouse_core::ports::LogReader;
use pilothouse_core::{Pilothouse, Result, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use crate::api::{Answer, Api, PASSWORD};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Takes every line for one byte of the first domain, in the first five minutes there were.
#[derive(Debug)]
struct Lines;

#[async_trait::async_trait]
impl LogReader for Lines {
    async fn read(&self, cdn: &str, batch: Batch, domains: &[Domain], lines: Vec<u8>) -> Result<Batch> {
        assert_eq!((cdn, batch.edge.edge.as_str()), ("level3", "edge-1"));
        let flux = (lines.split(|byte| *byte == b'\n').count() - 1).try_into().unwrap();
        let figures = Figures { flux, ..Figures::default() };
        Ok(Batch { cells: vec![Cell { domain_id: domains[0].id, bucket: 0, figures }], ..batch })
    }
}

struct World {
    api: Api,
    user: String,
}

impl World {
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
        let settings = Settings { cdns: vec!["level3".into()], log_shippers, ..Settings::default() };
        let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), settings).unwrap();
        let api = Api::over(pilothouse.with_log_reader(Arc::new(Lines)), HttpSettings::default()).await;
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

    /// The next offset wanted after a piece at `offset`.
    async fn ship(&self, offset: i64, body: &[u8]) -> Value {
        self.send(&offset.to_string(), KEY, None, body).await.ok()
    }

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
async fn a_log_arrives_in_pieces_and_counts_once() {
    let world = World::new().await;
    assert_eq!(world.ship(0, b"").await, next(0), "an empty piece asks");
    assert_eq!(world.ship(0, b"one\ntwo\nthr").await, next(8), "what is no whole line comes again");
    assert_eq!(world.ship(8, b"three\n").await, next(14));
    assert_eq!(world.ship(8, b"three\n").await, next(14), "the answer was lost");
    assert_eq!(world.ship(8, b"three\nfour\n").await, next(19));
    assert_eq!(world.ship(4, b"two\n").await, next(19), "long known");
    assert_eq!(world.ship(0, b"one\ntwo\nthree\nfour\nfive\n").await, next(24));
    assert_eq!(world.lines().await, 5);
    assert_eq!(world.ship(24, b"no line end").await, next(24));

    let gap = json!({"err": 7, "msg": "offset: 24 is wanted next, not 25"});
    assert_eq!(world.ship(25, b"six\n").await, gap);
    let other = world.ship(19, b"FIVE\nsix\n").await;
    assert_eq!(other["err"], 7, "{other}");
    assert_eq!(world.ship(0, b"").await, next(24));
    assert_eq!(world.lines().await, 5);

    let long = vec![b'x'; (1 << 20) + 1];
    assert_eq!(world.ship(24, &long[1..]).await, next(24));
    assert_eq!(world.ship(24, &long).await, next(24 + (1 << 20) + 1), "no line is that long");
    assert_eq!(world.lines().await, 5);
}

#[tokio::test]
async fn gzip_counts_as_what_is_in_it() {
    let world = World::new().await;
    let packed = gzip(b"one\ntwo\n");
    for encoding in [None, Some("gzip"), Some("x-gzip")] {
        assert_eq!(world.send("0", KEY, encoding, &packed).await.ok(), next(8));
    }
    let members = [gzip(b"three\n"), gzip(b"four\n")].concat();
    assert_eq!(world.send("8", KEY, Some("GZIP"), &members).await.ok(), next(19));
    assert_eq!(world.send("19", KEY, Some("identity"), b"five\n").await.ok(), next(24));
    assert_eq!(world.lines().await, 5);

    let invalid = async |encoding, body: &[u8]| {
        let answer = world.send("24", KEY, encoding, body).await.ok();
        assert_eq!(answer["err"], 2, "{answer}");
        answer["msg"].as_str().unwrap().to_owned()
    };
    assert_eq!(invalid(Some("br"), b"x\n").await, "Content-Encoding: must be gzip, or not be given");
    assert_eq!(invalid(Some("gzip"), b"six\n").await, "body: must be whole, undamaged gzip");
    assert_eq!(invalid(None, &packed[..packed.len() - 3]).await, "body: must be whole, undamaged gzip");
    assert_eq!(world.lines().await, 5);
    let long = world.send("24", KEY, None, &vec![b'\n'; (8 << 20) + 1]).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn only_the_edge_itself_ships_its_log() {
    let world = World::new().await;
    let answer =
        async |edge: &str, key: &str| world.send_for("level3", edge, "0", key, None, b"x\n").await.codes();
    assert_eq!(answer("edge-1", &KEY.to_uppercase()).await, (200, 4), "another edge's key");
    assert_eq!(answer("nowhere", KEY).await, (200, 4));
    assert_eq!(world.send_for("qcloud", "edge-1", "0", KEY, None, b"x\n").await.codes(), (200, 4));
    for key in [&KEY[1..], "", "x", &world.user] {
        assert_eq!(answer("edge-1", key).await, (200, 3), "{key}");
        assert_eq!(answer("nowhere", key).await, (200, 3), "{key}");
    }
    assert_eq!(world.lines().await, 0);
    let followed = world.send_for("level3", "edge-3", "0", &KEY.repeat(2), None, b"x\n").await.ok();
    assert_eq!(followed, json!({"err": 7, "msg": "the log of this edge is followed as a file"}));
    for (offset, why) in [
        ("-1", "offset: must not be negative"),
        ("x", "offset: must be an integer"),
        ("", "offset: must be an integer"),
    ] {
        assert_eq!(world.send(offset, KEY, None, b"x\n").await.ok(), json!({"err": 2, "msg": why}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_twice_at_once_counts_once() {
    let world = Arc::new(World::new().await);
    for round in 0..20 {
        let piece: Arc<[u8]> = format!("line {round:03}\n").repeat(5).into_bytes().into();
        let offset = round * i64::try_from(piece.len()).unwrap();
        let sent: Vec<_> = (0..4)
            .map(|_| {
                let (world, piece) = (world.clone(), piece.clone());
                tokio::spawn(async move { world.ship(offset, &piece).await })
            })
            .collect();
        for sent in sent {
            let answer = sent.await.unwrap();
            assert!(answer["err"] == 0 || answer["err"] == 7, "{answer}");
        }
    }
    assert_eq!(world.lines().await, 100);
}
