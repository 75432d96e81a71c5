//! Use cases of the configuration centre that locks keep apart: each would go wrong on a store whose locks do nothing.

use std::sync::Arc;

use super::account::add_account;
use super::race;
use crate::account::{Caller, Groups, Scope};
use crate::config::{
    Content, ItemId, ItemName, NewApp, NewGrant, NewNode, Permission, ReleaseState, Selector,
};
use crate::ports::Storage;
use crate::{Error, ErrorKind, Pilothouse, Result, Settings};

/// How often a race of two is run.
const ROUNDS: i64 = 12;

async fn caller(storage: &Arc<dyn Storage>, n: i64) -> Caller {
    Caller {
        id: add_account(storage, n).await,
        name: format!("name{n}"),
        mail: format!("Name{n}@Example.com"),
        groups: Groups::NONE,
        scope: Scope::Account,
        token: None,
        address: None,
    }
}

fn pilothouse(storage: &Arc<dyn Storage>) -> Pilothouse {
    Pilothouse::new(storage.clone(), Settings::default()).unwrap()
}

async fn create_app(pilothouse: &Pilothouse, caller: &Caller, app: &str) {
    let new = NewApp { app: app.into(), app_type: 0, name: "n".into(), charger: "c".into() };
    pilothouse.apps().create(caller, new).await.unwrap();
}

async fn give(pilothouse: &Pilothouse, by: &Caller, app: &str, to: &Caller, permission: Permission) {
    let new = NewGrant { app: app.into(), account: to.id, uname: String::new(), permission };
    pilothouse.grants().create(by, new).await.unwrap();
}

fn name(app: &str, key: &str) -> ItemName {
    ItemName { app: app.into(), profile: "dev".into(), key: key.into() }
}

async fn create_approved(pilothouse: &Pilothouse, caller: &Caller, name: &ItemName) -> ItemId {
    let id = pilothouse.items().create(caller, name, Content::default()).await.unwrap();
    pilothouse.items().approve(caller, name, None).await.unwrap();
    id
}

/// Runs two use cases at once and returns what each answered; a failure of the store is none they may answer.
async fn both<A: Send + 'static, B: Send + 'static>(
    one: impl Future<Output = Result<A>> + Send + 'static,
    other: impl Future<Output = Result<B>> + Send + 'static,
) -> (Result<()>, Result<()>) {
    let (one, other) = (tokio::spawn(one), tokio::spawn(other));
    let answers = (one.await.unwrap().map(|_| ()), other.await.unwrap().map(|_| ()));
    for error in [&answers.0, &answers.1].into_iter().filter_map(|answer| answer.as_ref().err()) {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error:?}");
    }
    answers
}

fn kind(answer: &Result<()>) -> Option<ErrorKind> {
    answer.as_ref().err().map(Error::kind)
}

/// Two admins who demote or remove each other at once: one stays.
pub async fn last_admin_stays(storage: Arc<dyn Storage>) {
    let pilothouse = pilothouse(&storage);
    let (ann, bob) = (caller(&storage, 1).await, caller(&storage, 2).await);
    for round in 0..ROUNDS {
        let app = format!("app{round}");
        create_app(&pilothouse, &ann, &app).await;
        give(&pilothouse, &ann, &app, &bob, Permission::Manage).await;
        let grants = pilothouse.grants().list(&ann, &app).await.unwrap();
        let (of_ann, of_bob) = (grants[0].id, grants[1].id);
        let (one, other) = (pilothouse.clone(), pilothouse.clone());
        let (by_ann, by_bob) = (ann.clone(), bob.clone());
        let _ = both(async move { one.grants().delete(&by_ann, of_bob).await }, async move {
            other.grants().update(&by_bob, of_ann, Permission::Develop).await
        })
        .await;
        let id = storage.read().await.unwrap().apps().by_name(&app).await.unwrap().unwrap().id;
        let left = storage.read().await.unwrap().grants().list(Some(id)).await.unwrap();
        assert!(left.iter().any(|grant| grant.permission == Permission::Manage), "round {round}: {left:?}");
    }
}

