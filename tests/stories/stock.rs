//! Programs with Apollo's stock clients, which nobody here wrote.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pilothouse_test_support::ProcessGuard;
use tempfile::TempDir;

use crate::place::PATIENCE;

/// A client and the language it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stock {
    /// `apollo-client-python` from `PyPI`. It finds its own address.
    ApolloClientPython,
    /// `py3-apollo-client` from `PyPI`.
    Py3ApolloClient,
    /// `ctrip-apollo` from npm. It cannot sign.
    CtripApollo,
    /// `apollo-rust-client` from the Rust registry. It asks every 30 seconds and waits for no news.
    ApolloRustClient,
}

/// A running program that shows each value its client has of one key.
pub(crate) struct Program {
    what: Stock,
    _process: ProcessGuard,
    _folder: TempDir,
    shown: Arc<Mutex<Vec<String>>>,
}

impl Stock {
    /// Starts the program for a key of an app and cluster. `address` is what the client says to be at, where it can.
    pub(crate) fn start(
        self,
        installed: &Path,
        url: &str,
        [app, cluster, key]: [&str; 3],
        secret: Option<&str>,
        address: &str,
    ) -> Program {
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients").join(name);
        let python = installed.join("python/bin/python");
        let (program, script): (PathBuf, Option<PathBuf>) = match self {
            Self::ApolloClientPython => (python, Some(script("apollo_client_python.py"))),
            Self::Py3ApolloClient => (python, Some(script("py3_apollo_client.py"))),
            Self::CtripApollo => ("node".into(), Some(script("ctrip_apollo.js"))),
            Self::ApolloRustClient => (installed.join("rust/debug/stock-apollo-rust-client"), None),
        };
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(program);
        command.args(script).args([url, app, cluster, key]).args(secret);
        command.env("HOME", folder.path()).env("CLIENT_IP", address).current_dir(folder.path());
        command.env("NODE_PATH", installed.join("node/node_modules")).env("NODE_NO_WARNINGS", "1");
        command.env("no_proxy", "127.0.0.1").env("NO_PROXY", "127.0.0.1");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = ProcessGuard::spawn(&mut command).unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (lines, into) = (BufReader::new(process.child.stdout.take().unwrap()), shown.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        Program { what: self, _process: process, _folder: folder, shown }
    }
}

impl Program {
    /// The value that it shows; none before the first.
    pub(crate) fn value(&self) -> Option<String> {
        self.shown.lock().unwrap().last().cloned()
    }

    /// Waits until it shows a value.
    pub(crate) async fn shows(&self, value: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value().as_deref() != Some(value) {
            assert!(
                Instant::now() < deadline,
                "{:?} does not show {value}: {:?}",
                self.what,
                self.shown.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
