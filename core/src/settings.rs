//! Settings of the domain, with the documented defaults.

use chrono::TimeDelta;

use crate::SecretKey;
use crate::cdn::LogShipper;
use crate::webhook::WebhookSubscription;

/// Settings of the domain. `Settings::default()` holds the documented defaults; each field has a setter of its name:
///
/// ```
/// use pilothouse_core::Settings;
///
/// let settings = Settings::default().with_cdns(["level3"]).with_log_days(30);
/// assert_eq!((settings.log_days, settings.traffic_days), (30, 800));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Life of an access token: 12 hours.
    pub token_life: TimeDelta,
    /// The fewest characters of a password: 8.
    pub password_min_length: usize,
    /// The most tokens of one scope that an account has at a time, at least 1; one more ends the oldest: 100.
    pub tokens_per_account: usize,
    /// The most apps that an account without a grant on `all` may have grants on and still create one more: 1,000.
    pub apps_per_account: usize,
    /// The most nodes an app remembers, also those that went offline in the last 7 days: 20,000.
    pub nodes_per_app: usize,
    /// The names of the cdns that have a provider: none.
    pub cdns: Vec<String>,
    /// The zone of the times people read, in which days of logs begin: `Asia/Shanghai`.
    pub timezone: chrono_tz::Tz,
    /// Secret that keys are derived from: random, so that another process cannot read what this one signed.
    pub secret: SecretKey,
    /// Whether logs are read with a city database, without which there are no areas: false.
    pub geo_city_database: bool,
    /// Retention of kept log lines in days: 92.
    pub log_days: u32,
    /// Retention of traffic by city in days: 92.
    pub city_days: u32,
    /// Retention of traffic in days: 800.
    pub traffic_days: u32,
    /// Retention of the most requested URLs in days: 31.
    pub top_url_days: u32,
    /// Days for which lines of unregistered hosts are kept aside: 7.
    pub unregistered_days: u32,
    /// Time without an answer after which an own edge is an alarm: 60 s.
    pub edge_silent_after: TimeDelta,
    /// The edges that may ship their logs: none.
    pub log_shippers: Vec<LogShipper>,
    /// The profiles in which nobody approves their own change: none.
    pub four_eyes_profiles: Vec<String>,
    /// The webhooks, by name, and their events: none.
    pub webhooks: Vec<WebhookSubscription>,
    /// Whether a release that names all the nodes that are online is a full one: true.
    pub nodes_all_online_is_full: bool,
    /// The most bytes of a blob: 1 GiB.
    pub blob_max_bytes: i64,
    /// Version of the program, which operators are shown: empty.
    pub version: String,
    /// Commit of the program's sources, which operators are shown: empty.
    pub commit: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token_life: TimeDelta::hours(12),
            password_min_length: 8,
            tokens_per_account: 100,
            apps_per_account: 1_000,
            nodes_per_app: 20_000,
            cdns: Vec::new(),
            timezone: chrono_tz::Asia::Shanghai,
            secret: SecretKey::default(),
            geo_city_database: false,
            log_days: 92,
            city_days: 92,
            traffic_days: 800,
            top_url_days: 31,
            unregistered_days: 7,
            edge_silent_after: TimeDelta::seconds(60),
            log_shippers: Vec::new(),
            four_eyes_profiles: Vec::new(),
            webhooks: Vec::new(),
            nodes_all_online_is_full: true,
            blob_max_bytes: 1 << 30,
            version: String::new(),
            commit: String::new(),
        }
    }
}

impl Settings {
    /// Sets the life of an access token.
    #[must_use]
    pub fn with_token_life(mut self, token_life: TimeDelta) -> Self {
        self.token_life = token_life;
        self
    }

    /// Sets the least number of characters of a password, which has at most 1,024 bytes.
    #[must_use]
    pub fn with_password_min_length(mut self, characters: usize) -> Self {
        self.password_min_length = characters;
        self
    }

