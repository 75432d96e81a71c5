//! Change sets: the text mode that makes them, their pages, the inbox, and the way back.

use axum::http::StatusCode;
use pilothouse_core::config::{ChangeSetState, ContentChange};

use crate::fixture::{CANARY, Fixture, escaped, item};
use crate::markup::{forms, tags};

const PROD: &str = "/console/apps/shop/profiles/prod";

/// Value of an item; nothing where there is none.
async fn value(fixture: &Fixture, key: &str) -> Option<String> {
    let root = fixture.caller("root").await;
    let found = fixture.pilothouse.items().find(&root, &item("prod", key)).await.ok()?;
    Some(found.current.content.value)
}

/// The text of a profile's form, and what it was made of.
async fn text(fixture: &Fixture, session: &str) -> (String, String) {
    let page = fixture.get(session, &format!("{PROD}/text")).await.ok();
    let field = |name: &str| {
        let mut tags = tags(&page).into_iter();
        let found = tags.find(|tag| tag.name == "textarea" && tag.attribute("name") == Some(name)).unwrap();
        found.text.strip_prefix('\n').unwrap().to_owned()
    };
    (field("text"), field("base"))
}

async fn sent(
    fixture: &Fixture,
    session: &str,
    (text, base): (&str, &str),
    then: &str,
) -> crate::fixture::Answer {
    let fields = [("text", text), ("base", base), ("title", "by text"), ("then", then)];
    fixture.post(session, &format!("{PROD}/text"), &fields).await
}

