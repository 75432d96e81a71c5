//! Fault campaign: faults in random order under mixed load, with a ledger of every acknowledged write that is checked at the
//! end. `PILOTHOUSE_TEST_CAMPAIGN_SECONDS` sets how long each store is tested, 20 by default, and `PILOTHOUSE_TEST_SEED` the
//! order. Every kind of fault happens at least once.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pilothouse_test_support::{
    Database, Postgres, Rng, Signal, TcpProxy, durable_postgres_or_skip, env_number,
};
use tokio::time::sleep;

use crate::support::{
    ApiClient, CampaignWrites, Installation, ROOT, TestServer, lost_writes, with_unreachable_edge,
};

/// Time within which writes go on after any fault.
const RECOVERY: Duration = Duration::from_mins(1);

/// Kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// SIGKILL, and a new start.
    Kill,
    /// SIGSTOP, and SIGCONT a while later.
    Freeze,
    /// A new start with a log whose reader is gone.
    NoLogReader,
    /// A full file system.
    FullDisk,
    /// A limit on the size of files that the database has reached.
    FileSize,
    /// A database whose connections are silent.
    SilentDatabase,
    /// SIGSTOP of Postgres and its sessions, and SIGCONT a while later.
    FrozenDatabase,
    /// SIGKILL of Postgres and its sessions, and a new start a while later.
    KilledDatabase,
}

/// Figures of one kind of fault.
#[derive(Debug, Default)]
struct Figures {
    count: u32,
    /// Writes that were refused or not answered.
    refused: u64,
    slowest: Duration,
}

/// A file system of its own for the data folder.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts it; `None` for those who may not.
    fn mount(folder: &Path, mebibytes: u64) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={mebibytes}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "pilothouse-test"])
            .arg(folder)
            .output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then(|| Self(folder.to_owned()))
    }

    /// Takes the room that is left; returns the file that holds it.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).unwrap();
        // It ends with the error of a full disk.
        let _ = std::io::copy(&mut File::open("/dev/zero").unwrap(), &mut file);
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// The server under test with what its faults need.
struct Subject {
    installation: Installation,
    server: TestServer,
    tmpfs: Option<Tmpfs>,
    database: Option<ProxiedDatabase>,
}

/// A Postgres of its own behind a proxy.
struct ProxiedDatabase {
    postgres: Postgres,
    proxy: TcpProxy,
}

impl Subject {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![Fault::Kill, Fault::Freeze, Fault::NoLogReader];
        if self.database.is_some() {
            faults.extend([Fault::SilentDatabase, Fault::FrozenDatabase, Fault::KilledDatabase]);
        } else {
            faults.push(Fault::FileSize);
        }
        faults.extend(self.tmpfs.as_ref().map(|_| Fault::FullDisk));
        faults
    }

    /// Sets the limit on the size of the server's files.
    fn limit_files(&self, limit: &str) {
        let pid = self.server.process.child.id().to_string();
        let limited =
            Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:unlimited")]).status();
        assert!(limited.unwrap().success());
    }

    /// Causes a fault for a while; the moment at which its cause was gone.
    async fn cause(&mut self, fault: Fault, length: Duration) -> Instant {
        match fault {
            Fault::Kill => {
                self.server.process.kill9();
                let ended = Instant::now();
                self.server = self.installation.start_again(self.server.port);
                return ended;
            }
            Fault::NoLogReader => {
                self.server.process.terminate();
                assert!(
                    self.server.process.wait_for_exit(Duration::from_secs(20)).is_some(),
                    "SIGTERM is ignored"
                );
                let ended = Instant::now();
                self.server = self.installation.start_without_log_reader(self.server.port);
                return ended;
            }
            Fault::Freeze => {
                self.server.process.signal(Signal::STOP);
                sleep(length).await;
                self.server.process.signal(Signal::CONT);
            }
            Fault::FullDisk => {
                let ballast = self.tmpfs.as_ref().unwrap().fill();
                sleep(length).await;
                fs::remove_file(ballast).unwrap();
            }
            Fault::FileSize => {
                self.limit_files("4096");
                sleep(length).await;
                self.limit_files("unlimited");
            }
            Fault::SilentDatabase => {
                let proxy = &self.database.as_ref().unwrap().proxy;
                proxy.silence();
                sleep(length).await;
                proxy.heal();
            }
            Fault::FrozenDatabase => {
                let postgres = &self.database.as_ref().unwrap().postgres;
                postgres.freeze();
                sleep(length).await;
                postgres.thaw();
            }
            Fault::KilledDatabase => {
                let postgres = &self.database.as_ref().unwrap().postgres;
                postgres.kill();
                sleep(length).await;
                postgres.restart();
            }
        }
        Instant::now()
    }
}

