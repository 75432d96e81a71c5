//! What the grants on an app and on its profiles permit together.

use std::sync::Arc;

use pilothouse_core::account::{Caller, Groups};
use pilothouse_core::config::{
    AppId, AppKeyId, Content, ContentChange, GrantId, HistoryQuery, ItemId, ItemName, NewGrant, NewNode,
    Permission, ReleaseId, Selector, UpdateApp,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Error, ErrorKind, Page, Pilothouse, Result};

use crate::Fixture;
use crate::rows::item_name;

/// Part of the app whose grant an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The profile `dev`.
    Dev,
    /// Any of the profiles.
    AnyProfile,
    /// The app as a whole.
    App,
}

use Part::{AnyProfile, App, Dev};
use Permission::{Develop, Manage, Read};

/// Every operation on an app, what it is about, and the permission it needs there.
const OPERATIONS: [(&str, Part, Permission); 30] = [
    ("find", Dev, Read),
    ("list", Dev, Read),
    ("history", Dev, Read),
    ("diff", Dev, Read),
    ("nodes", Dev, Read),
    ("node detail", Dev, Read),
    ("releases", Dev, Read),
    ("release status", Dev, Read),
    ("profiles", AnyProfile, Read),
    ("list grants of profiles", AnyProfile, Read),
    ("list grants", App, Read),
    ("create", Dev, Develop),
    ("update", Dev, Develop),
    ("roll back", Dev, Develop),
    ("delete never published", Dev, Develop),
    ("delete published", Dev, Manage),
    ("approve", Dev, Manage),
    ("publish", Dev, Manage),
    ("promote", Dev, Manage),
    ("abort", Dev, Manage),
    ("update app", App, Manage),
    ("delete app", App, Manage),
    ("share namespace", App, Manage),
    ("give grant", App, Manage),
    ("give grant on profile", App, Manage),
    ("change grant", App, Manage),
    ("take grant", App, Manage),
    ("create key", App, Manage),
    ("list keys", App, Manage),
    ("delete key", App, Manage),
];

/// Grants of the caller that a round is about; `None` where it has none.
#[derive(Clone, Copy, Debug)]
struct Held {
    on_app: Option<Permission>,
    on_dev: Option<Permission>,
}

impl Held {
    fn on(self, part: Part) -> Option<Permission> {
        match part {
            Dev => self.on_dev.or(self.on_app),
            AnyProfile => self.on_dev.max(self.on_app),
            App => self.on_app,
        }
    }
}

/// What an operation is done to; made anew for each that is allowed.
struct Objects {
    draft: ItemName,
    live: ItemName,
    live_id: ItemId,
    release: ReleaseId,
    grant: GrantId,
    key: AppKeyId,
}

struct PermissionFixture {
    fixture: Fixture,
    root: Caller,
    guest: Caller,
}

impl PermissionFixture {
    async fn objects(&self, n: usize) -> Objects {
        let pilothouse = &self.fixture.pilothouse;
        let (draft, live) = (item_name("app", &format!("draft{n}")), item_name("app", &format!("live{n}")));
        pilothouse.items().create(&self.root, &draft, Content::default()).await.unwrap();
        let live_id = self.fixture.approved_item(&self.root, &live, "1").await;
        let releases = pilothouse.releases();
        releases.publish(&self.root, live_id, &Selector::default(), None).await.unwrap();
        let selector =
            Selector { nodes: Some("node".parse().unwrap()), stays_grey: true, ..Selector::default() };
        let release = releases.publish(&self.root, live_id, &selector, None).await.unwrap().release;
        let new_grant = grant(&self.guest, Some(format!("p{n}")), Read);
        let grant = pilothouse.grants().create(&self.root, new_grant).await.unwrap();
        let key = pilothouse.app_keys().create(&self.root, "app").await.unwrap().id;
        Objects { draft, live, live_id, release, grant, key }
    }

