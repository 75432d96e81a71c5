//! Access tokens: look-up by digest, use, revocation, expiry.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use pilothouse_core::account::{
    AccountId, Group, Groups, NewApiToken, NewToken, Scope, TokenAuthenticator, TokenId, TokenLimits,
    UpdateAccount,
};
use pilothouse_core::config::{ItemName, UpdateApp};
use pilothouse_core::ports::{Authenticator as _, Storage};
use pilothouse_core::{Error, ErrorKind, Settings};

use super::stopped::{new_app, value};
use crate::Fixture;
use crate::rows::{AWKWARD, add_account, moment};

pub(crate) fn token(account: AccountId, n: u8) -> NewToken {
    NewToken {
        account,
        scope: if n.is_multiple_of(2) { Scope::Cdn } else { Scope::Account },
        name: String::new(),
        limits: None,
        digest: [n; 32],
        created: moment(0),
        expires: moment(i64::from(n)),
        address: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    }
}

/// A token comes back with its account, and is listed, touched and revoked.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let other = add_account(&storage, 2).await;
    let mut work = storage.begin().await.unwrap();
    let id = work.tokens().insert(&token(owner, 1)).await.unwrap();
    let cdn = work.tokens().insert(&token(owner, 2)).await.unwrap();
    work.tokens().touch(&[(id, moment(7)), (TokenId(id.0 + 1000), moment(7))]).await.unwrap();
    work.commit().await.unwrap();

    let mut work = storage.begin().await.unwrap();
    let (found, account) = work.tokens().resolve(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((found.id, found.account, account.id, account.name.as_str()), (id, owner, owner, "name1"));
    assert_eq!((found.created, found.expires, found.last_used), (moment(0), moment(1), Some(moment(7))));
    assert_eq!((found.scope, found.address), (Scope::Account, Some(IpAddr::V6(Ipv6Addr::LOCALHOST))));
    assert_eq!(work.tokens().resolve(&[9; 32]).await.unwrap(), None);
    assert_eq!(work.tokens().of_account(owner).await.unwrap().len(), 2);
    assert!(!work.tokens().delete(other, id).await.unwrap(), "nobody revokes another's token");
    assert!(work.tokens().delete(owner, id).await.unwrap());
    let left = work.tokens().of_account(owner).await.unwrap();
    assert_eq!(left.iter().map(|token| (token.id, token.scope)).collect::<Vec<_>>(), [(cdn, Scope::Cdn)]);
}

/// Tokens end by scope, by account and by time.
pub(crate) async fn ends(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    for n in 1..=6 {
        work.tokens().insert(&token(owner, n)).await.unwrap();
    }
    work.tokens().prune(moment(2)).await.unwrap();
    assert_eq!(work.tokens().of_account(owner).await.unwrap().len(), 4, "a token ends at its moment");
    work.tokens().delete_of_account(owner, Some(Scope::Cdn)).await.unwrap();
    let left = work.tokens().of_account(owner).await.unwrap();
    assert!(left.len() == 2 && left.iter().all(|token| token.scope == Scope::Account));
    work.tokens().delete_of_account(owner, None).await.unwrap();
    assert!(work.tokens().of_account(owner).await.unwrap().is_empty());
}

