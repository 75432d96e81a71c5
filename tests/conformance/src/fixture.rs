//! Fixture: a domain over a store, and the accounts, customers and apps that a test begins with.

use std::collections::BTreeMap;
use std::sync::Arc;

use pilothouse_core::account::{Account, AccountId, Caller, Groups, Scope};
use pilothouse_core::cdn::{CdnId, Customer};
use pilothouse_core::config::{Content, ItemId, ItemName, NewApp, NewGrant, Permission};
use pilothouse_core::ports::{
    CdnProvider, Clock, EdgeControl, LogArchive, Providers, RandomIds, Storage, SystemClock,
};
use pilothouse_core::{Pilothouse, Settings};

use crate::doubles::{MemoryBlobs, MemoryReleases};

/// A domain over a store under test. Its methods insert what tests need and panic where the store refuses it.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// Store under test.
    pub storage: Arc<dyn Storage>,
    /// One server over the store.
    pub pilothouse: Pilothouse,
    parts: FixtureBuilder,
}

/// Settings, clock and adapters of a [`Fixture`].
#[derive(Clone, Debug)]
pub struct FixtureBuilder {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    providers: BTreeMap<String, Arc<dyn CdnProvider>>,
    controls: BTreeMap<String, Arc<dyn EdgeControl>>,
    log_archive: Option<Arc<dyn LogArchive>>,
    blobs: Arc<MemoryBlobs>,
    releases: Option<Arc<MemoryReleases>>,
}

impl FixtureBuilder {
    /// Uses this clock instead of the machine's. A store has a clock of its own, which is given to it where it is made.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Uses these settings instead of the defaults.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Puts a provider behind a cdn.
    #[must_use]
    pub fn provider(mut self, cdn: &str, provider: Arc<dyn CdnProvider>) -> Self {
        self.providers.insert(cdn.to_owned(), provider);
        self
    }

    /// Gives the edges of a cdn leases.
    #[must_use]
    pub fn edge_control(mut self, cdn: &str, control: Arc<dyn EdgeControl>) -> Self {
        self.controls.insert(cdn.to_owned(), control);
        self
    }

    /// Keeps lines of access logs in this archive.
    #[must_use]
    pub fn log_archive(mut self, archive: Arc<dyn LogArchive>) -> Self {
        self.log_archive = Some(archive);
        self
    }

    /// Takes contents of tasks that name no blob from here.
    #[must_use]
    pub fn releases(mut self, releases: Arc<MemoryReleases>) -> Self {
        self.releases = Some(releases);
        self
    }

    /// Builds the domain over the store.
    pub fn build(self) -> Fixture {
        Fixture { storage: self.storage.clone(), pilothouse: self.server(), parts: self }
    }

    fn server(&self) -> Pilothouse {
        let (storage, settings, clock) = (self.storage.clone(), self.settings.clone(), self.clock.clone());
        let providers: Providers = self.providers.clone().into_iter().collect();
        let mut pilothouse = Pilothouse::with(storage, settings, clock, Arc::new(RandomIds))
            .unwrap()
            .with_providers(providers.with_controls(self.controls.clone()))
            .with_blob_store(self.blobs.clone());
        if let Some(releases) = &self.releases {
            pilothouse = pilothouse.with_release_source(releases.clone());
        }
        match &self.log_archive {
            Some(archive) => pilothouse.with_log_archive(archive.clone()),
            None => pilothouse,
        }
    }
}

