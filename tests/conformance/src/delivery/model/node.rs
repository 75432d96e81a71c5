//! Nodes of the simulation: they join, leave, restart, connect, and ask for their whole configuration.

use pilothouse_core::config::{AckResult, NewNode, Report};

use super::Simulation;
use super::expected::Client;

impl Simulation<'_> {
    async fn register(&mut self, node: &str) {
        let server = self.any_server();
        let session = self.session(&server).await;
        let new = NewNode { profile: "dev".into(), node_id: Some(node.to_owned()), ..NewNode::default() };
        session.register(new).await.unwrap();
        self.clients.entry(node.to_owned()).or_default().is_registered = true;
    }

    /// Registers a node that left, or a new one, and connects it.
    pub(super) async fn join(&mut self) {
        let back =
            self.clients.iter().find(|(_, client)| !client.is_registered).map(|(node, _)| node.clone());
        let node = back.unwrap_or_else(|| format!("node-{}", self.clients.len()));
        self.log.push(format!("{node} joins"));
        self.register(&node).await;
        self.connect_node(&node).await;
    }

    pub(super) async fn leave(&mut self) {
        let Some(node) = self.some_node() else { return };
        let server = self.any_server();
        let session = self.session(&server).await;
        session.node("dev", &node).await.unwrap().leave().await.unwrap();
        self.log.push(format!("{node} leaves"));
        self.clients.insert(node, Client::default());
    }

    /// Restarts a node, which may lose its configuration and register again.
    pub(super) async fn restart_node(&mut self) {
        let Some(node) = self.some_node() else { return };
        let forgets = self.random.bool();
        let client = self.clients.get_mut(&node).unwrap();
        client.watch = None;
        if forgets {
            client.versions.clear();
            client.revision = 0;
            self.register(&node).await;
        }
        self.log.push(format!("{node} restarts, forgets: {forgets}"));
    }

    pub(super) async fn connect(&mut self) {
        if let Some(node) = self.some_node() {
            self.connect_node(&node).await;
        }
    }

    async fn connect_node(&mut self, node: &str) {
        let server = self.any_server();
        let client = &self.clients[node];
        let watch = self.session(&server).await.node("dev", node).await.unwrap();
        let watch = watch.watch(client.revision).await.unwrap();
        self.log.push(format!("{node} watches from {}", client.revision));
        self.clients.get_mut(node).unwrap().watch = Some(watch);
    }

    /// Fetches the whole configuration of a node, and acknowledges it.
    pub(super) async fn config(&mut self) {
        let Some(node) = self.some_node() else { return };
        let server = self.any_server();
        let session = self.session(&server).await.node("dev", &node).await.unwrap();
        let known = self.clients[&node].revision;
        let config = session.config(known).await.unwrap();
        let client = self.clients.get_mut(&node).unwrap();
        client.versions.clear();
        client.watch = None;
        self.apply(&node, &config.delta);
        let versions = &self.clients[&node].versions;
        let report = |(key, version): (&String, &i64)| Report {
            key: key.clone(),
            version: *version,
            result: AckResult::Applied,
            message: String::new(),
        };
        session.ack(versions.iter().map(report).collect()).await.unwrap();
    }

    fn some_node(&mut self) -> Option<String> {
        let registered: Vec<_> =
            self.clients.iter().filter(|(_, client)| client.is_registered).map(|(node, _)| node).collect();
        self.random.choice(registered).cloned()
    }
}
