//! API client of one server, or of several in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::installation::{PASSWORD, TestServer};

/// An API client with a token. Clones share the turn among the servers.
#[derive(Clone)]
pub(crate) struct ApiClient {
    http: reqwest::Client,
    servers: Arc<[String]>,
    turn: Arc<AtomicUsize>,
    token: String,
    address: Option<String>,
}

/// The answer to a call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a successful answer.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.is_ok(), "{self:?}");
        self.body
    }

    /// Whether status and code report success.
    pub(crate) fn is_ok(&self) -> bool {
        matches!(self.codes(), (200, 0 | 200))
    }

    /// Whether the store had no time for the call, and nothing was done.
    pub(crate) fn is_overload(&self) -> bool {
        self.status == 503 && self.body["done"] == "no"
    }

    /// HTTP status, and the code in the envelope of the family.
    pub(crate) fn codes(&self) -> (u16, i64) {
        let code = self.body.get("code").or_else(|| self.body.get("err"));
        (self.status, code.and_then(Value::as_i64).unwrap_or(-1))
    }
}

impl ApiClient {
    /// A client without a token. Each call goes to the next of these servers.
    pub(crate) fn new(servers: &[&TestServer]) -> Self {
        Self {
            http: crate::support::http_client().build().unwrap(),
            servers: servers.iter().map(|server| server.url()).collect(),
            turn: Arc::default(),
            token: String::new(),
            address: None,
        }
    }

    /// The same client, as a proxy that forwards for `address`.
    pub(crate) fn from(&self, address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..self.clone() }
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The token it is logged in with.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Sends a call; fails when no answer arrives.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    /// Sends a body of some content type.
    pub(crate) async fn body(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        let request = self.request(method, path).header("content-type", content_type);
        answer(request.body(body.to_owned())).await.unwrap()
    }

    /// Posts a file, as it is.
    pub(crate) async fn octets(&self, path: &str, file: Vec<u8>) -> Answer {
        let request = self.request("POST", path).header("content-type", "application/octet-stream");
        answer(request.body(file)).await.unwrap()
    }

    /// Sends a form, as it is.
    pub(crate) async fn form(&self, method: &str, path: &str, form: &str) -> Answer {
        self.body(method, path, "application/x-www-form-urlencoded", form).await
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let server = &self.servers[self.turn.fetch_add(1, Ordering::Relaxed) % self.servers.len()];
        let mut request = self.http.request(method.parse().unwrap(), format!("{server}{path}"));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(address) = &self.address {
            request = request.header("x-forwarded-for", address);
        }
        request
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

    /// Logs in to the account API; the answer.
    pub(crate) async fn try_login(&self, name: &str, password: &str) -> Answer {
        self.post("/admin/user_login", json!({"name": name, "password": password})).await
    }

    /// The same client, logged in as an account.
    pub(crate) async fn login(&self, name: &str) -> Self {
        let access = self.try_login(name, PASSWORD).await.ok();
        self.with_token(access["info"]["access_token"].as_str().unwrap())
    }

    /// Adds a task with a description.
    pub(crate) async fn add_task(&self, description: &str) -> reqwest::Result<Answer> {
        let data = json!({"ip": "::1", "action": "update", "content": "/a", "description": description});
        self.send("POST", "/api/task", Some(&json!({"action": "add", "data": data}))).await
    }

    /// Every row of a paged list, by id.
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

async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok(Answer { status, body: answer.json().await? })
}
