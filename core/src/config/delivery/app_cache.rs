//! In-memory cache of app snapshots and live nodes. Reads of configuration never touch the database.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::app_session::AppSession;
use super::node::{LEASE, NodeNumber};
use super::node_registry::{AppState, LiveNode, NodePresence};
use super::snapshot::{ConfigSnapshot, MEMORY};
use crate::config::authoring::{OpeningKey, SharedNamespaces, key_digests};
use crate::config::identifier::{AppId, AppKeyId};
use crate::ports::{Repositories, Topic};
use crate::sync::lock;
use crate::{Error, Pilothouse, Result};

/// Age at which a lease is renewed: a third of its length.
const RENEW: TimeDelta = TimeDelta::seconds(5);

/// The cached apps of a process, read from the store when one is first asked for.
#[derive(Debug, Default)]
pub(crate) struct AppCache {
    loaded: Mutex<Loaded>,
    loading: tokio::sync::Mutex<()>,
    /// Namespaces that apps share, which every app's clients ask for; `None` until somebody asks for one.
    pub(super) shared: watch::Sender<Option<Arc<SharedNamespaces>>>,
}

#[derive(Debug, Default)]
struct Loaded {
    by_id: HashMap<AppId, Arc<AppState>>,
    by_name: HashMap<String, AppId>,
}

/// The use cases of configuration delivery.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a>(pub(crate) &'a Pilothouse);

impl<'a> Delivery<'a> {
    /// Opens a session of an app with one of its keys. A key of another app is [`Error::Forbidden`], whether or not there
    /// is such an app; one that is no key [`Error::Unauthenticated`].
    pub async fn open(&self, app: &str, key: &str) -> Result<AppSession> {
        self.open_by_digest(app, &key_digests(&self.0.settings().secret, key)).await
    }

    /// Opens a session of an app with a key that has one of these digests.
    pub(super) async fn open_by_digest(&self, app: &str, digests: &[[u8; 32]]) -> Result<AppSession> {
        let key_of = |state: &AppState| {
            state.snapshot().keys().iter().find(|known| digests.contains(&known.digest)).map(|known| known.id)
        };
        if let Some(state) = self.loaded_by_name(app)
            && let Some(key) = key_of(&state)
        {
            return Ok(self.session(state, Some(key)));
        }
        let mut opened = None;
        for digest in digests {
            if opened.is_none() {
                opened = self.0.storage().peek().await?.app_keys().app_by_digest(digest).await?;
            }
        }
        let opened = opened.ok_or(Error::Unauthenticated)?;
        let state = self.load(opened).await?.ok_or(Error::Unauthenticated)?;
        if state.name != app {
            return Err(Error::Forbidden);
        }
        // It may have been deleted since it was looked up.
        let key = key_of(&state).ok_or(Error::Unauthenticated)?;
        Ok(self.session(state, Some(key)))
    }

    /// Opens a session of an app for a request signed with one of its keys, whose text `is_signed_by` recognises.
    /// [`Error::Unauthenticated`] otherwise.
    pub async fn open_signed(&self, app: &str, is_signed_by: impl Fn(&str) -> bool) -> Result<AppSession> {
        let mut session = self.open_unsigned(app).await?.ok_or(Error::Unauthenticated)?;
        let key_of = |snapshot: &ConfigSnapshot| {
            let signed = |key: &&OpeningKey| key.text.as_deref().is_some_and(&is_signed_by);
            snapshot.keys().iter().find(signed).map(|key| key.id)
        };
        session.key = key_of(&session.snapshot());
        if session.key.is_none() {
            // The key may have been made on another server just now.
            session.state = self.load(session.state.app).await?.ok_or(Error::Unauthenticated)?;
            session.key = Some(key_of(&session.snapshot()).ok_or(Error::Unauthenticated)?);
        }
        Ok(session)
    }

    /// Opens a session of an app without a key: for apps whose configuration needs none, and for callers checked before.
    pub async fn open_unsigned(&self, app: &str) -> Result<Option<AppSession>> {
        if let Some(state) = self.loaded_by_name(app) {
            return Ok(Some(self.session(state, None)));
        }
        let found = self.0.storage().peek().await?.apps().by_name(app).await?;
        let Some(found) = found else { return Ok(None) };
        Ok(self.load(found.id).await?.map(|state| self.session(state, None)))
    }

    /// Ends all watches, and all rollouts that are followed, so that a server that stops need not wait for them. What asks
    /// afterwards begins anew.
    pub fn end_watches(&self) {
        self.0.rollout_follows().end();
        let ended: Vec<_> = {
            let mut loaded = lock(&self.cache().loaded);
            loaded.by_name.clear();
            loaded.by_id.drain().map(|(_, state)| state).collect()
        };
        for state in &ended {
            state.end();
        }
    }

