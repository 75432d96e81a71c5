//! Programs with Apollo clients of third parties.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pilothouse_test_support::ProcessGuard;
use tempfile::TempDir;

use super::installation::TIMEOUT;

/// An Apollo client library of a third party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientLibrary {
    /// `apollo-client-python` from `PyPI`. It finds its own address.
    ApolloClientPython,
    /// `py3-apollo-client` from `PyPI`.
    Py3ApolloClient,
    /// `ctrip-apollo` from npm. It cannot sign.
    CtripApollo,
    /// `apollo-rust-client` from the Rust registry. It polls every 30 seconds instead of waiting for notifications.
    ApolloRustClient,
}

/// A running program that prints each value its client gets of one key.
pub(crate) struct ClientProgram {
    client: ClientLibrary,
    _process: ProcessGuard,
    _folder: TempDir,
    printed: Arc<Mutex<Vec<String>>>,
}

impl ClientLibrary {
    /// Starts the program for a key of an app and cluster, of a namespace where there is a slash in it. `address` is the one that the client reports, if it can.
    pub(crate) fn start(
        self,
        installed: &Path,
        url: &str,
        [app, cluster, key]: [&str; 3],
        secret: Option<&str>,
        address: &str,
    ) -> ClientProgram {
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients").join(name);
        let python = installed.join("python/bin/python");
        let (program, script): (PathBuf, Option<PathBuf>) = match self {
            Self::ApolloClientPython => (python, Some(script("apollo_client_python.py"))),
            Self::Py3ApolloClient => (python, Some(script("py3_apollo_client.py"))),
            Self::CtripApollo => ("node".into(), Some(script("ctrip_apollo.js"))),
            Self::ApolloRustClient => (installed.join("rust/debug/stock-apollo-rust-client"), None),
        };
        let folder = TempDir::new().unwrap();
        let (namespace, key) = key.rsplit_once('/').unwrap_or(("application", key));
        let mut command = Command::new(program);
        command.args(script).args([url, app, cluster, key]).args(secret);
        command.env("NAMESPACE", namespace);
        command.env("HOME", folder.path()).env("CLIENT_IP", address).current_dir(folder.path());
        command.env("NODE_PATH", installed.join("node/node_modules")).env("NODE_NO_WARNINGS", "1");
        command.env("no_proxy", "127.0.0.1").env("NO_PROXY", "127.0.0.1");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = ProcessGuard::spawn(&mut command).unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (lines, into) = (BufReader::new(process.child.stdout.take().unwrap()), printed.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        ClientProgram { client: self, _process: process, _folder: folder, printed }
    }
}

impl ClientProgram {
    /// The last value it printed; `None` before the first.
    pub(crate) fn value(&self) -> Option<String> {
        self.printed.lock().unwrap().last().cloned()
    }

    /// Waits until it prints a value.
    pub(crate) async fn wait_for(&self, value: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while self.value().as_deref() != Some(value) {
            assert!(
                Instant::now() < deadline,
                "{:?} does not print {value}: {:?}",
                self.client,
                self.printed.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
