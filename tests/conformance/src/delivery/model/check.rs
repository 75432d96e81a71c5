//! Checks of the simulation: every answer to a node against what was released at that revision.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use pilothouse_core::Epoch;
use pilothouse_core::config::ConfigDelta;

use super::Simulation;

impl Simulation<'_> {
    /// Reads every open watch until it has nothing ready.
    pub(super) fn listen(&mut self) {
        let nodes: Vec<_> = self.clients.keys().cloned().collect();
        for node in nodes {
            while let Some(watch) = &mut self.clients.get_mut(&node).unwrap().watch {
                let Some(delta) = watch.next().now_or_never() else { break };
                let Some(delta) = delta else { panic!("the watch of {node} ended") };
                let client = &self.clients[&node];
                let new = |key: &str, version: i64| client.versions.get(key) != Some(&version);
                assert!(
                    delta.items.iter().all(|item| new(&item.key, item.version)),
                    "{node} is sent again what it has: {delta:?}"
                );
                self.apply(&node, &delta);
            }
        }
    }

    /// Applies an answer to a node, which has then the versions meant for it at that revision. Revisions do not decrease.
    pub(super) fn apply(&mut self, node: &str, delta: &ConfigDelta) {
        let client = self.clients.get_mut(node).unwrap();
        self.log.push(format!("{node} is sent {delta:?}"));
        assert!(delta.revision >= client.revision, "{node} went back from {}", client.revision);
        for item in &delta.items {
            assert_eq!(self.values[&(item.key.to_string(), item.version)], *item.value);
            client.versions.insert(item.key.to_string(), item.version);
        }
        for key in &delta.removed {
            assert!(client.versions.remove(&**key).is_some(), "{node} does not have {key}");
        }
        client.revision = delta.revision;
        let released = &self.released[usize::try_from(Epoch::number_of(delta.revision)).unwrap()];
        assert_eq!(client.versions, released.for_node(node), "{node} at {}", delta.revision);
    }

    /// Compares every node with the model in the end, by watch and by fetch, on every server.
    pub(super) async fn settle(&mut self) {
        let servers = self.servers.clone();
        let last = self.released.len() - 1;
        for server in &servers {
            let session = self.session(server).await;
            assert_eq!(Epoch::number_of(session.snapshot().revision()), i64::try_from(last).unwrap());
            for (node, client) in &self.clients {
                if client.watch.is_some() {
                    assert_eq!(client.versions, self.latest().for_node(node), "{node} in the end");
                }
                let config = session.snapshot().node_config("dev", node);
                let versions: BTreeMap<_, _> =
                    config.delta.items.iter().map(|item| (item.key.to_string(), item.version)).collect();
                assert_eq!(versions, self.latest().for_node(node), "{node} by config");
            }
        }
        for server in servers {
            let nodes: Vec<_> =
                self.clients.keys().filter(|node| self.clients[*node].is_registered).cloned().collect();
            for node in nodes {
                let session = self.session(&server).await.node("dev", &node).await.unwrap();
                let watch = session.watch(self.clients[&node].revision).await.unwrap();
                self.clients.get_mut(&node).unwrap().watch = Some(watch);
                self.listen();
                assert_eq!(self.clients[&node].versions, self.latest().for_node(&node), "{node} back again");
            }
        }
    }
}