    /// Reads an app again if it is cached here; after a commit, or a signal that it changed. A failure is logged: the next
    /// poll tries again.
    pub(crate) async fn refresh(&self, app: AppId) {
        let Some(state) = self.loaded(app) else { return };
        if let Err(error) = self.reload(&state).await {
            tracing::warn!(
                app = app.0,
                error = &error as &dyn StdError,
                "an app snapshot could not be reloaded"
            );
        }
    }

    /// Takes over drift that other servers stored for nodes whose watches are open here.
    async fn resend_drift(self, drift: Vec<(AppId, NodeNumber, String)>) -> Result<()> {
        let numbers: HashSet<NodeNumber> = drift.iter().map(|(_, node, _)| *node).collect();
        let watched: HashMap<NodeNumber, Arc<LiveNode>> =
            self.all().iter().flat_map(|state| state.watched(&numbers)).collect();
        let mut work = self.0.storage().begin().await?;
        let mut taken = Vec::new();
        for (_, number, key) in drift {
            if let Some(node) = watched.get(&number)
                && work.nodes().remove_drift(number, &key).await?
            {
                taken.push((node, key));
            }
        }
        work.commit().await?;
        for (node, key) in taken {
            node.queue_resend([key].into_iter());
        }
        Ok(())
    }

    /// Compares revisions and keys of all cached apps and the shared namespaces with the store, in four questions, and reloads
    /// those that differ.
    pub async fn poll(&self) -> Result<()> {
        if self.cache().shared.borrow().is_some() {
            self.read_shared_namespaces().await?;
        }
        let states = self.all();
        if states.is_empty() {
            return Ok(());
        }
        let apps: Vec<AppId> = states.iter().map(|state| state.app).collect();
        let (revisions, mut keys, drift): (HashMap<_, _>, HashMap<AppId, Vec<AppKeyId>>, _) = {
            let mut store = self.0.storage().peek().await?;
            let revisions = store.apps().revisions(&apps).await?.into_iter();
            let revisions = revisions.map(|of| (of.app, of.epoch.revision(of.number))).collect();
            let mut keys: HashMap<AppId, Vec<AppKeyId>> = HashMap::new();
            for (app, key) in store.app_keys().ids(&apps).await? {
                keys.entry(app).or_default().push(key);
            }
            (revisions, keys, store.nodes().drift(&apps).await?)
        };
        if !drift.is_empty() {
            self.resend_drift(drift).await?;
        }
        for state in states {
            let snapshot = state.snapshot();
            let same_keys =
                snapshot.keys().iter().map(|key| key.id).eq(keys.remove(&state.app).unwrap_or_default());
            if revisions.get(&state.app) != Some(&snapshot.revision()) || !same_keys {
                self.reload(&state).await?;
            }
        }
        Ok(())
    }

    /// The nodes whose lease is due for renewal.
    pub(super) fn due_leases(self, now: DateTime<Utc>) -> Vec<NodeNumber> {
        let micros = |before: TimeDelta| (now - before).timestamp_micros();
        let mut due = Vec::new();
        for state in self.all() {
            state.due_leases(now.timestamp_micros(), micros(RENEW), micros(LEASE.length()), &mut due);
        }
        due
    }

    /// Counts leases as renewed at `now`, after the commit that renewed them.
    pub(super) fn leases_renewed(self, nodes: Vec<NodeNumber>, now: DateTime<Utc>) {
        let nodes: HashSet<NodeNumber> = nodes.into_iter().collect();
        for state in self.all() {
            state.leases_renewed(&nodes, now.timestamp_micros());
        }
    }

    /// The nodes that are online by this process, and their open watches; from memory.
    pub fn presence(&self) -> NodePresence {
        let seen_after = (self.0.clock().now() - LEASE.length()).timestamp_micros();
        let mut presence = NodePresence::default();
        for state in self.all() {
            state.count(seen_after, &mut presence);
        }
        presence
    }

    /// Wakes the watches of nodes with drifted keys.
    pub(crate) fn wake_drifted(self) {
        for state in self.all() {
            state.wake_drifted();
        }
    }

    /// Drops nodes that were last seen before `before`: they are looked up again when they come back.
    pub(crate) fn evict_nodes(self, before: DateTime<Utc>) {
        for state in self.all() {
            state.evict(before.timestamp_micros());
        }
    }

    pub(super) fn session(self, state: Arc<AppState>, key: Option<AppKeyId>) -> AppSession {
        AppSession { pilothouse: self.0.clone(), state, key }
    }