#[tokio::test]
async fn all_items_are_edited_as_one_text_and_published_as_one_set() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let (before, base) = text(&fixture, &session).await;
    assert!(before.contains(&format!("# {CANARY}\nmotd=")), "{before}");
    let same = sent(&fixture, &session, (&before, &base), "save").await.ok();
    assert!(same.contains("Would change: 0"), "{same}");

    let edited = format!("{}\nport=80\n", before.replace("motd=", "motd=new ").replace('\n', "\r\n"));
    let shown = sent(&fixture, &session, (&edited, &base), "").await.ok();
    assert!(shown.contains("Would change: 2") && shown.contains("+80"), "{shown}");
    assert_eq!(value(&fixture, "port").await, None, "nothing is saved by looking");
    let saved = sent(&fixture, &session, (&edited, &base), "save").await;
    let path = saved.location().split('?').next().unwrap().to_owned();
    assert!(path.starts_with(&format!("{PROD}/changesets/")), "{}", saved.body);
    assert_eq!(value(&fixture, "port").await.as_deref(), Some("80"));
    assert_eq!(
        value(&fixture, "motd").await,
        Some(format!("new {CANARY}")),
        "the description stays as it was"
    );
    let page = fixture.get(&session, &path).await.ok();
    assert!(
        page.contains("by text") && page.contains("port") && page.contains("Approve and publish"),
        "{page}"
    );

    let preview = fixture.get(&session, &format!("{path}/publish?to=percent&percent=101")).await;
    assert_eq!(preview.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = fixture.post(&session, &format!("{path}/publish"), &[("to", "nodes"), ("nodes", "x")]).await;
    assert!(wrong.status.is_client_error(), "{}", wrong.status);
    assert!(
        fixture.get(&session, &path).await.ok().contains("<dd>draft</dd>"),
        "a wrong choice approves nothing"
    );
    let published = fixture.post(&session, &format!("{path}/publish"), &[("to", "all")]).await;
    let release = published.location().to_owned();
    assert!(release.starts_with(&format!("{PROD}/releases/")), "{}", published.body);
    let page = fixture.get(&session, &path).await.ok();
    assert!(page.contains("<dd>released</dd>") && page.contains(&format!("{release}/rollback")), "{page}");

    // One action leads to what the way back would do, the second takes it.
    let sheet = fixture.get(&session, &format!("{release}/rollback")).await.ok();
    assert!(sheet.contains("port") && sheet.contains("v1 → deleted"), "{sheet}");
    let back = fixture.post(&session, &format!("{release}/rollback"), &[]).await;
    assert!(back.location().starts_with(&format!("{PROD}/releases/")), "{}", back.body);
    let root = fixture.caller("root").await;
    let motd = fixture.pilothouse.items().find(&root, &item("prod", "motd")).await.unwrap();
    assert_eq!((motd.published_version, &*motd.published_value), (1, CANARY));
    assert_eq!(fixture.get(&session, &format!("{release}/rollback")).await.status, StatusCode::CONFLICT);
    let dev = fixture.session("dev").await;
    assert_eq!(fixture.get(&dev, &format!("{release}/rollback")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(fixture.post(&dev, &format!("{release}/rollback"), &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_edited_text_keeps_what_others_changed_meanwhile() {
    let fixture = Fixture::seeded().await;
    let (session, root) = (fixture.session("dev").await, fixture.caller("root").await);
    let (before, base) = text(&fixture, &session).await;
    let change = ContentChange { value: Some("theirs".to_owned()), ..ContentChange::default() };
    fixture.pilothouse.items().update(&root, &item("prod", "motd"), change, None).await.unwrap();
    let other = before.replace("draft/key=", "draft/key=mine ");
    let saved = sent(&fixture, &session, (&other, &base), "save").await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    assert_eq!(value(&fixture, "motd").await.as_deref(), Some("theirs"), "it was not edited here");
    assert_eq!(value(&fixture, "draft/key").await, Some(format!("mine {CANARY}")));

    let lost = before.replace("motd=", "motd=mine ");
    let refused = sent(&fixture, &session, (&lost, &base), "save").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("motd: version 1 is not the current one"), "{}", refused.body);
    assert!(refused.body.contains("motd=mine"), "what was typed stays");
    assert_eq!(value(&fixture, "motd").await.as_deref(), Some("theirs"));
    let broken = sent(&fixture, &session, ("a=\\u12", ""), "").await;
    assert_eq!(broken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(broken.body.contains("text line 1"), "{}", broken.body);
    // A developer may not delete what was released, and keeps what was typed.
    let without: String =
        before.lines().filter(|line| !line.starts_with("motd=")).collect::<Vec<_>>().join("\n");
    let refused = sent(&fixture, &session, (&format!("{without}\nkept=1\n"), &base), "save").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("kept=1") && refused.body.contains("may publish"), "{}", refused.body);
    let (_, base) = text(&fixture, &fixture.session("root").await).await;
    let deleted = sent(&fixture, &fixture.session("root").await, (&without, &base), "").await.ok();
    assert!(deleted.contains("deleted") && deleted.contains("-theirs"), "{deleted}");
    let nobody = fixture.session("nobody").await;
    assert_eq!(sent(&fixture, &nobody, ("", ""), "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_inbox_approves_and_rejects_in_place() {
    let fixture = Fixture::seeded().await;
    let (session, dev) = (fixture.session("root").await, fixture.session("dev").await);
    let change =
        [("key", "motd"), ("version", "1"), ("value", "next"), ("validator", ""), ("description", "")];
    fixture.post(&dev, &format!("{PROD}/update"), &change).await;
    let inbox = fixture.get(&session, "/console/inbox").await.ok();
    assert!(inbox.contains("To approve") && inbox.contains("+next"), "{inbox}");
    assert!(inbox.contains(">dev<br>"), "whose change it is: {inbox}");
    let seen = [("app", "shop"), ("profile", "prod"), ("key", "motd"), ("version", "2")];
    let stale = [seen[0], seen[1], seen[2], ("version", "1")];
    assert_eq!(fixture.post(&session, "/console/inbox/approve", &stale).await.status, StatusCode::CONFLICT);
    assert_eq!(fixture.post(&dev, "/console/inbox/approve", &seen).await.status, StatusCode::FORBIDDEN);
    let approved = fixture.post(&session, "/console/inbox/approve", &seen).await;
    assert_eq!(approved.location(), "/console/inbox?notice=approved");
    let inbox = fixture.get(&session, "/console/inbox").await.ok();
    let (to_approve, to_publish) = inbox.split_once("To publish").unwrap();
    assert!(to_publish.contains(">motd<") && !to_approve.contains(">motd<"), "{inbox}");

    // A rejected change leaves what is published, and nothing that waits.
    let rejected = fixture.post(&dev, "/console/inbox/reject", &seen).await;
    assert_eq!(rejected.location(), "/console/inbox?notice=saved");
    assert_eq!(value(&fixture, "motd").await.as_deref(), Some(CANARY));
    assert!(!fixture.get(&session, "/console/inbox").await.ok().contains(">motd<"));
    let never = [seen[0], seen[1], ("key", "draft/key"), ("version", "1")];
    fixture.post(&session, "/console/inbox/reject", &never).await;
    assert_eq!(value(&fixture, "draft/key").await, None);

    // A grey release is decided in place, too; its key is not deleted by rejecting a newer draft.
    let root = fixture.caller("root").await;
    let key = fixture.pilothouse.app_keys().create(&root, "shop").await.unwrap().text;
    let node = serde_json::json!({"app": "shop", "profile": "prod", "nodeId": "n-1", "pid": "1"});
    assert_eq!(fixture.call(&key, "/node/register", &node).await["code"], 0);
    let port = [("key", "port"), ("value", "80"), ("validator", ""), ("description", "")];
    fixture.post(&session, PROD, &port).await;
    let grey = [("key", "port"), ("version", "1"), ("to", "nodes"), ("nodes", "n-1")];
    let release = fixture.post(&session, &format!("{PROD}/publish"), &grey).await.location().to_owned();
    let change = [("key", "port"), ("version", "1"), ("value", "81"), ("validator", ""), ("description", "")];
    fixture.post(&session, &format!("{PROD}/update"), &change).await;
    let newer = [seen[0], seen[1], ("key", "port"), ("version", "2")];
    let refused = fixture.post(&session, "/console/inbox/reject", &newer).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    let id = release.rsplit('/').next().unwrap();
    let inbox = fixture.get(&session, "/console/inbox").await.ok();
    assert!(inbox.contains("Grey releases") && inbox.contains(&format!("#{id}")), "{inbox}");
    assert_eq!(
        fixture.post(&dev, "/console/inbox/promote", &[("release", id)]).await.status,
        StatusCode::FORBIDDEN
    );
    fixture.post(&session, "/console/inbox/promote", &[("release", id)]).await;
    let found = fixture.pilothouse.items().find(&root, &item("prod", "port")).await.unwrap();
    assert_eq!(found.published_version, 1);
}

#[tokio::test]
async fn change_sets_are_listed_approved_and_discarded() {
    let fixture = Fixture::seeded().await;
    let (session, dev) = (fixture.session("root").await, fixture.session("dev").await);
    let (before, base) = text(&fixture, &dev).await;
    let saved = sent(&fixture, &dev, (&format!("{before}one=1\n"), &base), "save").await;
    let path = saved.location().split('?').next().unwrap().to_owned();
    let list = fixture.get(&session, &format!("{PROD}/changesets?state=draft")).await.ok();
    assert!(list.contains("by text") && list.contains(">dev "), "{list}");
    assert!(
        !fixture.get(&session, &format!("{PROD}/changesets?state=approved")).await.ok().contains("by text")
    );
    let wrong = fixture.get(&session, &format!("{PROD}/changesets?state=x")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = fixture.get(&dev, &path).await.ok();
    let actions: Vec<_> = forms(&page, |_, _| String::new()).into_iter().map(|form| form.action).collect();
    assert!(actions.contains(&format!("{path}/discard")), "{actions:?}");
    assert!(!actions.iter().any(|action| action.ends_with("/approve") || action.ends_with("/publish")));
    assert_eq!(fixture.post(&dev, &format!("{path}/approve"), &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(fixture.post(&dev, &format!("{path}/publish"), &[]).await.status, StatusCode::FORBIDDEN);
    let other = path.replace("/prod/", "/guarded/");
    assert_eq!(fixture.get(&session, &other).await.status, StatusCode::NOT_FOUND, "of another profile");
    let nobody = fixture.session("nobody").await;
    assert_eq!(fixture.get(&nobody, &path).await.status, StatusCode::FORBIDDEN);

    let inbox = fixture.get(&session, "/console/inbox").await.ok();
    assert!(inbox.contains(&format!("{path}/approve")), "{inbox}");
    let approved = fixture.post(&session, &format!("{path}/approve"), &[("then", "inbox")]).await;
    assert_eq!(approved.location(), "/console/inbox?notice=approved");
    let discarded = fixture.post(&session, &format!("{path}/discard"), &[]).await;
    assert_eq!(discarded.location(), format!("{path}?notice=saved"));
    assert!(fixture.get(&session, &path).await.ok().contains("<dd>discarded</dd>"));
    assert_eq!(value(&fixture, "one").await, None);
    let again = fixture.post(&session, &format!("{path}/approve"), &[]).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.body);
    let root = fixture.caller("root").await;
    let sets = fixture.pilothouse.change_sets();
    let list = sets
        .list(&root, ("shop", "prod"), Some(ChangeSetState::Discarded), pilothouse_core::Page::default())
        .await;
    assert_eq!(list.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_saved_value_leads_to_its_publish_sheet() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    let edit = fixture.get(&session, &format!("{PROD}?edit=motd")).await.ok();
    assert!(edit.contains("Save and publish"), "{edit}");
    let fields = [("key", "motd"), ("version", "1"), ("value", "a b"), ("then", "publish")];
    let saved = fixture.post(&session, &format!("{PROD}/update"), &fields).await;
    assert_eq!(saved.location(), format!("{PROD}/publish?key=motd"));
    let key = "new key/ä";
    let created = fixture.post(&session, PROD, &[("key", key), ("value", "1"), ("then", "publish")]).await;
    assert_eq!(created.location(), format!("{PROD}/publish?key={}", escaped(key)));
    let dev = fixture.session("dev").await;
    assert!(!fixture.get(&dev, &format!("{PROD}?edit=motd")).await.ok().contains("Save and publish"));
    let guarded = fixture.get(&session, "/console/apps/shop/profiles/guarded?edit=secret").await.ok();
    assert!(guarded.contains("name=\"value\"") && !guarded.contains("Save and publish"), "under four-eyes");
}
