//! Callers that were stopped between their authentication and their write: in no family they write anything.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use pilothouse_core::account::{
    AccountId, AuditFilter, Caller, Groups, NewAccount, NewApiToken, TokenAuthenticator, TokenId,
    TokenLimits, UpdateAccount,
};
use pilothouse_core::cdn::{CdnId, JobKind, JobUrls, LogShipper, NewCompany, NewCustomer, UpdateCustomer};
use pilothouse_core::config::{
    AppKeyId, Content, GrantId, ItemId, NewApp, NewGrant, NewNode, Permission, ReleaseId, Selector, UpdateApp,
};
use pilothouse_core::ops::{NewTask, Revert, Status, StatusReport, TaskId, UpdateMachine};
use pilothouse_core::ports::{Authenticator, Clock, LockKey, Storage, SystemClock, UnitOfWork};
use pilothouse_core::{ErrorKind, Page, Pilothouse, Result, Settings};

use crate::Fixture;
use crate::doubles::{ManualClock, ScriptedProvider};
use crate::ops::machine::machine;
use crate::rows::item_name;

const PASSWORD: &str = "correct horse battery";

/// Time in which a write surely reaches the lock that it waits for.
const WAIT: Duration = Duration::from_millis(300);

/// A write under its name.
struct Write<'a> {
    name: &'static str,
    call: LocalBoxFuture<'a, Result<()>>,
}

/// Lists writes, each of which begins when it is awaited.
macro_rules! writes {
    ($($name:literal: $call:expr,)*) => {
        vec![$(Write { name: $name, call: async move { $call.await.map(drop) }.boxed_local() },)*]
    };
}

/// A domain with one object of every kind, and two superusers that are logged in: `ann`, and `bob`, who is stopped.
struct StopFixture {
    fixture: Fixture,
    clock: Arc<ManualClock>,
    ann: Caller,
    bob: Caller,
    task: TaskId,
    peer: AccountId,
    grant: GrantId,
    key: AppKeyId,
    /// An approved item.
    item: ItemId,
    /// Two active grey releases.
    greys: [ReleaseId; 2],
    cdn: CdnId,
}