    pub(super) fn cache(self) -> &'a AppCache {
        self.0.app_cache()
    }

    fn all(self) -> Vec<Arc<AppState>> {
        lock(&self.cache().loaded).by_id.values().cloned().collect()
    }

    pub(super) fn loaded(self, app: AppId) -> Option<Arc<AppState>> {
        lock(&self.cache().loaded).by_id.get(&app).cloned()
    }

    fn loaded_by_name(self, app: &str) -> Option<Arc<AppState>> {
        let loaded = lock(&self.cache().loaded);
        loaded.by_id.get(loaded.by_name.get(app)?).cloned()
    }

    /// The app's state, with every key that was made before this call; loaded by one of all who ask for it first.
    pub(super) async fn load(&self, app: AppId) -> Result<Option<Arc<AppState>>> {
        let _loading = loop {
            if let Some(state) = self.loaded(app) {
                self.reload(&state).await?;
                if !state.has_ended() {
                    return Ok(Some(state));
                }
            }
            let loading = self.cache().loading.lock().await;
            // What somebody else has loaded meanwhile may be of before the caller's key was made.
            if self.loaded(app).is_none() {
                break loading;
            }
        };
        let mut store = self.0.storage().read().await?;
        let Some(found) = store.apps().by_id(app).await? else { return Ok(None) };
        let snapshot =
            self.read(&mut *store, &ConfigSnapshot::empty(app, found.epoch), found.revision).await?;
        let present = store.nodes().present(app).await?;
        drop(store);
        let state = Arc::new(AppState::new(app, found.app.clone(), snapshot));
        let now = self.0.clock().now();
        for (number, profile, node_id) in present {
            let node = state.register(&profile, &node_id, number, now, true);
            // It is registered, but has not been seen by this process so far.
            node.renewed.store(0, Ordering::Relaxed);
            node.last_seen.store(0, Ordering::Relaxed);
        }
        let mut loaded = lock(&self.cache().loaded);
        loaded.by_name.insert(found.app, app);
        loaded.by_id.insert(app, state.clone());
        Ok(Some(state))
    }

    /// Reads an app again, once for all who asked before that began.
    pub(super) async fn reload(&self, state: &Arc<AppState>) -> Result<()> {
        state.reloading.run(self.read_again(state)).await
    }

    async fn read_again(&self, state: &Arc<AppState>) -> Result<()> {
        let mut store = self.0.storage().read().await?;
        let old = state.snapshot();
        let Some(found) = store.apps().by_id(state.app).await? else {
            drop(store);
            self.forget(state);
            return Ok(());
        };
        if found.epoch != old.epoch() || found.revision < old.number() {
            drop(store);
            if found.epoch == old.epoch() {
                tracing::warn!(
                    app = state.name,
                    revision = found.revision,
                    known = old.number(),
                    "the store holds an older state than was served: its epoch is renewed"
                );
                self.0.renew_epoch(old.epoch()).await?;
            }
            // Another history: node numbers and releases of the old one say nothing in it. Nodes whose watches end ask
            // again, and get everything. Where the state has ended, the buffer holds reports of the new history already.
            if !state.has_ended() {
                self.0.reports().clear();
            }
            self.forget(state);
            return Ok(());
        }
        let snapshot = self.read(&mut *store, &old, found.revision).await?;
        drop(store);
        if snapshot.revision() != old.revision() || snapshot.keys() != old.keys() {
            state.snapshots.send_replace(Arc::new(snapshot));
        }
        Ok(())
    }

    /// Ends the watches of a state and forgets it, until somebody asks for its app. One that was loaded since stays.
    fn forget(self, state: &Arc<AppState>) {
        let mut loaded = lock(&self.cache().loaded);
        if loaded.by_id.get(&state.app).is_some_and(|known| Arc::ptr_eq(known, state)) {
            loaded.by_id.remove(&state.app);
            loaded.by_name.retain(|_, app| *app != state.app);
        }
        drop(loaded);
        state.end();
    }

    /// The snapshot at a revision that follows an older or an empty one of its epoch.
    async fn read(
        &self,
        store: &mut dyn Repositories,
        old: &ConfigSnapshot,
        number: i64,
    ) -> Result<ConfigSnapshot> {
        let app = old.app();
        let keys = store.app_keys().of_app(app).await?;
        let secret = &self.0.settings().secret;
        let keys = keys.iter().map(|key| OpeningKey::of(secret, key)).collect();
        let news = match old.number() {
            0 => store.releases().since(app, number - MEMORY, true).await?,
            known if known == number => Vec::new(),
            known => store.releases().since(app, known, false).await?,
        };
        Ok(old.next(number, keys, news))
    }
}

impl Pilothouse {
    /// Tells nodes and servers of a change, after its commit: this server's snapshot first, then the other servers.
    pub(crate) async fn announce_change(&self, app: AppId) {
        self.delivery().refresh(app).await;
        self.storage().announce(&[Topic::App(app)]).await;
    }
}
