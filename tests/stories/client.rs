//! Calls on one server, or on several in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::place::{PASSWORD, Server};

/// A caller. Clones share the turn, and differ in nothing until one logs in.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    servers: Arc<[String]>,
    turn: Arc<AtomicUsize>,
    token: String,
    address: Option<String>,
}

/// What a call was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer that says of itself that all is well.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.is_ok(), "{self:?}");
        self.body
    }

    /// Whether it says of itself that all is well.
    pub(crate) fn is_ok(&self) -> bool {
        matches!(self.codes(), (200, 0 | 200))
    }

    /// HTTP status, and the code in the envelope of whichever family.
    pub(crate) fn codes(&self) -> (u16, i64) {
        let code = self.body.get("code").or_else(|| self.body.get("err"));
        (self.status, code.and_then(Value::as_i64).unwrap_or(-1))
    }
}

impl Client {
    /// Nobody yet. Each call goes to the next of these servers.
    pub(crate) fn new(servers: &[&Server]) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            servers: servers.iter().map(|server| server.url()).collect(),
            turn: Arc::default(),
            token: String::new(),
            address: None,
        }
    }

    /// The same caller, who says to be a proxy for `address`.
    pub(crate) fn from(&self, address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..self.clone() }
    }

    /// The same caller with that token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Sends a call; fails where no answer arrives.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let server = &self.servers[self.turn.fetch_add(1, Ordering::Relaxed) % self.servers.len()];
        let mut request = self.http.request(method.parse().unwrap(), format!("{server}{path}"));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(address) = &self.address {
            request = request.header("x-forwarded-for", address);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok(Answer { status, body: answer.json().await? })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(&body)).await.unwrap()
    }

    /// Tries to log in to the whole account.
    pub(crate) async fn try_login(&self, name: &str, password: &str) -> Answer {
        self.post("/admin/user_login", json!({"name": name, "password": password})).await
    }

    /// The same caller as that account.
    pub(crate) async fn login(&self, name: &str) -> Self {
        let access = self.try_login(name, PASSWORD).await.ok();
        self.with_token(access["info"]["access_token"].as_str().unwrap())
    }

    /// Adds a task told apart by its description.
    pub(crate) async fn add_task(&self, description: &str) -> reqwest::Result<Answer> {
        let data = json!({"ip": "::1", "action": "update", "content": "/a", "description": description});
        self.send("POST", "/api/task", Some(&json!({"action": "add", "data": data}))).await
    }

    /// Every row of a list in pages, by id.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let (mut rows, mut start) = (Vec::new(), 0);
        loop {
            let page = self.get(&format!("{path}?start={start}&count=1000")).await.ok();
            let page = page["info"].as_array().unwrap();
            let Some(last) = page.last() else { return rows };
            start = last["id"].as_i64().unwrap() + 1;
            rows.extend_from_slice(page);
        }
    }
}
