//! What is kept of an app while its nodes ask for it: its view, and the nodes heard of. Nobody waits for the database
//! who asks what is known here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use super::key::AppSecret;
use super::node::NodeNumber;
use super::view::{MEMORY, View};
use super::{AppId, NodeFeed};
use crate::account::token_digest;
use crate::pilothouse::lock;
use crate::ports::Repositories;
use crate::shared::Shared;
use crate::{Error, Pilothouse, Result};

/// How often a node is told again that it holds something else than it should, at the most: microseconds.
const REMIND: i64 = 5_000_000;

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

/// What all feeds of an app share.
#[derive(Debug)]
pub(super) struct AppFeed {
    pub(super) app: AppId,
    pub(super) name: String,
    views: watch::Sender<Arc<View>>,
    reloading: Shared,
    ended: AtomicBool,
    nodes: Mutex<HashMap<String, BTreeMap<String, Arc<HeardNode>>>>,
    /// The guests that came from an address: profile, address, node ids.
    guests: Mutex<HashMap<(String, String), BTreeSet<String>>>,
}

/// A node that this process has heard of.
#[derive(Debug)]
pub(super) struct HeardNode {
    pub(super) number: NodeNumber,
    /// How many watches of it are open.
    pub(super) watches: AtomicU32,
    /// When it was last heard, and when its lease was last renewed, in microseconds.
    pub(super) heard: AtomicI64,
    pub(super) renewed: AtomicI64,
    /// Whether it left.
    pub(super) left: AtomicBool,
    /// The tag of what it was last told as a whole.
    pub(super) told: AtomicU64,
    /// The parts it was told, by tag, and whether it showed to hold them.
    pub(super) parts: Mutex<Vec<(u64, bool)>>,
    /// Keys of which it said that it holds something else than it should.
    pub(super) drifted: Mutex<Vec<Arc<str>>>,
    /// When it was last told those again, in microseconds.
    pub(super) reminded: AtomicI64,
    /// Wakes its watches for those, and when it left.
    pub(super) woken: Notify,
}

impl HeardNode {
    fn new(number: NodeNumber, now: DateTime<Utc>, renewed: bool) -> Self {
        let now = now.timestamp_micros();
        Self {
            number,
            watches: AtomicU32::new(0),
            heard: AtomicI64::new(now),
            renewed: AtomicI64::new(if renewed { now } else { 0 }),
            left: AtomicBool::new(false),
            told: AtomicU64::new(0),
            parts: Mutex::default(),
            drifted: Mutex::default(),
            reminded: AtomicI64::new(0),
            woken: Notify::new(),
        }
    }