/// A log-in beyond the most tokens of an account ends the oldest of its scope, and no other.
pub(crate) async fn newest_stay(storage: Arc<dyn Storage>) {
    let settings = Settings::default().with_tokens_per_account(2);
    let fixture = Fixture::builder(storage.clone()).settings(settings).build();
    let (pilothouse, password) = (&fixture.pilothouse, "correct horse battery");
    let ann = pilothouse.accounts().create_superuser("ann", "ann@example.com", password).await.unwrap();
    let stranger = add_account(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    let of_cdn = work.tokens().insert(&token(ann, 2)).await.unwrap();
    work.tokens().insert(&token(stranger, 3)).await.unwrap();
    work.commit().await.unwrap();
    let mut issued = Vec::new();
    for _ in 0..4 {
        pilothouse.logins().login("ann", password, None).await.unwrap();
        let tokens = storage.read().await.unwrap().tokens().of_account(ann).await.unwrap();
        issued.push(tokens.last().unwrap().id);
    }
    let mut snapshot = storage.read().await.unwrap();
    let left: Vec<_> =
        snapshot.tokens().of_account(ann).await.unwrap().iter().map(|token| token.id).collect();
    assert_eq!(left, [of_cdn, issued[2], issued[3]]);
    assert_eq!(snapshot.tokens().of_account(stranger).await.unwrap().len(), 1);
}

/// Name and limits of an API token come back as they were given.
pub(crate) async fn limits_are_kept(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let limits = [
        TokenLimits::default(),
        TokenLimits { groups: Groups::all(), apps: names(&[]), profiles: names(&["dev"]), cdn: true },
        TokenLimits { groups: Groups::NONE, apps: names(&["a.b", "c"]), profiles: None, cdn: false },
    ];
    let mut work = storage.begin().await.unwrap();
    for (limits, n) in limits.iter().zip(1..) {
        let limits = Some(Arc::new(limits.clone()));
        let new = NewToken { scope: Scope::Api, name: AWKWARD.into(), limits, ..token(owner, n) };
        work.tokens().insert(&new).await.unwrap();
    }
    work.tokens().insert(&NewToken { scope: Scope::Console, ..token(owner, 4) }).await.unwrap();
    work.tokens().insert(&NewToken { scope: Scope::ConsoleCdn, ..token(owner, 5) }).await.unwrap();
    work.commit().await.unwrap();
    let tokens = storage.read().await.unwrap().tokens().of_account(owner).await.unwrap();
    for (token, limits) in tokens.iter().zip(&limits) {
        assert_eq!((token.scope, &*token.name, token.limits.as_deref()), (Scope::Api, AWKWARD, Some(limits)));
    }
    assert_eq!((tokens[3].scope, tokens[3].limits.as_ref()), (Scope::Console, None));
    assert_eq!((tokens[4].scope, tokens[4].limits.as_ref()), (Scope::ConsoleCdn, None));
}

/// An API token opens what its owner may at the moment of use, cut by its limits, and makes no token itself.
pub(crate) async fn an_api_token_is_cut_by_its_limits(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let pilothouse = &fixture.pilothouse;
    let groups = [Group::ReadTasks, Group::WriteTasks].into_iter().collect();
    let ann = fixture.account("ann", groups).await;
    for app in ["app", "other"] {
        pilothouse.apps().create(&ann, new_app(app)).await.unwrap();
        for profile in ["dev", "prod"] {
            let name = ItemName { app: app.into(), profile: profile.into(), key: "k".into() };
            pilothouse.items().create(&ann, &name, value("v")).await.unwrap();
        }
    }
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let new = |name: &str, limits: TokenLimits| NewApiToken { name: name.into(), limits, days: 366 };
    let authenticator = TokenAuthenticator::new(pilothouse.clone());
    let tokens = pilothouse.tokens();
    let reads = TokenLimits { groups: [Group::ReadTasks].into_iter().collect(), ..TokenLimits::default() };
    let limits = TokenLimits { apps: names(&["app"]), profiles: names(&["dev"]), ..reads };
    let issued = tokens.issue(&ann, new("ci", limits.clone())).await.unwrap();
    assert!(
        issued.token.starts_with("ph_") && issued.token.len() == 67 && !format!("{issued:?}").contains("ph_")
    );
    let ci = authenticator.authenticate(&issued.token, None).await.unwrap();
    assert!(ci.holds(Group::ReadTasks) && !ci.holds(Group::WriteTasks));

    let kind = |refused: Error| refused.kind();
    let items = pilothouse.items();
    assert_eq!(items.list(&ci, "app", "dev").await.unwrap().len(), 1);
    for (app, profile) in [("app", "prod"), ("other", "dev"), ("absent", "dev")] {
        assert_eq!(
            items.list(&ci, app, profile).await.map_err(kind),
            Err(ErrorKind::Forbidden),
            "{app} {profile}"
        );
    }
    assert_eq!(items.profiles(&ci, "app").await.unwrap(), ["dev"]);
    let apps: Vec<_> = pilothouse.apps().list(&ci).await.unwrap().into_iter().map(|app| app.app).collect();
    assert_eq!(apps, ["app"]);
    let approve = async |profile: &str| {
        let name = ItemName { app: "app".into(), profile: profile.into(), key: "k".into() };
        items.approve(&ci, &name, None).await.map_err(kind)
    };
    assert_eq!((approve("dev").await, approve("prod").await), (Ok(()), Err(ErrorKind::Forbidden)));
    // What concerns the whole app needs a token without a limit of profiles.
    let update = pilothouse.apps().update(&ci, "app", UpdateApp::default()).await;
    assert_eq!(update.map_err(kind), Err(ErrorKind::Forbidden));
    assert_eq!(pilothouse.apps().create(&ci, new_app("new")).await.map_err(kind), Err(ErrorKind::Forbidden));
    let deployer = TokenLimits { profiles: None, ..limits.clone() };
    let deployer = tokens.issue(&ann, new("deployer", deployer)).await.unwrap();
    let deployer = authenticator.authenticate(&deployer.token, None).await.unwrap();
    pilothouse.apps().update(&deployer, "app", UpdateApp::default()).await.unwrap();

    // A token makes no token and sees none, changes no password of its own, and may only end itself.
    let wider = TokenLimits { apps: None, ..limits.clone() };
    assert_eq!(tokens.issue(&ci, new("wider", wider)).await.map_err(kind), Err(ErrorKind::Forbidden));
    assert_eq!(tokens.list(&ci, None).await.map_err(kind), Err(ErrorKind::Forbidden));
    assert_eq!(
        tokens.revoke(&ci, None, deployer.token.unwrap()).await.map_err(kind),
        Err(ErrorKind::Forbidden)
    );
    let own = UpdateAccount { department: Some("x".into()), ..UpdateAccount::default() };
    assert_eq!(pilothouse.accounts().update(&ci, own).await.map_err(kind), Err(ErrorKind::Forbidden));
    for (name, days) in [("", 1), ("a", 0), ("a", 367), ("a\u{200b}", 1)] {
        let invalid = NewApiToken { name: name.into(), limits: limits.clone(), days };
        assert_eq!(
            tokens.issue(&ann, invalid).await.map_err(kind),
            Err(ErrorKind::Invalid),
            "{name:?} {days}"
        );
    }
    assert_eq!(
        tokens.issue(&ann, new("ci", limits.clone())).await.map_err(kind),
        Err(ErrorKind::AlreadyExists)
    );
    let beyond = TokenLimits { groups: Groups::all(), ..limits };
    assert_eq!(tokens.issue(&ann, new("all", beyond)).await.map_err(kind), Err(ErrorKind::Forbidden));

    // A token that opens no apps takes over no account that has them, whatever its owner may.
    let root =
        pilothouse.accounts().create_superuser("root", "root@example.com", "a long password").await.unwrap();
    let root = fixture.caller(root).await;
    let limits = TokenLimits { groups: Groups::all(), cdn: true, apps: names(&[]), profiles: None };
    let keeper = tokens.issue(&root, new("keeper", limits)).await.unwrap();
    let keeper = authenticator.authenticate(&keeper.token, None).await.unwrap();
    let password = || UpdateAccount {
        name: Some("ann".into()),
        new_passwd: Some("another long password".into()),
        ..UpdateAccount::default()
    };
    let taken = pilothouse.accounts().update(&keeper, password()).await;
    assert_eq!(taken.map_err(kind), Err(ErrorKind::Forbidden));

    // Without its group the owner's token has it no more; an administrator sees and ends it.
    let listed = tokens.list(&root, Some("ann")).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|token| (&*token.name, token.last_used.is_some())).collect();
    assert_eq!(listed, [("ci", true), ("deployer", true)]);
    assert_eq!(tokens.list(&ann, Some("root")).await.map_err(kind), Err(ErrorKind::Forbidden));
    tokens.revoke(&root, Some("ann"), issued.id).await.unwrap();
    assert!(authenticator.authenticate(&issued.token, None).await.is_err());
    tokens.logout(&deployer).await.unwrap();
    assert_eq!(tokens.list(&root, Some("ann")).await.unwrap(), []);
}
