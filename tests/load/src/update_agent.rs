//! Agents of the load generator: they wait for orders in a long poll, download what is new, and report success at once.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::http::{Connection, Response, Result};
use crate::server::Endpoint;

/// The longest wait of a poll in seconds.
const WAIT: u32 = 50;
const JSON: &str = "content-type: application/json\r\n";

/// Order that an agent has carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CarriedOut {
    /// Time at which the order arrived.
    pub(crate) picked_up: Instant,
    /// Time at which its content was there.
    pub(crate) downloaded: Instant,
}

/// Enrolled agent.
#[derive(Debug)]
pub(crate) struct UpdateAgent {
    name: String,
    token: String,
    /// Hash of the content that it has already, and does not download.
    pub(crate) known: String,
}

impl UpdateAgent {
    /// Enrols the agent of a machine; `root` makes the code.
    pub(crate) async fn enroll(root: &mut Connection, name: &str, known: &str) -> Result<Self> {
        let enroll = json!({"action": "enroll", "data": {"machine_name": name}});
        let code = root.post("/api/machine_info", &enroll).await?["code"].clone();
        let facts = json!({"hostname": name, "version": "0.1.0"});
        let enrolled = root.post("/api/agent/enroll", &json!({"code": code, "facts": facts})).await?;
        let token = enrolled["token"].as_str().ok_or("no token of the agent")?.to_owned();
        Ok(Self { name: name.to_owned(), token, known: known.to_owned() })
    }

    /// Connects to the server, which answers a first poll.
    pub(crate) async fn connect(self, server: Endpoint) -> Result<ConnectedAgent> {
        let connection = server.open(&format!("authorization: Bearer {}\r\n", self.token)).await?;
        let mut agent = ConnectedAgent { agent: self, connection };
        let answer = agent.poll(0, 0).await?;
        if answer.status() != "204" {
            return Err(format!("first poll: {}{}", answer.head, answer.body).into());
        }
        Ok(agent)
    }
}

/// Agent with its connection.
#[derive(Debug)]
pub(crate) struct ConnectedAgent {
    agent: UpdateAgent,
    connection: Connection,
}

impl ConnectedAgent {
    async fn poll(&mut self, seq: u64, wait: u32) -> Result<Response> {
        let poll = json!({"instance": self.agent.name, "boot": "load", "seq": seq, "wait": wait});
        self.connection.call("POST", "/api/agent/poll", JSON, &poll.to_string()).await
    }

    /// Carries out orders until something fails, which is told too.
    pub(crate) async fn run(mut self, done: UnboundedSender<Result<CarriedOut>>) {
        if let Err(error) = self.work(&done).await {
            let _ = done.send(Err(error));
        }
    }

    async fn work(&mut self, done: &UnboundedSender<Result<CarriedOut>>) -> Result<()> {
        for seq in 1_u64.. {
            let answer = self.poll(seq, WAIT).await?;
            if answer.status() == "204" {
                continue;
            }
            let picked_up = Instant::now();
            let order = serde_json::from_str::<Value>(&answer.body)?["info"].take();
            let sha256 = order["sha256"].as_str().ok_or_else(|| answer.body.clone())?;
            if sha256 != self.agent.known {
                let target = format!("/api/agent/blob/{sha256}");
                let length = self.connection.download(&target).await?;
                if order["size"] != length {
                    return Err(format!("{length} bytes came, not {}", order["size"]).into());
                }
            }
            let downloaded = Instant::now();
            let result =
                json!({"state": "succeeded", "old_sha256": null, "new_sha256": sha256, "changed": true});
            let report = json!({
                "task_id": order["task_id"], "attempt": order["attempt"], "seq": 1, "phase": "confirm",
                "percent": 99, "observed_sha256": sha256, "result": result,
            });
            self.connection.post("/api/agent/report", &report).await?;
            done.send(Ok(CarriedOut { picked_up, downloaded }))?;
        }
        Ok(())
    }
}
