//! New histories of a sequence: a store that is restored, a publish that is lost, and an app that is created again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::sequence::Sequence;
use crate::support::{FullReleases, KEYS, TIMEOUT};

/// Profile of a node that only asks for the app's revision.
const PROBE: &str = "probe";

impl Sequence<'_> {
    /// Registers the node that asks for the epoch.
    pub(super) async fn register_probe(&self) {
        let probe = json!({"app": self.environment.app, "profile": PROBE, "nodeId": PROBE, "pid": "1"});
        self.root.with_token(&self.environment.key).post("/node/register", probe).await.ok();
    }

    /// Epoch of the app, once it is the same at every server: that of an app that was created again is heard of within a second.
    async fn epoch(&self) -> i64 {
        let path = format!("/node/config?app={}&profile={PROBE}&nodeId={PROBE}", self.environment.app);
        let begun = Instant::now();
        loop {
            let mut epochs = BTreeSet::new();
            for _ in self.access.cluster().servers() {
                let answer = self.root.with_token(&self.environment.key).get(&path).await;
                // The probe is no node of the former app, whose nodes went with it.
                let revision = answer.body["data"]["Revision"].as_i64();
                epochs.insert(revision.map(|revision| revision >> 32));
            }
            if let [Some(epoch)] = epochs.iter().copied().collect::<Vec<_>>()[..] {
                return epoch;
            }
            assert!(begun.elapsed() < TIMEOUT, "{epochs:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Keeps the state of now for a restore.
    pub(super) async fn back_up(&mut self) {
        self.note("a backup is made".to_owned());
        let backup = self.access.alone().backup().await;
        self.root = self.access.cluster().root().await;
        self.backup = Some((backup, self.history.backup(), self.fulls.clone()));
    }

    /// Goes back to the backup: what was released since is lost, for nodes too.
    pub(super) async fn restore(&mut self) {
        let Some((backup, releases, fulls)) = self.backup.take() else { return };
        self.access.alone().restore(backup).await;
        self.root = self.access.cluster().root().await;
        let epoch = self.epoch().await;
        self.note(format!("the store is restored, in epoch {epoch}"));
        self.environment.begin_epoch(epoch);
        self.history.restore(&releases, epoch);
        self.fulls = fulls;
        self.newest = self.newest_release().await;
        (self.restores, self.tally.restores) = (self.restores + 1, self.tally.restores + 1);
    }

    /// Publishes a key and goes back to the moment before, as after a failover that loses it.
    pub(super) async fn lose_publish(&mut self) {
        self.back_up().await;
        self.publish(KEYS[0], json!({})).await;
        self.check();
        self.restore().await;
    }

    /// Deletes the app with all its keys, and creates another of its name, with the same key: nothing of the old one may
    /// reach the nodes, which ask all the time.
    pub(super) async fn create_again(&mut self) {
        // An app without revisions leaves nothing that another could be taken for.
        if !self.history.has_changed() {
            return;
        }
        for key in KEYS {
            let name = self.parameters(key, &[]);
            while self.root.post("/config/queryWithKey", name.clone()).await.is_ok() {
                self.delete(key).await;
            }
        }
        let app = self.environment.app.clone();
        while self.root.post(&format!("/app/key/list/{app}"), json!({})).await.is_ok() {
            if let Some(answer) = self.call(&format!("/app/del/{app}"), &json!({})).await {
                answer.ok();
            }
        }
        self.environment.create_app(&self.root).await;
        self.register_probe().await;
        let epoch = self.epoch().await;
        self.note(format!("the app is created again, in epoch {epoch}"));
        self.environment.begin_epoch(epoch);
        self.history.create_again(epoch);
        self.fulls = FullReleases::new();
        self.newest = 0;
        // The deletion took the epoch that follows the one of the backup, so a restore within the hour would take it again.
        self.backup = None;
        self.tally.recreations += 1;
    }
}
