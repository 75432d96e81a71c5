//! Servers on one store, of which one after the other is killed and started again on its port.

use super::api_client::ApiClient;
use super::fake_clock::FakeClock;
use super::installation::{Installation, ROOT, TestServer};

/// Running servers with their installations.
pub(crate) struct ServerGroup {
    installations: Vec<Installation>,
    pub(crate) running: Vec<TestServer>,
}

impl ServerGroup {
    pub(crate) async fn start(installations: Vec<Installation>) -> Self {
        let mut running = Vec::new();
        for installation in &installations {
            running.push(installation.serve().await);
        }
        Self { installations, running }
    }

    /// A client of all of them in turn, logged in.
    pub(crate) async fn root(&self) -> ApiClient {
        ApiClient::new(&self.running.iter().collect::<Vec<_>>()).login(ROOT).await
    }

    /// Waits until every server has the time of a clock that was set.
    pub(crate) async fn wait_for_clock(&self, time: i64) {
        for server in &self.running {
            server.wait_for_clock(time).await;
        }
    }

    /// Kills a server and starts it again, until it is ready.
    pub(crate) async fn kill(&mut self, index: usize) {
        let index = index % self.running.len();
        let port = self.running[index].port;
        self.running[index].process.kill9();
        FakeClock::forget(self.running[index].process.child.id());
        self.running[index] = self.installations[index].serve_again(port).await;
    }
}