impl Fixture {
    /// A fixture over `storage` with default settings, the machine's clock and no adapters.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self::builder(storage).build()
    }

    /// A builder of a fixture over `storage`.
    pub fn builder(storage: Arc<dyn Storage>) -> FixtureBuilder {
        FixtureBuilder {
            storage,
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
            providers: BTreeMap::new(),
            controls: BTreeMap::new(),
            log_archive: None,
            blobs: Arc::new(MemoryBlobs::default()),
            releases: None,
        }
    }

    /// Contents of tasks, which all servers of the fixture share.
    pub fn blobs(&self) -> &MemoryBlobs {
        &self.parts.blobs
    }

    /// One more server over the same store, clock and adapters. It shares no memory with the others, like another process.
    pub fn another_server(&self) -> Pilothouse {
        self.parts.server()
    }

    /// Inserts an account with the address `{name}@example.com`; its caller.
    pub async fn account(&self, name: &str, groups: Groups) -> Caller {
        let account = Account {
            id: AccountId::UNSAVED,
            name: name.to_owned(),
            mail: format!("{name}@example.com"),
            department: "ops".to_owned(),
            groups,
            password: None,
            is_disabled: false,
            version: 1,
        };
        let mut work = self.storage.begin().await.unwrap();
        let id = work.accounts().insert(&account).await.unwrap().unwrap();
        work.commit().await.unwrap();
        self.caller(id).await
    }

    /// The caller of an account, with every right of the account.
    pub async fn caller(&self, id: AccountId) -> Caller {
        let account = self.storage.read().await.unwrap().accounts().by_id(id).await.unwrap().unwrap();
        let Account { id, name, mail, groups, .. } = account;
        Caller { id, name, mail, groups, scope: Scope::Account, limits: None, token: None, address: None }
    }

    /// Inserts a cdn unless there is one of this name; its id.
    pub async fn cdn(&self, name: &str) -> CdnId {
        let mut work = self.storage.begin().await.unwrap();
        if let Some(cdn) = work.cdns().by_name(name).await.unwrap() {
            return cdn.id;
        }
        let id = work.cdns().insert(name).await.unwrap().unwrap();
        work.commit().await.unwrap();
        id
    }

    /// Inserts a customer of a cdn with an account of this name and these domains; its caller.
    pub async fn customer(&self, name: &str, cdn: &str, domains: &[&str]) -> Caller {
        let caller = self.account(name, Groups::NONE).await;
        let customer = Customer {
            account_id: caller.id,
            mail: caller.mail.clone(),
            password: String::new(),
            operations: true,
            version: 1,
        };
        let mut work = self.storage.begin().await.unwrap();
        assert!(work.customers().insert(&customer).await.unwrap());
        work.commit().await.unwrap();
        self.domains(&caller, cdn, domains).await;
        caller
    }

    /// Gives a customer domains on a cdn.
    pub async fn domains(&self, customer: &Caller, cdn: &str, domains: &[&str]) {
        let cdn = self.cdn(cdn).await;
        let mut work = self.storage.begin().await.unwrap();
        work.customers().map(customer.id, cdn, None).await.unwrap();
        for domain in domains {
            assert!(work.domains().claim(customer.id, cdn, domain).await.unwrap(), "{domain} is taken");
        }
        work.commit().await.unwrap();
    }

    /// Creates an app that `owner` manages.
    pub async fn app(&self, owner: &Caller, app: &str) {
        let new =
            NewApp { app: app.to_owned(), app_type: 0, name: "name".to_owned(), charger: "owner".to_owned() };
        self.pilothouse.apps().create(owner, new).await.unwrap();
    }

    /// Grants an account a permission on an app.
    pub async fn grant(&self, by: &Caller, app: &str, to: &Caller, permission: Permission) {
        let new =
            NewGrant { app: app.to_owned(), profile: None, account: to.id, uname: String::new(), permission };
        self.pilothouse.grants().create(by, new).await.unwrap();
    }

    /// Creates an item and approves its first version.
    pub async fn approved_item(&self, by: &Caller, name: &ItemName, value: &str) -> ItemId {
        let content = Content { value: value.to_owned(), ..Content::default() };
        let id = self.pilothouse.items().create(by, name, content).await.unwrap();
        self.pilothouse.items().approve(by, name, None).await.unwrap();
        id
    }
}
