//! What is kept of an app while its nodes ask for it: its view, and the nodes heard of. Nobody waits for the database
//! who asks what is known here.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::heard::AppFeed;
use super::key::AppSecret;
use super::node::{LEASE, NodeNumber};
use super::view::{MEMORY, View};
use super::{AppId, NodeFeed};
use crate::account::token_digest;
use crate::pilothouse::lock;
use crate::ports::Repositories;
use crate::{Error, Pilothouse, Result};

/// How long after it was renewed a lease is renewed again: a third of it.
const RENEW: TimeDelta = TimeDelta::seconds(5);

/// The feeds of a process.
#[derive(Debug, Default)]
pub(crate) struct FeedTable {
    loaded: Mutex<Loaded>,
    loading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Loaded {
    by_id: HashMap<AppId, Arc<AppFeed>>,
    by_name: HashMap<String, AppId>,
}

/// The feeds of apps, for those who deliver configuration.
#[derive(Clone, Copy, Debug)]
pub struct Feeds<'a>(pub(crate) &'a Pilothouse);

/// An app's configuration as its nodes get it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    pub(super) pilothouse: Pilothouse,
    pub(super) shared: Arc<AppFeed>,
}

impl<'a> Feeds<'a> {
    /// The feed of an app for whoever has one of its keys. A key of another app is [`Error::Forbidden`], whether or not
    /// there is such an app; one that is no key [`Error::Unauthenticated`].
    pub async fn open(&self, app: &str, key: &str) -> Result<Feed> {
        let digest = token_digest(key);
        let opens = |feed: &AppFeed| feed.view().keys().iter().any(|held| held.digest == digest);
        if let Some(shared) = self.loaded_by_name(app).filter(|feed| opens(feed)) {
            return Ok(self.feed(shared));
        }
        let found = self.0.storage().peek().await?.app_keys().app_by_digest(&digest).await?;
        let opened = found.ok_or(Error::Unauthenticated)?;
        let shared = self.load(opened).await?.ok_or(Error::Unauthenticated)?;
        if shared.name != app {
            return Err(Error::Forbidden);
        }
        Ok(self.feed(shared))
    }

    /// The feed of an app for whoever has signed with one of its keys: `signed` is asked about each. Also of an app
    /// without keys, where `unsigned`. [`Error::Unauthenticated`] else.
    pub async fn open_signed(
        &self,
        app: &str,
        unsigned: bool,
        signed: impl Fn(&AppSecret) -> bool,
    ) -> Result<Feed> {
        let feed = self.named(app).await?.ok_or(Error::Unauthenticated)?;
        let admits = |view: &View| unsigned && view.keys().is_empty() || view.keys().iter().any(&signed);
        if !admits(&feed.view()) {
            // The key may have been made on another server just now.
            self.reload(&feed.shared).await?;
            if !admits(&feed.view()) {
                return Err(Error::Unauthenticated);
            }
        }
        Ok(feed)
    }

    /// The feed of an app, for whoever may read it anyway.
    pub async fn named(&self, app: &str) -> Result<Option<Feed>> {
        if let Some(shared) = self.loaded_by_name(app) {
            return Ok(Some(self.feed(shared)));
        }
        let found = self.0.storage().peek().await?.apps().by_name(app).await?;
        let Some(found) = found else { return Ok(None) };
        Ok(self.load(found.id).await?.map(|shared| self.feed(shared)))
    }

    /// Ends all watches: what comes after begins anew. For a server that stops.
    pub fn end_watches(&self) {
        let ended: Vec<_> = {
            let mut loaded = lock(&self.table().loaded);
            loaded.by_name.clear();
            loaded.by_id.drain().map(|(_, feed)| feed).collect()
        };
        for feed in &ended {
            feed.end();
        }
    }

