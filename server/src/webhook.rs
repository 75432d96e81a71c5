//! Webhooks: their settings, and the HTTP client that posts signed deliveries to their receivers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use pilothouse_cdn_providers::SecretSource;
use pilothouse_core::ports::{WebhookError, WebhookSender};
use pilothouse_core::webhook::{EventKind, WebhookDelivery, WebhookSubscription};
use pilothouse_core::{Error, Result, SecretKey, check_text, error_chain};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use serde::{Deserialize, Deserializer};
use sha2::Sha256;
use url::Url;

/// Time limit of one attempt, from connecting to the head of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which an idle connection is kept: less than most servers keep it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Settings of one webhook.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookSettings {
    name: String,
    url: String,
    secret: SecretSource,
    /// Every event by default.
    #[serde(default = "every_event")]
    events: Vec<Event>,
}

/// Event in the settings, by its name on the wire.
#[derive(Clone, Copy, Debug)]
struct Event(EventKind);

fn every_event() -> Vec<Event> {
    EventKind::ALL.map(Event).into()
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let kind = name.parse::<EventKind>().map(Self);
        kind.map_err(|why| serde::de::Error::custom(format!("webhook.events: {why}")))
    }
}

impl WebhookSettings {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Name and events, as the domain needs them.
    pub(crate) fn subscription(&self) -> WebhookSubscription {
        let events = self.events.iter().map(|event| event.0).collect();
        WebhookSubscription { name: self.name.clone(), events }
    }

    /// Refuses settings outside their limits, and a secret that cannot be read. Asks nobody.
    pub(crate) fn receiver(&self) -> Result<Receiver> {
        check_text("webhook.name", &self.name, 1, 64, false)?;
        let name = &self.name;
        if self.events.is_empty() {
            return Err(Error::invalid("webhook.events", format!("of {name} must not be empty")));
        }
        let is_receiver = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.host().is_some()
                && url.username().is_empty()
                && url.password().is_none()
        };
        let Some(url) = Url::parse(&self.url).ok().filter(is_receiver) else {
            let reason = format!("of {name} must be http:// or https:// with a host, without a password");
            return Err(Error::invalid("webhook.url", reason));
        };
        let secret = self.secret.read("webhook.secret")?;
        if secret.len() < SecretKey::MIN_BYTES {
            let reason = format!("of {name} must be at least {} bytes", SecretKey::MIN_BYTES);
            return Err(Error::invalid("webhook.secret", reason));
        }
        let key = Hmac::new_from_slice(secret.as_bytes())
            .map_err(|error| Error::invalid("webhook.secret", error.to_string()))?;
        Ok(Receiver { url, key })
    }
}

/// Receiver of one webhook's events.
pub(crate) struct Receiver {
    url: Url,
    key: Hmac<Sha256>,
}

impl fmt::Debug for Receiver {
    /// Without the URL, which may hold a secret of the receiver's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver(..)")
    }
}

impl Receiver {
    /// HMAC-SHA256 over `time.body`, in hexadecimal digits.
    fn sign(&self, time: i64, body: &str) -> String {
        let mut mac = self.key.clone();
        mac.update(format!("{time}.{body}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// HTTP client of the receivers. It goes to them directly, and follows no redirects.
#[derive(Debug)]
pub(crate) struct WebhookClient {
    http: Client,
    receivers: BTreeMap<String, Receiver>,
}

impl WebhookClient {
    /// Creates the client. Refuses invalid settings, and two webhooks of one name.
    pub(crate) fn new(settings: &[WebhookSettings]) -> Result<Self> {
        // Fails where a provider was chosen already, which then counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(Policy::none())
            .http1_only()
            .user_agent(concat!("pilothouse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Unavailable(format!("no HTTP client: {error}")))?;
        let mut receivers = BTreeMap::new();
        for webhook in settings {
            if receivers.insert(webhook.name.clone(), webhook.receiver()?).is_some() {
                return Err(Error::invalid("webhook.name", format!("{} is given twice", webhook.name)));
            }
        }
        Ok(Self { http, receivers })
    }
}

#[async_trait]
impl WebhookSender for WebhookClient {
    async fn send(&self, delivery: &WebhookDelivery, time: DateTime<Utc>) -> Result<(), WebhookError> {
        let receiver = self.receivers.get(&delivery.webhook);
        let receiver = receiver.ok_or_else(|| WebhookError("there is no such webhook".to_owned()))?;
        let time = time.timestamp();
        let signature = receiver.sign(time, &delivery.body);
        let request = self
            .http
            .post(receiver.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("x-pilothouse-event", &delivery.event)
            .header("x-pilothouse-delivery", &delivery.key)
            .header("x-pilothouse-time", time)
            .header("x-pilothouse-signature", format!("sha256={signature}"))
            .body(delivery.body.clone());
        let answer = request.send().await.map_err(|error| WebhookError(error_chain(&error.without_url())))?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(WebhookError(format!("the receiver answered {}", answer.status().as_u16())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &str) -> String {
        let secret = format!("secret = \"file:{}\"", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let read = toml::from_str::<WebhookSettings>(&settings.replace("SECRET", &secret));
        match read {
            Ok(settings) => WebhookClient::new(&[settings.clone(), settings]).unwrap_err().to_string(),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let url = "url = \"https://example.com/hook?x\"";
        for (settings, expected) in [
            (format!("name = \"x\"\n{url}\nSECRET"), "webhook.name: x is given twice"),
            (format!("name = \"\"\n{url}\nSECRET"), "webhook.name: "),
            (format!("name = \"x\"\n{url}\nSECRET\nevents = []"), "webhook.events: of x must not be empty"),
            (format!("name = \"x\"\n{url}\nSECRET\nevents = [\"y\"]"), "webhook.events: there is no event y"),
            (format!("name = \"x\"\n{url}\nSECRET\nretries = 1"), "unknown field `retries`"),
            (format!("name = \"x\"\n{url}\nsecret = \"file:/nowhere\""), "webhook.secret: /nowhere: "),
            (format!("name = \"x\"\n{url}\nsecret = \"hunter2\""), "must be env:NAME or file:PATH"),
            (
                "name = \"x\"\nurl = \"ftp://example.com\"\nSECRET".to_owned(),
                "webhook.url: of x must be http",
            ),
            ("name = \"x\"\nurl = \"http://a:b@c\"\nSECRET".to_owned(), "webhook.url: of x must be http"),
        ] {
            let why = refused(&settings);
            assert!(why.starts_with(expected), "{settings}: {why}");
        }
    }
}