impl StopFixture {
    async fn new(storage: Arc<dyn Storage>) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now().timestamp()));
        let shipper = LogShipper {
            cdn: "level3".to_owned(),
            edge: "edge".to_owned(),
            key: "the key of the edge, which is long enough".to_owned(),
            is_followed: false,
        };
        let settings = Settings::default().with_cdns(["level3"]).with_log_shippers(vec![shipper]);
        let fixture = Fixture::builder(storage)
            .clock(clock.clone())
            .settings(settings)
            .provider("level3", Arc::new(ScriptedProvider::new(&["edge"])))
            .build();
        let pilothouse = &fixture.pilothouse;
        for name in ["ann", "bob"] {
            let mail = format!("{name}@example.com");
            pilothouse.accounts().create_superuser(name, &mail, PASSWORD).await.unwrap();
        }
        let (ann, bob) = (log_in(pilothouse, "ann").await, log_in(pilothouse, "bob").await);
        let task = pilothouse.tasks().add(&ann, new_task()).await.unwrap();
        pilothouse.machines().add(&ann, machine(1)).await.unwrap();
        let peer = fixture.account("peer", Groups::NONE).await;
        for app in ["app", "empty"] {
            fixture.app(&ann, app).await;
        }
        let new = NewGrant {
            app: "app".into(),
            profile: None,
            account: peer.id,
            uname: String::new(),
            permission: Permission::Develop,
        };
        let grant = pilothouse.grants().create(&ann, new).await.unwrap();
        let key = pilothouse.app_keys().create(&ann, "app").await.unwrap();
        let node = NewNode { profile: "dev".into(), node_id: Some("node".into()), ..NewNode::default() };
        pilothouse.delivery().open("app", &key.text).await.unwrap().register(node).await.unwrap();
        let item = fixture.approved_item(&ann, &item_name("app", "k"), "1").await;
        let mut greys = Vec::new();
        for grey in ["grey1", "grey2"] {
            let id = fixture.approved_item(&ann, &item_name("app", grey), "1").await;
            let to_node =
                Selector { nodes: Some("node".parse().unwrap()), stays_grey: true, ..Selector::default() };
            let released = pilothouse.releases().publish(&ann, id, &to_node, None).await.unwrap();
            greys.push(released.release);
        }
        fixture.customer("customer", "level3", &["a.example.com"]).await;
        let cdn = fixture.cdn("renamed").await;
        let greys = greys.try_into().unwrap();
        Self { clock, ann, bob, task, peer: peer.id, grant, key: key.id, item, greys, cdn, fixture }
    }

    /// Every write of every family, in an order in which each succeeds. `spare` is another token of the caller's.
    fn writes<'a>(&'a self, by: &'a Caller, spare: TokenId) -> Vec<Write<'a>> {
        let pilothouse = &self.fixture.pilothouse;
        let name = |key: &str| item_name("app", key);
        let domain = |name: &str| vec![format!("{name}.example.com")];
        let purge = JobUrls::parse(JobKind::Refresh, "http://c.example.com/x").unwrap();
        let customer = "customer@example.com";
        let level3 = || vec!["level3".to_owned()];
        let [promoted, aborted] = self.greys;
        writes! {
            "task.add": pilothouse.tasks().add(by, new_task()),
            "task.report": pilothouse.tasks().report(by, self.task, running()),
            "task.delete": pilothouse.tasks().delete(by, self.task),
            "machine.add": pilothouse.machines().add(by, machine(2)),
            "machine.update": pilothouse.machines().update(by, UpdateMachine {
                machine_name: machine(1).machine_name,
                location: Some("moved".to_owned()),
                ..UpdateMachine::default()
            }),
            "machine.upsert": pilothouse.machines().upsert_all(by, vec![machine(1)]),
            "machine.rename": pilothouse.machines().rename(by, &machine(1).machine_name, "renamed"),
            "machine.delete": pilothouse.machines().delete(by, "renamed", &[]),
            "account.add": pilothouse.accounts().add(by, new_account("new")),
            "account.update": pilothouse.accounts().update(by, department("peer")),
            "account.update (password)": pilothouse.accounts().update(by, password("new")),
            "account.disable": pilothouse.accounts().set_disabled(by, "new", true),
            "account.enable": pilothouse.accounts().set_disabled(by, "new", false),
            "account.delete": pilothouse.accounts().delete(by, "new"),
            "token.create": pilothouse.tokens().issue(by, NewApiToken {
                name: "ci".to_owned(),
                limits: TokenLimits::default(),
                days: 1,
            }),
            "app.create": pilothouse.apps().create(by, new_app("another")),
            "app.update": pilothouse.apps().update(by, "another", UpdateApp::default()),
            "app.delete": pilothouse.apps().delete(by, "another"),
            "app.share": pilothouse.apps().share(by, "app", "shared", true),
            "app.unshare": pilothouse.apps().share(by, "app", "shared", false),
            "grant.create": pilothouse.grants().create(by, NewGrant {
                app: "empty".to_owned(),
                profile: None,
                account: self.peer,
                uname: String::new(),
                permission: Permission::Develop,
            }),
            "grant.update": pilothouse.grants().update(by, self.grant, Permission::Manage),
            "grant.delete": pilothouse.grants().delete(by, self.grant),
            "config.create": pilothouse.items().create(by, &name("new"), Content::default()),
            "config.update": pilothouse.items().update(by, &name("new"), value("2"), None),
            "config.rollback": pilothouse.items().roll_back(by, &name("new"), 1),
            "config.approve": pilothouse.items().approve(by, &name("new"), None),
            "config.delete": pilothouse.items().delete(by, &name("new"), None),
            "publish": pilothouse.releases().publish(by, self.item, &Selector::default(), None),
            "release.promote": pilothouse.releases().promote(by, promoted, false),
            "release.abort": pilothouse.releases().abort(by, aborted),
            "key.create": pilothouse.app_keys().create(by, "app"),
            "key.create (brought)": pilothouse.app_keys().bring(by, "app", "a-secret-of-another-system"),
            "key.delete": pilothouse.app_keys().delete(by, self.key),
            "cdn.add": pilothouse.cdns().add(by, "new"),
            "cdn.rename": pilothouse.cdns().rename(by, self.cdn, "other"),
            "customer.create": pilothouse.customers().create(by, new_customer("peer@example.com")),
            "customer.update": pilothouse.customers().update(by, operations("peer@example.com")),
            "customer.map": pilothouse.customers().map(by, customer, &level3()),
            "customer.delete": pilothouse.customers().delete(by, "peer@example.com"),
            "domain.add": pilothouse.domains().add(by, customer, "level3", &domain("b")),
            "domain.replace": pilothouse.domains().replace(by, customer, &level3(), None, &domain("c")),
            "company.create": pilothouse.companies().create(by, new_company()),
            "refresh": pilothouse.jobs().add(by, customer, &purge),
            "cdn.log_skip": pilothouse.log_intake().skip(by, "level3", "edge", 0, 1),
            "token.revoke": pilothouse.tokens().revoke(by, None, spare),
            "logout": pilothouse.tokens().logout(by),
        }
    }

    /// Tries every write by `bob`: each is refused, and changes nothing.
    async fn refuses(&self, with: ErrorKind) {
        let before = self.audited().await;
        for write in self.writes(&self.bob, TokenId(1)) {
            let refused = write.call.await.map_err(|error| error.kind());
            assert_eq!(refused, Err(with), "{}", write.name);
        }
        assert_eq!(self.audited().await, before);
    }

    /// Withdraws `bob`'s grant on `all`.
    async fn withdraw_grant(&self, work: &mut dyn UnitOfWork) {
        let grants = work.grants().list(None).await.unwrap();
        let grant = grants.iter().find(|grant| grant.account == self.bob.id).unwrap();
        assert!(work.grants().delete(grant.id).await.unwrap());
    }

    /// Number of rows of the audit trail: every write appends one in its transaction.
    async fn audited(&self) -> usize {
        let mut snapshot = self.fixture.storage.read().await.unwrap();
        let page = Page::at(0, Page::MAX);
        snapshot.audit().list(&AuditFilter::default(), page).await.unwrap().len()
    }
}