    /// Reads an app again if somebody asks for it here; after a commit, or when told that it changed. What fails is
    /// logged: the next poll tries again.
    pub(crate) async fn refresh(&self, app: AppId) {
        let Some(feed) = self.loaded(app) else { return };
        if let Err(error) = self.reload(&feed).await {
            tracing::warn!(app, error = &error as &dyn std::error::Error, "an app could not be read again");
        }
    }

    /// Looks whether anything changed, with two questions for all apps, and reads those again.
    pub(crate) async fn poll(&self) -> Result<()> {
        let feeds = self.all();
        if feeds.is_empty() {
            return Ok(());
        }
        let apps: Vec<AppId> = feeds.iter().map(|feed| feed.app).collect();
        let (revisions, mut keys): (HashMap<_, _>, HashMap<AppId, Vec<i64>>) = {
            let mut store = self.0.storage().peek().await?;
            let revisions = store.apps().revisions(&apps).await?.into_iter().collect();
            let mut keys: HashMap<AppId, Vec<i64>> = HashMap::new();
            for (app, key) in store.app_keys().ids(&apps).await? {
                keys.entry(app).or_default().push(key);
            }
            (revisions, keys)
        };
        for feed in feeds {
            let view = feed.view();
            let same_keys =
                view.keys().iter().map(|key| key.id).eq(keys.remove(&feed.app).unwrap_or_default());
            if revisions.get(&feed.app) != Some(&view.revision()) || !same_keys {
                self.reload(&feed).await?;
            }
        }
        Ok(())
    }

    /// The nodes whose lease should be renewed, which counts as done: where that is not of the last few seconds.
    pub(crate) fn due(self, now: DateTime<Utc>) -> Vec<NodeNumber> {
        let micros = |before: TimeDelta| (now - before).timestamp_micros();
        let mut due = Vec::new();
        for feed in self.all() {
            feed.due(micros(RENEW), micros(LEASE), now.timestamp_micros(), &mut due);
        }
        due
    }

    /// Wakes the watches of nodes that hold something else than they should.
    pub(crate) fn remind(self) {
        for feed in self.all() {
            feed.remind();
        }
    }

    /// Forgets nodes that were not heard since `before`: they are looked up again when they come back.
    pub(crate) fn tidy(self, before: DateTime<Utc>) {
        for feed in self.all() {
            feed.tidy(before.timestamp_micros());
        }
    }

    fn feed(self, shared: Arc<AppFeed>) -> Feed {
        Feed { pilothouse: self.0.clone(), shared }
    }

