//! Server behind a URL: reads profiles, and applies changes to them.

use std::time::Duration;

use pilothouse_core::error_chain;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::difference::Change;
use super::folder::FolderProfile;
use crate::args::Apply;
use crate::authorities::trusting;
use crate::failure::Failure;

/// Time limit of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of a call and its answer.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Client of a server, with an account's token.
pub(super) struct HttpConfigServer {
    http: Client,
    url: Url,
}

/// A config as it stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) description: String,
    pub(super) version: i64,
}

/// Answer of an apply.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Applied {
    pub(super) change_set: i64,
    changes: Vec<AppliedChange>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AppliedChange {
    key: String,
    error: String,
}

impl Applied {
    /// Refuses a profile of which something cannot be changed, by the names of the keys.
    pub(super) fn refuse_errors(&self, profile: &FolderProfile) -> Result<(), Failure> {
        let errors = self.changes.iter().filter(|change| !change.error.is_empty());
        let errors: Vec<_> = errors.map(|change| format!("{}: {}", change.key, change.error)).collect();
        if errors.is_empty() {
            return Ok(());
        }
        let FolderProfile { app, profile, .. } = profile;
        Err(Failure::died(format!("{app}/{profile} cannot be changed:\n  {}", errors.join("\n  "))))
    }
}

impl HttpConfigServer {
    /// Reads the token and the authorities, and refuses a URL that cannot be a server's. Asks nothing yet.
    pub(super) fn new(options: &Apply) -> Result<Self, Failure> {
        let token = options.token.read("--token")?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Failure::usage("--token: must be a valid header value"))?;
        authorization.set_sensitive(true);
        let http = Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("pilothouse/", env!("CARGO_PKG_VERSION")));
        let http = trusting(http, options.ca.as_deref())?;
        let http = http.build().map_err(|error| Failure::failed("--ca", error))?;
        let refused = || {
            let url = &options.url;
            Failure::usage(format!("--url: {url:?} must be http:// or https://, a host and perhaps a path"))
        };
        let url = Url::parse(&options.url).map_err(|_| refused())?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
            return Err(refused());
        }
        Ok(Self { http, url })
    }

    /// The configs of a profile; none where it is not there yet.
    pub(super) async fn items(&self, profile: &FolderProfile) -> Result<Vec<Item>, Failure> {
        let FolderProfile { app, profile, .. } = profile;
        self.call("config/query", app, &json!({ "app": app, "profile": profile })).await
    }

    /// Applies changes of a profile, or tries them.
    pub(super) async fn apply(
        &self,
        profile: &FolderProfile,
        changes: &[Change],
        dry_run: bool,
    ) -> Result<Applied, Failure> {
        let FolderProfile { app, profile, .. } = profile;
        let body = json!({
            "app": app, "profile": profile, "changes": changes, "dryRun": dry_run, "title": "pilothouse apply",
        });
        self.call("config/apply", &format!("{app}/{profile}"), &body).await
    }

    /// Calls an operation of the config family. `what` it is about is named in failures.
    async fn call<T: DeserializeOwned>(&self, path: &str, what: &str, body: &Value) -> Result<T, Failure> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            code: i64,
            msg: String,
            data: Option<T>,
        }
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        let body = serde_json::to_vec(body).map_err(|error| Failure::failed(what, error))?;
        let request = self.http.post(url).header("content-type", "application/json").body(body);
        let failed =
            |error: reqwest::Error| Failure::died(format!("{what}: {}", error_chain(&error.without_url())));
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(failed)?;
        match serde_json::from_slice(&bytes) {
            Ok(Envelope { code: 0, data: Some(data), .. }) if status == StatusCode::OK => Ok(data),
            Ok(Envelope { code: 3, .. }) => {
                Err(Failure::died(format!("{what}: the token is unknown to the server, or has expired")))
            }
            Ok(Envelope { code: 4, .. }) => {
                Err(Failure::died(format!("{what}: the token's account may not change it")))
            }
            Ok(Envelope { msg, .. }) => Err(Failure::died(format!("{what}: {msg}"))),
            Err(_) => {
                let code = status.as_u16();
                let why = format!("HTTP {code}, which is no answer of Pilothouse: is --url right?");
                Err(Failure::died(format!("{what}: {why}")))
            }
        }
    }
}
