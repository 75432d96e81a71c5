//! Configuration centre with an owner of apps and a holder of every permission.

use std::sync::Arc;

use pilothouse_conformance::Fixture;
use pilothouse_core::account::{Caller, Groups};
use pilothouse_core::config::{
    AppId, Content, GrantId, ItemId, ItemName, NewApp, NewGrant, Permission, Release, Selector,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Pilothouse, Result, Settings};
use pilothouse_storage_memory::MemoryStorage;

pub(crate) struct AuthoringFixture {
    fixture: Fixture,
    pub(crate) pilothouse: Pilothouse,
    /// Holds a grant on `all`.
    pub(crate) root: Caller,
    /// Caller who creates the apps and so manages them.
    pub(crate) owner: Caller,
}

impl AuthoringFixture {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let fixture = Fixture::builder(Arc::new(MemoryStorage::new().strict())).settings(settings).build();
        let pilothouse = fixture.pilothouse.clone();
        let root = pilothouse.accounts().create_superuser("root", "root@example.com", "correct horse").await;
        let root = fixture.caller(root.unwrap()).await;
        let owner = fixture.account("owner", Groups::NONE).await;
        Self { fixture, pilothouse, root, owner }
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        self.pilothouse.storage()
    }

    pub(crate) async fn account(&self, name: &str) -> Caller {
        self.account_in(name, Groups::NONE).await
    }

    pub(crate) async fn account_in(&self, name: &str, groups: Groups) -> Caller {
        self.fixture.account(name, groups).await
    }

    pub(crate) async fn app(&self, app: &str) {
        self.pilothouse.apps().create(&self.owner, new_app(app)).await.unwrap();
    }

    pub(crate) async fn grant(
        &self,
        by: &Caller,
        app: &str,
        to: &Caller,
        permission: Permission,
    ) -> Result<GrantId> {
        let new =
            NewGrant { app: app.into(), profile: None, account: to.id, uname: "nick".into(), permission };
        self.pilothouse.grants().create(by, new).await
    }

    pub(crate) async fn item(&self, name: &ItemName, value: &str) -> ItemId {
        self.pilothouse.items().create(&self.owner, name, content(value)).await.unwrap()
    }

    pub(crate) async fn approve(&self, name: &ItemName) {
        self.pilothouse.items().approve(&self.owner, name, None).await.unwrap();
    }

    pub(crate) async fn publish(&self, id: ItemId) {
        self.pilothouse.releases().publish(&self.owner, id, &Selector::default(), None).await.unwrap();
    }

    /// The releases of the key `k` of an app, newest first.
    pub(crate) async fn releases(&self, app: AppId) -> Vec<Release> {
        let mut snapshot = self.storage().read().await.unwrap();
        let listed = snapshot.releases().list(app, "dev", Some("k"), 100).await.unwrap();
        listed.into_iter().map(|(release, _)| release).collect()
    }

    pub(crate) async fn revision(&self, app: &str) -> i64 {
        let mut snapshot = self.storage().read().await.unwrap();
        snapshot.apps().by_name(app).await.unwrap().unwrap().revision
    }
}

pub(crate) fn new_app(app: &str) -> NewApp {
    NewApp { app: app.into(), app_type: 9, name: "test-name2".into(), charger: "dyf".into() }
}

/// A value without validator and description.
pub(crate) fn content(value: &str) -> Content {
    Content { value: value.into(), validator: String::new(), description: String::new() }
}

/// The kind of the error that a use case was refused with.
pub(crate) fn kind<T: std::fmt::Debug>(answer: Result<T>) -> ErrorKind {
    answer.unwrap_err().kind()
}