    fn table(self) -> &'a FeedTable {
        self.0.feed_table()
    }

    fn all(self) -> Vec<Arc<AppFeed>> {
        lock(&self.table().loaded).by_id.values().cloned().collect()
    }

    fn loaded(self, app: AppId) -> Option<Arc<AppFeed>> {
        lock(&self.table().loaded).by_id.get(&app).cloned()
    }

    fn loaded_by_name(self, app: &str) -> Option<Arc<AppFeed>> {
        let loaded = lock(&self.table().loaded);
        loaded.by_id.get(loaded.by_name.get(app)?).cloned()
    }

    /// The app's feed, up to date with keys; read for the first time by one of all who ask.
    async fn load(&self, app: AppId) -> Result<Option<Arc<AppFeed>>> {
        if let Some(feed) = self.loaded(app) {
            // Whoever comes here asks with a key that the view does not know.
            self.reload(&feed).await?;
            return Ok(self.loaded(app));
        }
        let _loading = self.table().loading.lock().await;
        if let Some(feed) = self.loaded(app) {
            return Ok(Some(feed));
        }
        let mut store = self.0.storage().read().await?;
        let Some(found) = store.apps().by_id(app).await? else { return Ok(None) };
        let view = self.read(&mut *store, &View::empty(app), found.revision).await?;
        let present = store.nodes().present(app).await?;
        drop(store);
        let feed = Arc::new(AppFeed::new(app, found.app.clone(), view));
        let now = self.0.clock().now();
        for (number, profile, node_id) in present {
            let node = feed.hear(&profile, &node_id, number, now, true);
            // It is registered, but has not been heard here so far.
            node.renewed.store(0, Ordering::Relaxed);
            node.heard.store(0, Ordering::Relaxed);
        }
        let mut loaded = lock(&self.table().loaded);
        loaded.by_name.insert(found.app, app);
        loaded.by_id.insert(app, feed.clone());
        Ok(Some(feed))
    }

    /// Reads an app again, once for all who asked before that began.
    pub(super) async fn reload(&self, feed: &Arc<AppFeed>) -> Result<()> {
        feed.reloading.run(self.read_again(feed)).await
    }

    async fn read_again(&self, feed: &Arc<AppFeed>) -> Result<()> {
        let mut store = self.0.storage().read().await?;
        let Some(found) = store.apps().by_id(feed.app).await? else {
            drop(store);
            let mut loaded = lock(&self.table().loaded);
            loaded.by_id.remove(&feed.app);
            loaded.by_name.retain(|_, app| *app != feed.app);
            drop(loaded);
            feed.end();
            return Ok(());
        };
        let old = feed.view();
        let view = if found.revision < old.revision() {
            // A restored backup: what is known is of a future that is no more.
            self.read(&mut *store, &View::empty(feed.app), found.revision).await?
        } else {
            self.read(&mut *store, &old, found.revision).await?
        };
        drop(store);
        if view.revision() != old.revision() || view.keys() != old.keys() {
            feed.views.send_replace(Arc::new(view));
        }
        Ok(())
    }

    /// The view at `revision` that follows an older or an empty one.
    async fn read(&self, store: &mut dyn Repositories, old: &View, revision: i64) -> Result<View> {
        let app = old.app();
        let keys = store.app_keys().of_app(app).await?;
        let secret = &self.0.settings().secret;
        let keys = keys.iter().map(|key| AppSecret::of(secret, key)).collect();
        let news = match old.revision() {
            0 => store.releases().since(app, revision - MEMORY, true).await?,
            known if known == revision => Vec::new(),
            known => store.releases().since(app, known, false).await?,
        };
        Ok(old.next(revision, keys, news))
    }
}

impl Feed {
    /// The app.
    pub fn app(&self) -> AppId {
        self.shared.app
    }

    /// The app's name on the wire.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The present view of this server.
    pub fn view(&self) -> Arc<View> {
        self.shared.view()
    }

    /// A view of at least `revision`, where the store has one: whoever knows more than this server does not get old news.
    pub async fn view_at(&self, revision: i64) -> Result<Arc<View>> {
        if self.view().revision() < revision {
            self.pilothouse.feeds().reload(&self.shared).await?;
        }
        Ok(self.view())
    }

    /// Every view that follows, and when there is one. To wait without missing one, subscribe before looking.
    pub fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.shared.subscribe()
    }

    /// Whether nothing will follow: the app was deleted, or the server stops.
    pub fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }

    /// The feed of a node that is registered; [`Error::NotFound`] of any other.
    pub async fn node(&self, profile: &str, node_id: &str) -> Result<NodeFeed> {
        super::app::check_identifier("profile", profile)?;
        super::node::check_node_id("nodeId", node_id)?;
        let now = self.pilothouse.clock().now();
        if let Some(node) = self.shared.heard(profile, node_id) {
            node.heard.store(now.timestamp_micros(), Ordering::Relaxed);
            return Ok(NodeFeed::new(self.clone(), profile, node_id, node));
        }
        // It may have registered with another server.
        let found =
            self.pilothouse.storage().peek().await?.nodes().find(self.app(), profile, node_id).await?;
        let found = found.filter(|node| !node.left);
        let found = found.ok_or_else(|| Error::not_found("the node"))?;
        let node = self.shared.hear(profile, node_id, found.number, now, false);
        Ok(NodeFeed::new(self.clone(), profile, node_id, node))
    }
}
