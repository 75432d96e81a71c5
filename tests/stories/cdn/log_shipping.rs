//! `pilothouse ship`: a log followed on an edge's machine and shipped to a server, across rotation, kills of both sides and a
//! restore of the server.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, env_number};

use crate::support::{
    ApiClient, CommandOutcome, EDGE_KEY, EdgeLog, Installation, ROOT, TIMEOUT, TestServer,
    assert_stored_lines, billed, logged_customer, now, run, stored_lines, wait_until_billed,
    with_logging_edges,
};

/// Time within which SIGTERM ends shipping.
const END: Duration = Duration::from_secs(30);

/// An edge's machine, on which nothing is but the program, the log and the key.
struct EdgeMachine {
    folder: tempfile::TempDir,
    server: String,
    log: EdgeLog,
    /// Bytes of all lines, by a count of its own.
    written: usize,
}

impl EdgeMachine {
    fn new(server: &TestServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), EDGE_KEY).unwrap();
        let log = EdgeLog::new(folder.path().join("edge.tsv"));
        Self { folder, server: server.url(), log, written: 0 }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command, with these options in the place of the usual ones, or beside them.
    fn command(&self, options: &[(&str, &str)]) -> Command {
        let mut all = vec![
            ("--cdn", "level3"),
            ("--edge", "edge-2"),
            ("--file", "edge.tsv"),
            ("--key", "file:key"),
            ("--url", &self.server),
        ];
        all.retain(|(name, _)| options.iter().all(|(other, _)| name != other));
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilothouse"));
        command.current_dir(self.folder.path()).env_clear().arg("ship");
        for (name, value) in all.iter().chain(options) {
            command.args([name, value]);
        }
        command
    }

    /// Starts shipping; what it prints goes to a file.
    fn ship(&self) -> ProcessGuard {
        let printed = File::options().create(true).append(true).open(self.file("printed")).unwrap();
        let mut command = self.command(&[]);
        command.stdout(printed.try_clone().unwrap()).stderr(printed).stdin(Stdio::null());
        ProcessGuard::spawn(&mut command).unwrap()
    }

    fn ship_once(&self, options: &[(&str, &str)]) -> CommandOutcome {
        run(self.command(options).arg("--once"), "")
    }

    async fn wait_until_printed(&self, text: &str) {
        let begun = Instant::now();
        while !self.printed().contains(text) {
            assert!(begun.elapsed() < TIMEOUT, "{}", self.printed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn printed(&self) -> String {
        fs::read_to_string(self.file("printed")).unwrap_or_default()
    }

    fn write(&mut self, count: usize) {
        let text = self.log.next(count);
        self.written += text.len();
        self.log.log.write_all(text.as_bytes()).unwrap();
    }

    /// Rotates in one of the ways, and writes.
    fn rotate(&mut self, way: u64) {
        match way {
            0 => {
                let length = fs::metadata(&self.log.path).unwrap().len();
                self.log.rotate(3);
                // The late lines went to the rotated file.
                let rotated = self.folder.path().join("edge.tsv.1");
                let late = fs::metadata(rotated).unwrap().len() - length;
                self.written += usize::try_from(late).unwrap();
            }
            1 => self.log.copy_and_truncate(),
            2 => self.log.rotate_packed(false),
            _ => self.log.rotate_packed(true),
        }
        self.write(4);
    }

    /// Asserts that every line is billed and kept once, and that the stream has as many bytes as were written.
    async fn assert_all_shipped(&self, root: &ApiClient, begun: i64) {
        wait_until_billed(root, begun, self.log.bytes).await;
        assert_stored_lines(self.log.lines.clone(), &stored_lines(root).await);
        let edges = root.get("/level3/edges?cdn=level3").await.ok();
        let edges = edges["results"].as_array().unwrap();
        let edge = edges.iter().find(|edge| edge["edge"] == "edge-2").unwrap();
        assert_eq!(edge["log_offset"], self.written, "{edge}");
    }
}

fn installation() -> Installation {
    with_logging_edges(Installation::sqlite(), Path::new("/nowhere/edge.tsv"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_shipped_once_across_every_rotation_and_kills() {
    let (installation, begun) = (installation(), now());
    let mut server = installation.serve().await;
    let port = server.port;
    let root = logged_customer(&server).await;
    let mut edge = EdgeMachine::new(&server);
    edge.write(1);
    let mut shipping = edge.ship();
    edge.assert_all_shipped(&root, begun).await;
    for way in 0..4 {
        edge.write(10);
        edge.rotate(way);
        edge.assert_all_shipped(&root, begun).await;
    }
    assert_eq!(edge.printed(), "", "there is nothing to be told");

    // Two rotations, of which one is packed at once, while nobody ships.
    shipping.kill9();
    edge.write(10);
    edge.rotate(0);
    edge.rotate(2);
    shipping = edge.ship();
    edge.assert_all_shipped(&root, begun).await;

    // The server is away for two rotations, and the shipper is killed in the middle of that.
    server.process.kill9();
    edge.write(10);
    edge.wait_until_printed("not available").await;
    shipping.kill9();
    edge.rotate(1);
    edge.rotate(3);
    shipping = edge.ship();
    let rest = edge.log.next(1);
    edge.written += rest.len();
    let (half, other) = rest.split_at(20);
    edge.log.log.write_all(half.as_bytes()).unwrap();
    server = installation.serve_again(port).await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    edge.log.log.write_all(other.as_bytes()).unwrap();
    edge.assert_all_shipped(&root, begun).await;
    shipping.stop(END);

    // What is there is shipped, and only once.
    edge.write(5);
    for _ in 0..2 {
        let once = edge.ship_once(&[]);
        assert_eq!((once.code, &*once.stdout, &*once.stderr), (Some(0), "", ""));
    }
    edge.assert_all_shipped(&root, begun).await;
    // A server that is away keeps nobody from ending.
    server.process.kill9();
    shipping = edge.ship();
    edge.write(1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    shipping.stop(END);
    let mut files: Vec<_> =
        fs::read_dir(edge.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.retain(|name| !name.to_string_lossy().starts_with("edge.tsv"));
    files.sort_unstable();
    assert_eq!(files, ["key", "printed"], "no store is made");
}

/// `PILOTHOUSE_TEST_SEED` chooses the schedule; it has 25 steps, and 300 with `PILOTHOUSE_TEST_LONG`.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_shipped_once_on_a_random_schedule() {
    let seed = env_number("PILOTHOUSE_TEST_SEED", 1);
    let steps = if std::env::var_os("PILOTHOUSE_TEST_LONG").is_some() { 300 } else { 25 };
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (installation, begun) = (installation(), now());
    let mut server = installation.serve().await;
    let port = server.port;
    let mut root = logged_customer(&server).await;
    let mut edge = EdgeMachine::new(&server);
    edge.write(1);
    let mut shipping = Some(edge.ship());
    edge.assert_all_shipped(&root, begun).await;
    // Rotations that may have been missed: nine files are kept.
    let mut missed = 0;
    for _ in 0..steps {
        edge.write(random.usize(..30));
        match random.u64(..10) {
            way @ 0..=3 if missed < 5 => {
                missed += 1;
                edge.rotate(way);
            }
            4 => shipping = None,
            5 => shipping = Some(shipping.take().unwrap_or_else(|| edge.ship())),
            6 => {
                server.process.kill9();
                server = installation.serve_again(port).await;
                root = ApiClient::new(&[&server]).login(ROOT).await;
            }
            7..=8 => tokio::time::sleep(Duration::from_millis(random.u64(..700))).await,
            _ => {
                shipping = Some(shipping.take().unwrap_or_else(|| edge.ship()));
                edge.assert_all_shipped(&root, begun).await;
                missed = 0;
            }
        }
    }
    drop(shipping.take());
    assert_eq!(edge.ship_once(&[]).code, Some(0));
    edge.assert_all_shipped(&root, begun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restored_gets_again_what_it_lost() {
    let (installation, begun) = (installation(), now());
    let mut server = installation.serve().await;
    let port = server.port;
    logged_customer(&server).await;
    let mut edge = EdgeMachine::new(&server);
    edge.write(20);
    assert_eq!(edge.ship_once(&[]).code, Some(0));
    let backup = installation.file("backup.db").display().to_string();
    assert_eq!(installation.run(&["backup", &backup], "").code, Some(0));
    let mut shipping = edge.ship();
    edge.write(20);
    edge.rotate(0);
    edge.rotate(2);
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    edge.assert_all_shipped(&root, begun).await;
    server.process.kill9();
    let restored = installation.run(&["restore", &backup, "--replace"], "");
    assert_eq!(restored.code, Some(0), "{restored:?}");
    server = installation.serve_again(port).await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    let before = billed(&root, begun).await;
    assert!(before < edge.log.bytes, "{before} are billed after the restore");
    edge.write(1);
    edge.assert_all_shipped(&root, begun).await;
    assert!(edge.printed().contains("shipped again"), "{}", edge.printed());
    shipping.stop(END);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_do() {
    let installation = installation();
    let server = installation.serve().await;
    logged_customer(&server).await;
    let mut edge = EdgeMachine::new(&server);
    edge.write(5);
    fs::write(edge.file("other"), "x".repeat(40)).unwrap();
    let elsewhere = format!("{}/elsewhere", server.url());
    for (option, value, code, why) in [
        ("--key", "env:NONE", 2, "--key"),
        ("--ca", "nothing.pem", 2, "--ca: nothing.pem: No such file"),
        ("--ca", "key", 2, "--ca: key holds no certificate"),
        ("--url", "ftp://a", 2, "--url"),
        ("--edge", "edge-1", 1, "the key is not that of this edge"),
        ("--key", "file:other", 1, "the key is none of its edges'"),
        ("--url", &*elsewhere, 1, "the server refuses"),
        ("--from", "3", 2, "--from: byte 3 of edge.tsv"),
    ] {
        let refused = edge.ship_once(&[(option, value)]);
        assert_eq!(refused.code, Some(code), "{option} {value}: {refused:?}");
        assert!(refused.stderr.contains(why), "{why}: {refused:?}");
    }
    // A log that was shipped by hand is gone on with; without its state it is not guessed at.
    assert_eq!(edge.ship_once(&[]).code, Some(0));
    fs::remove_file(edge.file("edge.tsv.ship")).unwrap();
    edge.write(5);
    assert_eq!(edge.ship_once(&[]).code, Some(0), "the file begins with what the server has");
    fs::remove_file(edge.file("edge.tsv.ship")).unwrap();
    edge.rotate(1);
    let lost = edge.ship_once(&[]);
    assert_eq!(lost.code, Some(2), "{lost:?}");
    assert!(lost.stderr.contains("--from") && lost.stderr.contains("`start` if it has none"), "{lost:?}");
    assert_eq!(edge.ship_once(&[("--from", "start")]).code, Some(0));
    assert_eq!(edge.ship_once(&[("--from", "start")]).code, Some(2), "it is named once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted() {
    // A certificate for localhost and 127.0.0.1, of an authority that no system trusts.
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls");
    let file = |name: &str| tls.join(name).display().to_string();
    let plain = installation();
    plain.create_root();
    let secured =
        plain.with("TLS_CERTIFICATE", &file("localhost.pem")).with("TLS_KEY", &file("localhost.key"));
    let server = secured.start();
    let mut edge = EdgeMachine::new(&server);
    edge.server = format!("https://localhost:{}", server.port);
    edge.write(5);
    let shipped = edge.ship_once(&[("--ca", &file("ca.pem"))]);
    assert_eq!(shipped.code, Some(0), "{shipped:?}");
    let untrusted = edge.ship_once(&[]);
    assert_eq!(untrusted.code, Some(1), "{untrusted:?}");
    assert!(untrusted.stderr.contains("certificate"), "{untrusted:?}");
}