    /// Sets the most tokens of one scope that an account has at a time.
    #[must_use]
    pub fn with_tokens_per_account(mut self, tokens: usize) -> Self {
        self.tokens_per_account = tokens;
        self
    }

    /// Sets the most apps that an account without a grant on `all` may have grants on.
    #[must_use]
    pub fn with_apps_per_account(mut self, apps: usize) -> Self {
        self.apps_per_account = apps;
        self
    }

    /// Sets the most nodes that an app remembers.
    #[must_use]
    pub fn with_nodes_per_app(mut self, nodes: usize) -> Self {
        self.nodes_per_app = nodes;
        self
    }

    /// Sets the names of the cdns that have a provider.
    #[must_use]
    pub fn with_cdns(mut self, cdns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.cdns = cdns.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the zone of the times people read.
    #[must_use]
    pub fn with_timezone(mut self, timezone: chrono_tz::Tz) -> Self {
        self.timezone = timezone;
        self
    }

    /// Sets the secret that keys are derived from. Servers on one store need the same.
    #[must_use]
    pub fn with_secret(mut self, secret: SecretKey) -> Self {
        self.secret = secret;
        self
    }

    /// Sets whether logs are read with a city database.
    #[must_use]
    pub fn with_geo_city_database(mut self, available: bool) -> Self {
        self.geo_city_database = available;
        self
    }

    /// Sets the retention of kept log lines, in days.
    #[must_use]
    pub fn with_log_days(mut self, days: u32) -> Self {
        self.log_days = days;
        self
    }

    /// Sets the most bytes of a blob.
    #[must_use]
    pub fn with_blob_max_bytes(mut self, bytes: i64) -> Self {
        self.blob_max_bytes = bytes;
        self
    }

    /// Sets the retention of traffic by city, in days.
    #[must_use]
    pub fn with_city_days(mut self, days: u32) -> Self {
        self.city_days = days;
        self
    }

    /// Sets the retention of traffic, in days.
    #[must_use]
    pub fn with_traffic_days(mut self, days: u32) -> Self {
        self.traffic_days = days;
        self
    }

    /// Sets the retention of the most requested URLs, in days.
    #[must_use]
    pub fn with_top_url_days(mut self, days: u32) -> Self {
        self.top_url_days = days;
        self
    }

    /// Sets for how many days lines of unregistered hosts are kept aside.
    #[must_use]
    pub fn with_unregistered_days(mut self, days: u32) -> Self {
        self.unregistered_days = days;
        self
    }

    /// Sets the time without an answer after which an own edge is an alarm.
    #[must_use]
    pub fn with_edge_silent_after(mut self, time: TimeDelta) -> Self {
        self.edge_silent_after = time;
        self
    }

    /// Sets the edges that may ship their logs.
    #[must_use]
    pub fn with_log_shippers(mut self, shippers: Vec<LogShipper>) -> Self {
        self.log_shippers = shippers;
        self
    }

    /// Sets the profiles in which nobody approves their own change.
    #[must_use]
    pub fn with_four_eyes_profiles(mut self, profiles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.four_eyes_profiles = profiles.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the webhooks. What sends to them is set by [`crate::Pilothouse::with_webhook_sender`].
    #[must_use]
    pub fn with_webhooks(mut self, webhooks: Vec<WebhookSubscription>) -> Self {
        self.webhooks = webhooks;
        self
    }

    /// Sets version and commit of the program.
    #[must_use]
    pub fn with_build(mut self, version: impl Into<String>, commit: impl Into<String>) -> Self {
        self.version = version.into();
        self.commit = commit.into();
        self
    }

    /// Sets whether a release that names all the nodes that are online is a full one.
    #[must_use]
    pub fn with_nodes_all_online_is_full(mut self, full: bool) -> Self {
        self.nodes_all_online_is_full = full;
        self
    }
}