/// A caller with a token that was issued now.
async fn log_in(pilothouse: &Pilothouse, name: &str) -> Caller {
    let access = pilothouse.logins().login(name, PASSWORD, None).await.unwrap();
    TokenAuthenticator::new(pilothouse.clone()).authenticate(&access.token, None).await.unwrap()
}

fn new_task() -> NewTask {
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    NewTask {
        ip,
        action: "update".to_owned(),
        content: "c".to_owned(),
        description: "d".to_owned(),
        file: None,
    }
}

fn running() -> StatusReport {
    let (status, revert) = (Status::Running, Revert::None);
    StatusReport { start_time: None, revert_time: None, percent: 1, status, revert }
}

fn new_account(name: &str) -> NewAccount {
    NewAccount {
        name: name.to_owned(),
        mail: format!("{name}@example.com"),
        passwd: PASSWORD.to_owned(),
        department: String::new(),
        groups: Groups::NONE,
    }
}

fn department(name: &str) -> UpdateAccount {
    UpdateAccount {
        name: Some(name.to_owned()),
        department: Some("dev".to_owned()),
        ..UpdateAccount::default()
    }
}

fn password(name: &str) -> UpdateAccount {
    let new_passwd = Some("another long password".to_owned());
    UpdateAccount { name: Some(name.to_owned()), new_passwd, ..UpdateAccount::default() }
}

pub(super) fn new_app(app: &str) -> NewApp {
    NewApp { app: app.to_owned(), app_type: 0, name: "name".to_owned(), charger: "owner".to_owned() }
}

pub(super) fn value(value: &str) -> Content {
    Content { value: value.to_owned(), ..Content::default() }
}

fn new_customer(login_email: &str) -> NewCustomer {
    NewCustomer { login_email: login_email.to_owned(), password: PASSWORD.to_owned(), operations: true }
}

fn operations(login_email: &str) -> UpdateCustomer {
    UpdateCustomer { login_email: login_email.to_owned(), password: None, operations: Some(false) }
}

fn new_company() -> NewCompany {
    NewCompany {
        company_name: "Example".to_owned(),
        company_alias: String::new(),
        owner_name: "owner".to_owned(),
        owner_email: "owner@example.com".to_owned(),
    }
}

/// The control of all cases below: by a caller that was not stopped, every write succeeds.
pub(crate) async fn nobody(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage.clone()).await;
    log_in(&world.fixture.pilothouse, "ann").await;
    let spare = storage.read().await.unwrap().tokens().of_account(world.ann.id).await.unwrap()[1].id;
    for write in world.writes(&world.ann, spare) {
        write.call.await.unwrap_or_else(|error| panic!("{}: {error}", write.name));
    }
}