/// An app is deleted and gets a config at once: one of both.
pub async fn deleted_app_gets_no_item(storage: Arc<dyn Storage>) {
    let pilothouse = pilothouse(&storage);
    let ann = caller(&storage, 1).await;
    for round in 0..ROUNDS {
        let app = format!("app{round}");
        create_app(&pilothouse, &ann, &app).await;
        let (one, other) = (pilothouse.clone(), pilothouse.clone());
        let (by_one, by_other, gone, name) = (ann.clone(), ann.clone(), app.clone(), name(&app, "k"));
        let (deleted, created) = both(async move { one.apps().delete(&by_one, &gone).await }, async move {
            other.items().create(&by_other, &name, Content::default()).await
        })
        .await;
        assert!(deleted.is_ok() != created.is_ok(), "round {round}: {deleted:?} {created:?}");
    }
}

/// An app is deleted and a grant on it given at once: the grant goes too, or is refused.
pub async fn deleted_app_gets_no_grant(storage: Arc<dyn Storage>) {
    let pilothouse = pilothouse(&storage);
    let (ann, bob) = (caller(&storage, 1).await, caller(&storage, 2).await);
    for round in 0..ROUNDS {
        let app = format!("app{round}");
        create_app(&pilothouse, &ann, &app).await;
        let (one, other) = (pilothouse.clone(), pilothouse.clone());
        let (by_one, by_other, gone) = (ann.clone(), ann.clone(), app.clone());
        let new = NewGrant { app, account: bob.id, uname: String::new(), permission: Permission::Develop };
        let (deleted, given) = both(async move { one.apps().delete(&by_one, &gone).await }, async move {
            other.grants().create(&by_other, new).await
        })
        .await;
        assert!(deleted.is_ok() && matches!(kind(&given), None | Some(ErrorKind::Forbidden)), "{given:?}");
    }
}

/// An account is deleted and creates an app at once: it is its admin for a moment, or is told that it is gone.
pub async fn deleted_account_creates_no_app(storage: Arc<dyn Storage>) {
    let pilothouse = pilothouse(&storage);
    let ann = Caller { groups: Groups::all(), ..caller(&storage, 0).await };
    for round in 1..=ROUNDS {
        let bob = caller(&storage, round).await;
        let new = NewApp { app: format!("app{round}"), app_type: 0, name: "n".into(), charger: "c".into() };
        let (one, other, by, gone) = (pilothouse.clone(), pilothouse.clone(), ann.clone(), bob.name.clone());
        let (deleted, created) = both(async move { one.accounts().delete(&by, &gone).await }, async move {
            other.apps().create(&bob, new).await
        })
        .await;
        assert!(deleted.is_ok() && matches!(kind(&created), None | Some(ErrorKind::NotFound)), "{created:?}");
    }
}

/// A developer deletes what is being published: whoever comes second is refused.
pub async fn published_item_is_not_deleted_by_a_developer(storage: Arc<dyn Storage>) {
    let pilothouse = pilothouse(&storage);
    let (ann, bob) = (caller(&storage, 1).await, caller(&storage, 2).await);
    create_app(&pilothouse, &ann, "app").await;
    give(&pilothouse, &ann, "app", &bob, Permission::Develop).await;
    for round in 0..ROUNDS {
        let name = name("app", &format!("k{round}"));
        let id = create_approved(&pilothouse, &ann, &name).await;
        let (one, other) = (pilothouse.clone(), pilothouse.clone());
        let (by_ann, by_bob) = (ann.clone(), bob.clone());
        let (published, deleted) = both(
            async move { one.releases().publish(&by_ann, id, &Selector::default(), None).await },
            async move { other.items().delete(&by_bob, &name, None).await },
        )
        .await;
        let expected = if published.is_ok() {
            (None, Some(ErrorKind::Forbidden))
        } else {
            (Some(ErrorKind::NotFound), None)
        };
        assert_eq!((kind(&published), kind(&deleted)), expected, "round {round}");
    }
}