    /// The keys to tell it again, at most every five seconds, so that a node that never holds what it should is no load.
    pub(super) fn to_tell_again(&self, now: DateTime<Utc>) -> Vec<Arc<str>> {
        let now = now.timestamp_micros();
        let mut drifted = lock(&self.drifted);
        if drifted.is_empty() || now - self.reminded.load(Ordering::Relaxed) < REMIND {
            return Vec::new();
        }
        self.reminded.store(now, Ordering::Relaxed);
        mem::take(&mut *drifted)
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

impl AppFeed {
    pub(super) fn view(&self) -> Arc<View> {
        self.views.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.views.subscribe()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.views.send_modify(|_| {});
    }

    pub(super) fn heard(&self, profile: &str, node_id: &str) -> Option<Arc<HeardNode>> {
        lock(&self.nodes).get(profile)?.get(node_id).cloned()
    }

    /// How many nodes were heard of.
    pub(super) fn nodes_heard(&self) -> usize {
        lock(&self.nodes).values().map(BTreeMap::len).sum()
    }

    /// Notes where a guest came from.
    pub(super) fn came_from(&self, profile: &str, address: &str, node_id: &str) {
        let mut guests = lock(&self.guests);
        let at = guests.entry((profile.to_owned(), address.to_owned())).or_default();
        if !at.contains(node_id) {
            at.insert(node_id.to_owned());
        }
    }

    /// The guests that came from an address.
    pub(super) fn guests_from(&self, profile: &str, address: &str) -> Vec<(String, Arc<HeardNode>)> {
        let at = lock(&self.guests).get(&(profile.to_owned(), address.to_owned())).cloned();
        let heard = |node_id: String| Some((node_id.clone(), self.heard(profile, &node_id)?));
        at.into_iter().flatten().filter_map(heard).collect()
    }

    /// The guests at an address, whatever their labels: their ids begin with it.
    pub(super) fn guests_at(&self, profile: &str, address: &str) -> Vec<(String, Arc<HeardNode>)> {
        let nodes = lock(&self.nodes);
        let Some(nodes) = nodes.get(profile) else { return Vec::new() };
        // A slash is followed by the digit zero.
        let labelled = nodes.range(format!("{address}/")..format!("{address}0"));
        let all = nodes.get_key_value(address).into_iter().chain(labelled);
        all.map(|(node_id, node)| (node_id.clone(), node.clone())).collect()
    }

    /// Notes a node. One that is known stays, so that its open watches go on being its own.
    pub(super) fn hear(
        &self,
        profile: &str,
        node_id: &str,
        number: NodeNumber,
        now: DateTime<Utc>,
        renewed: bool,
    ) -> Arc<HeardNode> {
        let mut nodes = lock(&self.nodes);
        let of_profile = match nodes.get_mut(profile) {
            Some(of_profile) => of_profile,
            None => nodes.entry(profile.to_owned()).or_default(),
        };
        if let Some(node) = of_profile.get(node_id).filter(|node| node.number == number && !node.has_left()) {
            if renewed {
                node.renewed.store(now.timestamp_micros(), Ordering::Relaxed);
                // It began anew, with nothing.
                node.told.store(0, Ordering::Relaxed);
            }
            return node.clone();
        }
        let node = Arc::new(HeardNode::new(number, now, renewed));
        of_profile.insert(node_id.to_owned(), node.clone());
        node
    }

    /// Forgets a node that left, and ends its watches.
    pub(super) fn forget(&self, profile: &str, node_id: &str) {
        let gone = lock(&self.nodes).get_mut(profile).and_then(|nodes| nodes.remove(node_id));
        if let Some(node) = gone {
            node.left.store(true, Ordering::Release);
            node.woken.notify_waiters();
        }
    }

    /// The nodes whose lease is due: heard since it was renewed, or with a watch open, and not renewed after `before`.
    fn due(&self, before: i64, now: i64, due: &mut Vec<NodeNumber>) {
        for node in lock(&self.nodes).values().flat_map(BTreeMap::values) {
            let renewed = node.renewed.load(Ordering::Relaxed);
            let alive =
                node.watches.load(Ordering::Relaxed) > 0 || node.heard.load(Ordering::Relaxed) > renewed;
            if alive && renewed <= before {
                node.renewed.store(now, Ordering::Relaxed);
                due.push(node.number);
            }
        }
    }

    /// Wakes the watches of nodes that hold something else than they should.
    fn remind(&self) {
        for node in lock(&self.nodes).values().flat_map(BTreeMap::values) {
            if !lock(&node.drifted).is_empty() {
                node.woken.notify_waiters();
            }
        }
    }

    /// Forgets who was not heard since `before`.
    fn tidy(&self, before: i64) {
        lock(&self.nodes).values_mut().for_each(|nodes| {
            nodes.retain(|_, node| {
                node.watches.load(Ordering::Relaxed) > 0 || node.heard.load(Ordering::Relaxed) > before
            });
        });
        let known = lock(&self.nodes).values().flat_map(BTreeMap::keys).cloned().collect::<BTreeSet<_>>();
        lock(&self.guests).retain(|_, nodes| {
            nodes.retain(|node_id| known.contains(node_id));
            !nodes.is_empty()
        });
    }
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

impl Feeds<'_> {
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
        ended.iter().for_each(|feed| feed.end());
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

    /// The nodes whose lease should be renewed, which counts as done.
    pub(crate) fn due(&self, before: DateTime<Utc>, now: DateTime<Utc>) -> Vec<NodeNumber> {
        let mut due = Vec::new();
        for feed in self.all() {
            feed.due(before.timestamp_micros(), now.timestamp_micros(), &mut due);
        }
        due
    }

    /// Wakes the watches of nodes that hold something else than they should.
    pub(crate) fn remind(&self) {
        self.all().iter().for_each(|feed| feed.remind());
    }

    /// Forgets nodes that were not heard since `before`: they are looked up again when they come back.
    pub(crate) fn tidy(&self, before: DateTime<Utc>) {
        self.all().iter().for_each(|feed| feed.tidy(before.timestamp_micros()));
    }

    fn feed(self, shared: Arc<AppFeed>) -> Feed {
        Feed { pilothouse: self.0.clone(), shared }
    }

    fn table(&self) -> &FeedTable {
        self.0.feed_table()
    }

    fn all(&self) -> Vec<Arc<AppFeed>> {
        lock(&self.table().loaded).by_id.values().cloned().collect()
    }

    fn loaded(&self, app: AppId) -> Option<Arc<AppFeed>> {
        lock(&self.table().loaded).by_id.get(&app).cloned()
    }

    fn loaded_by_name(&self, app: &str) -> Option<Arc<AppFeed>> {
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
        let feed = Arc::new(AppFeed {
            app,
            name: found.app.clone(),
            views: watch::Sender::new(Arc::new(view)),
            reloading: Shared::default(),
            ended: AtomicBool::new(false),
            nodes: Mutex::default(),
            guests: Mutex::default(),
        });
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