/// A log-out.
pub(crate) async fn by_log_out(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage).await;
    world.fixture.pilothouse.tokens().logout(&world.bob).await.unwrap();
    world.refuses(ErrorKind::Unauthenticated).await;
}

/// Another password.
pub(crate) async fn by_password(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage).await;
    world.fixture.pilothouse.accounts().update(&world.ann, password("bob")).await.unwrap();
    world.refuses(ErrorKind::Unauthenticated).await;
}

/// A demotion.
pub(crate) async fn by_demotion(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage).await;
    let demoted = UpdateAccount {
        name: Some("bob".to_owned()),
        groups: Some(Groups::NONE),
        ..UpdateAccount::default()
    };
    world.fixture.pilothouse.accounts().update(&world.ann, demoted).await.unwrap();
    world.refuses(ErrorKind::Unauthenticated).await;
}

/// A group that the account has lost while its token lives on.
pub(crate) async fn by_lost_group(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage.clone()).await;
    let mut work = storage.begin().await.unwrap();
    let mut account = work.accounts().by_id(world.bob.id).await.unwrap().unwrap();
    account.groups = "2,3,4,5,6,7,8,9".parse().unwrap();
    assert!(work.accounts().update(&account).await.unwrap());
    work.commit().await.unwrap();
    world.refuses(ErrorKind::Forbidden).await;
}

/// A deletion of the account.
pub(crate) async fn by_deletion(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage).await;
    world.fixture.pilothouse.accounts().delete(&world.ann, "bob").await.unwrap();
    world.refuses(ErrorKind::Unauthenticated).await;
}

/// The end of the token's life.
pub(crate) async fn by_expiry(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage).await;
    world.clock.advance(TimeDelta::hours(12));
    world.refuses(ErrorKind::Unauthenticated).await;
}

/// A withdrawn grant, where it is a grant that permits.
pub(crate) async fn by_withdrawn_grant(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage.clone()).await;
    let mut work = storage.begin().await.unwrap();
    world.withdraw_grant(&mut *work).await;
    work.commit().await.unwrap();
    let before = world.audited().await;
    let granted = ["app.update", "grant.", "config.", "publish", "release.", "key."];
    for write in world.writes(&world.bob, TokenId(1)) {
        if granted.iter().any(|prefix| write.name.starts_with(prefix)) {
            let refused = write.call.await.map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::Forbidden), "{}", write.name);
        }
    }
    assert_eq!(world.audited().await, before);
}

/// A deletion of the app key, by another server.
pub(crate) async fn by_deleted_key(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage).await;
    let key = world.fixture.pilothouse.app_keys().create(&world.ann, "app").await.unwrap();
    let session = world.fixture.pilothouse.delivery().open("app", &key.text).await.unwrap();
    let node = session.node("dev", "node").await.unwrap();
    world.fixture.another_server().app_keys().delete(&world.ann, key.id).await.unwrap();
    let new = NewNode { profile: "dev".into(), node_id: Some("new".into()), ..NewNode::default() };
    assert_eq!(session.register(new).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    assert_eq!(node.leave().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

/// A write that waits for a lock, or for the store's only writer, while its caller is stopped.
pub(crate) async fn while_it_waits(storage: Arc<dyn Storage>) {
    let world = StopFixture::new(storage.clone()).await;
    let app = storage.read().await.unwrap().apps().by_name("app").await.unwrap().unwrap().id;
    let (server, bob, item) = (world.fixture.pilothouse.clone(), world.bob.clone(), world.item);
    let publish = async move { server.releases().publish(&bob, item, &Selector::default(), None).await };
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::App(app)).await.unwrap();
    let waiting = tokio::spawn(publish);
    tokio::time::sleep(WAIT).await;
    assert!(!waiting.is_finished());
    world.withdraw_grant(&mut *work).await;
    work.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Forbidden);

    let (server, bob) = (world.fixture.pilothouse.clone(), world.bob.clone());
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::Accounts).await.unwrap();
    let waiting = tokio::spawn(async move { server.accounts().delete(&bob, "peer").await });
    tokio::time::sleep(WAIT).await;
    assert!(!waiting.is_finished());
    work.tokens().delete_of_account(world.bob.id, None).await.unwrap();
    work.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Unauthenticated);
}