/// Publishes of one app at once: each has a revision of its own, without gaps, and the last is the app's.
pub async fn publishes_have_revisions_without_gaps(storage: Arc<dyn Storage>) {
    let pilothouse = pilothouse(&storage);
    let ann = caller(&storage, 1).await;
    create_app(&pilothouse, &ann, "app").await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(create_approved(&pilothouse, &ann, &name("app", &format!("k{n}"))).await);
    }
    let items = ids.clone();
    race(&storage, move |_, n| {
        let (pilothouse, ann) = (pilothouse.clone(), ann.clone());
        let id = items[usize::try_from(n).unwrap() % 4];
        async move { pilothouse.releases().publish(&ann, id, &Selector::default(), None).await.unwrap() }
    })
    .await;
    let mut snapshot = storage.read().await.unwrap();
    let app = snapshot.apps().by_name("app").await.unwrap().unwrap();
    let mut revisions = Vec::new();
    for id in ids {
        assert_eq!(snapshot.releases().active(id).await.unwrap().len(), 1);
    }
    for (release, _) in snapshot.releases().list(app.id, "dev", None, 100).await.unwrap() {
        revisions.push(release.revision);
    }
    revisions.sort_unstable();
    assert_eq!((revisions, app.revision), ((1..=16).collect(), 16));
}

/// A grey release is promoted, taken back and replaced at once, again and again: it ends once, in the way that was
/// acknowledged, and what is full follows without gap or overlap.
pub async fn grey_release_ends_once(storage: Arc<dyn Storage>) {
    let pilothouse = pilothouse(&storage);
    let ann = caller(&storage, 1).await;
    create_app(&pilothouse, &ann, "app").await;
    let feed = pilothouse.feeds().named("app").await.unwrap().unwrap();
    let node = NewNode { profile: "dev".into(), node_id: Some("node".into()), ..NewNode::default() };
    feed.register(node).await.unwrap();
    let to_node = Selector { nodes: Some("node".into()), ..Selector::default() };
    for round in 0..ROUNDS {
        let id = create_approved(&pilothouse, &ann, &name("app", &format!("k{round}"))).await;
        let releases = pilothouse.releases();
        releases.publish(&ann, id, &Selector::default(), None).await.unwrap();
        let grey = releases.publish(&ann, id, &to_node, None).await.unwrap().release;
        let (server, by) = (pilothouse.clone(), ann.clone());
        let answers = race(&storage, move |_, n| {
            let (server, by) = (server.clone(), by.clone());
            async move {
                let releases = server.releases();
                match n {
                    0 => releases.publish(&by, id, &Selector::default(), None).await.map(|_| ()),
                    n if n % 2 == 0 => releases.abort(&by, grey).await,
                    _ => releases.promote(&by, grey).await.map(|_| ()),
                }
            }
        })
        .await;
        assert!(answers[0].is_ok(), "round {round}: {answers:?}");
        let ended: Vec<_> = (1..).zip(&answers[1..]).filter(|(_, answer)| answer.is_ok()).collect();
        let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert!(refused.into_iter().all(|error| error.kind() == ErrorKind::Conflict), "{answers:?}");
        let expected = match &ended[..] {
            [] => ReleaseState::Superseded,
            [(n, _)] if n % 2 == 0 => ReleaseState::Aborted,
            [_] => ReleaseState::Promoted,
            _ => panic!("round {round}: it ended again: {answers:?}"),
        };
        let mut snapshot = storage.read().await.unwrap();
        let ended = snapshot.releases().by_id(grey).await.unwrap().unwrap();
        assert_eq!(ended.state, expected, "round {round}: {answers:?}");
        let app = snapshot.apps().by_name("app").await.unwrap().unwrap();
        let key = format!("k{round}");
        let listed = snapshot.releases().list(app.id, "dev", Some(&key), 100).await.unwrap();
        let mut full: Vec<_> =
            listed.iter().map(|(release, _)| release).filter(|release| release.id != grey).collect();
        full.sort_unstable_by_key(|release| release.revision);
        let starts = full.iter().skip(1).map(|release| Some(release.revision)).chain([None]);
        assert!(full.iter().map(|release| release.end_revision).eq(starts), "round {round}: {full:?}");
        assert_eq!(full.len(), 2 + usize::from(expected == ReleaseState::Promoted));
    }
}