/// Causes faults in random order until the time is over; prints the figures, and fails when a write is lost.
async fn run(on: &str, mut subject: Subject) {
    let seconds = env_number("PILOTHOUSE_TEST_CAMPAIGN_SECONDS", 20);
    let seed = env_number("PILOTHOUSE_TEST_SEED", 1);
    let mut random = Rng::with_seed(seed);
    let root = ApiClient::new(&[&subject.server]).login(ROOT).await;
    let writes = CampaignWrites::start(&root).await;
    let (begun, mut figures) = (Instant::now(), BTreeMap::<Fault, Figures>::new());
    let mut is_first = true;
    while is_first || begun.elapsed() < Duration::from_secs(seconds) {
        let mut faults = subject.faults();
        random.shuffle(&mut faults);
        for fault in faults {
            if !is_first && begun.elapsed() >= Duration::from_secs(seconds) {
                break;
            }
            sleep(Duration::from_millis(random.u64(100..1500))).await;
            let refused = writes.refused();
            // In a long campaign a silence often outlasts the time that is given to a connection.
            let longest = if seconds > 600 && fault == Fault::SilentDatabase { 25_000 } else { 2500 };
            let ended = subject.cause(fault, Duration::from_millis(random.u64(500..longest))).await;
            let took = writes.recovery(ended, RECOVERY).await;
            let known = figures.entry(fault).or_default();
            known.count += 1;
            known.refused += writes.refused() - refused;
            known.slowest = known.slowest.max(took);
        }
        is_first = false;
    }
    let root = writes.root().clone();
    let (ledger, lies) = writes.stop().await;
    subject.server.wait_until_ready().await;
    let lost = lost_writes(&root, &ledger).await;
    println!(
        "{on}: seed {seed}, {} s, faults and the slowest recovery of writes:",
        begun.elapsed().as_secs()
    );
    for (fault, Figures { count, refused, slowest }) in &figures {
        println!(
            "  {fault:?}: {count} times, {:.2} s, {refused} writes not acknowledged",
            slowest.as_secs_f64()
        );
        assert!(
            *refused > 0
                || !matches!(fault, Fault::Kill | Fault::FullDisk | Fault::FileSize | Fault::KilledDatabase),
            "{fault:?} was no fault"
        );
    }
    println!(
        "  {} acknowledged writes checked, {} lost; {lies} readiness answers that were no truth",
        ledger.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "seed {seed}: acknowledged and lost: {lost:?}");
    assert!(ledger.len() > 100, "the load is too small to show anything");
    assert_eq!(lies, 0, "seed {seed}: ready while no write succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_on_sqlite() {
    let installation = with_unreachable_edge(Installation::sqlite());
    let seconds = env_number("PILOTHOUSE_TEST_CAMPAIGN_SECONDS", 20);
    let tmpfs = Tmpfs::mount(&installation.file("data"), 64 + seconds / 10);
    if tmpfs.is_none() {
        println!("the full disk is left out: only root may mount one");
    }
    let server = installation.serve().await;
    run("faults on SQLite", Subject { installation, server, tmpfs, database: None }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_on_postgres() {
    let test = "server::campaign::nothing_acknowledged_is_lost_on_postgres";
    let Some(postgres) = durable_postgres_or_skip(test) else { return };
    let database = postgres.database();
    let port = database.url.split([':', '/', '@']).find_map(|part| part.parse::<u16>().ok()).unwrap();
    let proxy = TcpProxy::to(port);
    let database = Database { url: database.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port)) };
    let installation = with_unreachable_edge(Installation::postgres(&database));
    let server = installation.serve().await;
    let database = Some(ProxiedDatabase { postgres, proxy });
    run("faults on Postgres", Subject { installation, server, tmpfs: None, database }).await;
}