    async fn operate(&self, by: &Caller, operation: &str, objects: &Objects) -> Result<()> {
        let pilothouse = &self.fixture.pilothouse;
        let (items, releases, grants) = (pilothouse.items(), pilothouse.releases(), pilothouse.grants());
        let Objects { draft, live, .. } = objects;
        let new_key = item_name("app", &format!("new-{}", draft.key));
        let new_grant = |profile: Option<&str>| grant(&self.guest, profile.map(str::to_owned), Develop);
        match operation {
            "find" => items.find(by, draft).await.map(drop),
            "list" => items.list(by, "app", "dev").await.map(drop),
            "history" => items.history(by, live, HistoryQuery::default()).await.map(drop),
            "diff" => items.diff(by, live, 1, 1).await.map(drop),
            "nodes" => pilothouse.nodes().list(by, "app", "dev").await.map(drop),
            "node detail" => pilothouse.nodes().detail(by, ("app", "dev"), "node").await.map(drop),
            "releases" => pilothouse.rollouts().list(by, "app", "dev", None, Page::default()).await.map(drop),
            "release status" => pilothouse.rollouts().status(by, objects.release).await.map(drop),
            "profiles" => items.profiles(by, "app").await.map(drop),
            "list grants of profiles" => grants.of_profiles(by, "app").await.map(drop),
            "list grants" => grants.list(by, "app").await.map(drop),
            "create" => items.create(by, &new_key, Content::default()).await.map(drop),
            "update" => {
                let change = ContentChange { value: Some("2".to_owned()), ..ContentChange::default() };
                items.update(by, draft, change, None).await
            }
            "roll back" => items.roll_back(by, live, 1).await,
            "delete never published" => items.delete(by, draft, None).await,
            "delete published" => items.delete(by, live, None).await,
            "approve" => items.approve(by, draft, None).await,
            "publish" => releases.publish(by, objects.live_id, &Selector::default(), None).await.map(drop),
            "promote" => releases.promote(by, objects.release, false).await.map(drop),
            "abort" => releases.abort(by, objects.release).await,
            "update app" => pilothouse.apps().update(by, "app", UpdateApp::default()).await,
            // The app has items, so whoever may delete it is told of the conflict.
            "delete app" => match pilothouse.apps().delete(by, "app").await {
                Err(Error::Conflict(_)) => Ok(()),
                answer => answer,
            },
            "share namespace" => pilothouse.apps().share(by, "app", &new_key.key, true).await,
            "give grant" => existing(grants.create(by, new_grant(None)).await),
            "give grant on profile" => existing(grants.create(by, new_grant(Some("dev"))).await),
            "change grant" => grants.update(by, objects.grant, Develop).await,
            "take grant" => grants.delete(by, objects.grant).await,
            "create key" => pilothouse.app_keys().create(by, "app").await.map(drop),
            "list keys" => pilothouse.app_keys().list(by, "app").await.map(drop),
            "delete key" => pilothouse.app_keys().delete(by, objects.key).await,
            other => panic!("{other}"),
        }
    }
}

/// Whoever may give a grant is told that there is one.
fn existing(answer: Result<GrantId>) -> Result<()> {
    match answer {
        Err(Error::AlreadyExists(_)) => Ok(()),
        answer => answer.map(drop),
    }
}

fn grant(to: &Caller, profile: Option<String>, permission: Permission) -> NewGrant {
    NewGrant { app: "app".to_owned(), profile, account: to.id, uname: String::new(), permission }
}

/// Everything about an app that a refused operation must leave as it is.
async fn state(storage: &Arc<dyn Storage>, app: AppId) -> String {
    let mut store = storage.read().await.unwrap();
    let items = store.items().list(app, "dev").await.unwrap();
    let grants = store.grants().list(Some(app)).await.unwrap();
    let keys: Vec<_> = store.app_keys().of_app(app).await.unwrap().iter().map(|key| key.id).collect();
    let app = store.apps().by_id(app).await.unwrap().unwrap();
    format!("{app:?} {items:?} {grants:?} {keys:?}")
}

async fn give(pilothouse: &Pilothouse, root: &Caller, to: &Caller, held: Held) -> Vec<GrantId> {
    let mut ids = Vec::new();
    let dev = held.on_dev.map(|permission| grant(to, Some("dev".to_owned()), permission));
    for new in [dev, held.on_app.map(|permission| grant(to, None, permission))].into_iter().flatten() {
        ids.push(pilothouse.grants().create(root, new).await.unwrap());
    }
    ids
}

