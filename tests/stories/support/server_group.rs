//! Servers on one store, of which one after the other is killed and started again on its port.

use std::time::{Duration, Instant};

use chrono::DateTime;
use reqwest::header::DATE;

use super::api_client::ApiClient;
use super::fake_clock::FakeClock;
use super::installation::{Installation, ROOT, TIMEOUT, TestServer};

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

    /// Waits until every server has the time of a clock that was set, as their answers tell it.
    pub(crate) async fn wait_for_clock(&self, time: i64) {
        let http = crate::support::http_client().build().unwrap();
        for server in &self.running {
            let begun = Instant::now();
            loop {
                let answer = http.get(format!("{}/healthz", server.url())).send().await.unwrap();
                let told = answer.headers()[DATE].to_str().unwrap();
                let told = DateTime::parse_from_rfc2822(told).unwrap().timestamp();
                if (told - time).abs() < 60 {
                    break;
                }
                assert!(
                    begun.elapsed() < TIMEOUT,
                    "the clock of a server stands at {told} instead of {time}"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
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
