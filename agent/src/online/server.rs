//! HTTP client of the server, one call at a time.

use std::path::Path;
use std::time::Duration;

use reqwest::header::RANGE;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};
use crate::settings::Settings;

/// Time limit of a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Time limit of a call; a poll is held for up to 50 s more.
const CALL: Duration = Duration::from_secs(20);
/// The longest silence within an answer.
const SILENCE: Duration = Duration::from_secs(70);

/// Failure of a call.
#[derive(Debug)]
pub(super) enum CallError {
    /// The server said no, and will say so again: the status and its words.
    Refused(StatusCode, String),
    /// No answer, or one that another attempt may change.
    Unavailable(String),
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(status, why) => Self::Server(format!("the server refuses: {status}: {why}")),
            CallError::Unavailable(why) => Self::Server(format!("the server is not available: {why}")),
        }
    }
}

/// Server of the settings.
#[derive(Debug)]
pub(super) struct Server {
    base: String,
    http: Client,
    runtime: Runtime,
    token: String,
}

impl Server {
    /// Client with a token, which is empty before the enrolment. Redirects are not followed: the token is for this server.
    pub(super) fn new(settings: &Settings, token: &str) -> Result<Self> {
        let base = settings.server.as_deref();
        let base = base.ok_or_else(|| Error::Settings("`server` is not set in the settings".to_owned()))?;
        // Fails where a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http =
            Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).redirect(Policy::none());
        if let Some(file) = &settings.ca_file {
            http = http.tls_certs_only(authorities(file)?);
        }
        let failed = |error: String| Error::Settings(format!("HTTP client: {error}"));
        let http = http.build().map_err(|error| failed(error.to_string()))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http, runtime, token: token.to_owned() })
    }

    /// Posts JSON and reads the `info` of the answer; `None` for an answer without content. `hold` is for how long the
    /// server may hold it.
    pub(super) fn post(&self, path: &str, body: &Value, hold: Duration) -> Result<Option<Value>, CallError> {
        self.runtime.block_on(async {
            let request = self.http.post(format!("{}{path}", self.base)).json(body).timeout(CALL + hold);
            let answer = request.bearer_auth(&self.token).send().await.map_err(unavailable)?;
            if answer.status() == StatusCode::NO_CONTENT {
                return Ok(None);
            }
            let answer = successful(answer).await?;
            let mut body: Value = answer.json().await.map_err(unavailable)?;
            Ok(Some(body["info"].take()))
        })
    }

    /// Begins the download of a content at an offset.
    pub(super) fn content(&self, sha256: &str, offset: u64) -> Result<Response, CallError> {
        self.runtime.block_on(async {
            let mut request = self.http.get(format!("{}/api/agent/blob/{sha256}", self.base));
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            successful(request.bearer_auth(&self.token).send().await.map_err(unavailable)?).await
        })
    }

    /// Whether the server accepts the token. It is asked for a content that no order names, which changes nothing there.
    pub(super) fn accepts_token(&self) -> Result<bool, CallError> {
        self.runtime.block_on(async {
            let request = self.http.get(format!("{}/api/agent/blob/{}", self.base, "0".repeat(64)));
            let answer = request.bearer_auth(&self.token).timeout(CALL).send().await.map_err(unavailable)?;
            let status = answer.status();
            let body: Value = answer.json().await.unwrap_or_default();
            match status {
                // What is no Pilothouse answers so, too, but not with its envelope.
                StatusCode::NOT_FOUND if body["code"] == 404 => Ok(true),
                StatusCode::FORBIDDEN if body["code"] == 403 => Ok(false),
                _ => Err(CallError::Unavailable(format!("{status}, which no agent is answered"))),
            }
        })
    }

    /// Next bytes of a download; `None` at its end.
    pub(super) fn chunk(&self, response: &mut Response) -> Result<Option<Vec<u8>>, CallError> {
        let chunk = self.runtime.block_on(response.chunk()).map_err(unavailable)?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }
}

async fn successful(answer: Response) -> Result<Response, CallError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.bytes().await.unwrap_or_default();
    let told = serde_json::from_slice::<Value>(&body).ok();
    let why = told.as_ref().and_then(|body| body["info"].as_str()).unwrap_or("without a reason").to_owned();
    let may_pass = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    Err(if may_pass {
        CallError::Unavailable(format!("{status}: {why}"))
    } else {
        CallError::Refused(status, why)
    })
}

fn unavailable(error: reqwest::Error) -> CallError {
    use std::error::Error as _;
    // The URL says nothing new.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    CallError::Unavailable(text)
}

fn authorities(file: &Path) -> Result<Vec<Certificate>> {
    let wrong = |why: String| Error::Settings(format!("ca_file {}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(authorities) if !authorities.is_empty() => Ok(authorities),
        Ok(_) => Err(wrong("holds no certificate".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}