/// Every operation of the configuration centre, by callers with every combination of grants on the app and on the
/// profile: the grant on the profile decides there, the one on the app elsewhere and for the app itself.
pub(crate) async fn most_specific_grant_decides(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let (root, guest) =
        (fixture.account("root", Groups::NONE).await, fixture.account("guest", Groups::NONE).await);
    fixture.app(&root, "app").await;
    let app = storage.read().await.unwrap().apps().by_name("app").await.unwrap().unwrap().id;
    let all = PermissionFixture { fixture, root, guest };
    let pilothouse = &all.fixture.pilothouse;
    let key = pilothouse.app_keys().create(&all.root, "app").await.unwrap().text;
    let session = pilothouse.delivery().open("app", &key).await.unwrap();
    for id in ["node", "another"] {
        let node = NewNode { profile: "dev".into(), node_id: Some(id.into()), ..NewNode::default() };
        session.register(node).await.unwrap();
    }
    let caller = all.fixture.account("caller", Groups::NONE).await;
    // What it has elsewhere says nothing here.
    let elsewhere = Some("test".to_owned());
    pilothouse.grants().create(&all.root, grant(&caller, elsewhere, Read)).await.unwrap();
    let permissions = [None, Some(Read), Some(Develop), Some(Manage)];
    let (mut made, mut objects) = (0, all.objects(0).await);
    for on_app in permissions {
        for on_dev in permissions {
            let held = Held { on_app, on_dev };
            let given = give(pilothouse, &all.root, &caller, held).await;
            let before = state(&storage, app).await;
            for (operation, part, needed) in OPERATIONS {
                if part == AnyProfile || held.on(part) >= Some(needed) {
                    continue;
                }
                let answer = all.operate(&caller, operation, &objects).await;
                let kind = answer.map_err(|error| error.kind());
                assert_eq!(kind, Err(ErrorKind::Forbidden), "{held:?} may not {operation}");
            }
            assert_eq!(state(&storage, app).await, before, "{held:?}");
            for (operation, part, needed) in OPERATIONS {
                if part != AnyProfile && held.on(part) < Some(needed) {
                    continue;
                }
                let answer = all.operate(&caller, operation, &objects).await;
                assert!(answer.is_ok(), "{held:?} may {operation}: {answer:?}");
                if needed > Read {
                    made += 1;
                    let key = all.objects(made).await;
                    pilothouse.app_keys().delete(&all.root, objects.key).await.ok();
                    objects = key;
                }
            }
            for id in given {
                pilothouse.grants().delete(&all.root, id).await.unwrap();
            }
        }
    }
}

/// Lists over the profiles of an app show those that the caller may read; a new app of the same name shows it nothing.
pub(crate) async fn lists_show_what_may_be_read(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let pilothouse = &fixture.pilothouse;
    let (root, dev) =
        (fixture.account("root", Groups::NONE).await, fixture.account("dev", Groups::NONE).await);
    fixture.app(&root, "app").await;
    let name = |profile: &str| ItemName { profile: profile.to_owned(), ..item_name("app", "k") };
    for profile in ["dev", "prod", "test"] {
        pilothouse.items().create(&root, &name(profile), Content::default()).await.unwrap();
    }
    let profiles = async || pilothouse.items().profiles(&dev, "app").await.map_err(|error| error.kind());
    let apps = async || pilothouse.apps().list(&dev).await.unwrap().len();
    assert_eq!((profiles().await, apps().await), (Err(ErrorKind::Forbidden), 0));
    for (profile, permission) in [("dev", Develop), ("prod", Read)] {
        let new = grant(&dev, Some(profile.to_owned()), permission);
        pilothouse.grants().create(&root, new.clone()).await.unwrap();
        let again = pilothouse.grants().create(&root, new).await.map_err(|error| error.kind());
        assert_eq!(again, Err(ErrorKind::AlreadyExists));
    }
    pilothouse.grants().create(&root, grant(&root, Some("test".to_owned()), Read)).await.unwrap();
    assert_eq!((profiles().await.unwrap(), apps().await), (vec!["dev".to_owned(), "prod".to_owned()], 1));
    let shown = pilothouse.grants().of_profiles(&dev, "app").await.unwrap();
    let shown: Vec<_> = shown.iter().map(|grant| grant.profile.as_deref().unwrap()).collect();
    assert_eq!(shown, ["dev", "prod"]);
    let all = pilothouse.grants().of_profiles(&root, "app").await.unwrap();
    assert_eq!(all.len(), 3, "who may read the whole app sees the grants of every profile");
    assert_eq!(
        pilothouse.grants().list(&root, "app").await.unwrap().len(),
        1,
        "app-wide grants are another list"
    );
    for profile in ["dev", "prod", "test"] {
        let read_only = profile == "test";
        let deleted = pilothouse.items().delete(&root, &name(profile), None).await;
        assert_eq!(
            deleted.is_ok(),
            !read_only,
            "the grant on the profile decides, also where it permits less"
        );
    }
    let own = pilothouse.grants().of_profiles(&root, "app").await.unwrap();
    let own = own.iter().find(|grant| grant.account == root.id).unwrap().id;
    pilothouse.grants().delete(&root, own).await.unwrap();
    pilothouse.items().delete(&root, &name("test"), None).await.unwrap();
    pilothouse.apps().delete(&root, "app").await.unwrap();
    fixture.app(&root, "app").await;
    pilothouse.items().create(&root, &name("dev"), Content::default()).await.unwrap();
    assert_eq!((profiles().await, apps().await), (Err(ErrorKind::Forbidden), 0));
}
