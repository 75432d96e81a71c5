//! What goes over profiles: search, compare and copy, files.

use std::fmt::Write as _;

use axum::http::StatusCode;

use crate::fixture::{CANARY, Fixture, escaped, item};

const PROD: &str = "/console/apps/shop/profiles/prod";

#[tokio::test]
async fn a_search_finds_keys_and_values_and_leads_to_the_items() {
    let fixture = Fixture::seeded().await;
    let (session, nobody) = (fixture.session("root").await, fixture.session("nobody").await);
    let found = fixture.get(&session, "/console/search?q=draft%2F").await.ok();
    assert!(found.contains(&format!("{PROD}/item?key=draft%2Fkey")), "{found}");
    let by_value = fixture.get(&session, &format!("/console/search?q={}", escaped(CANARY))).await.ok();
    assert!(by_value.contains(">motd<") && by_value.contains(">secret<"), "{by_value}");
    let narrow = fixture
        .get(&session, &format!("/console/search?q={}&app=shop&profile=guarded", escaped(CANARY)))
        .await;
    let narrow = narrow.ok();
    assert!(narrow.contains(">secret<") && !narrow.contains(">motd<"), "{narrow}");
    assert!(fixture.get(&session, "/console/search?q=nowhere-at-all").await.ok().contains("Nothing found"));
    assert!(!fixture.get(&nobody, "/console/search?q=motd").await.ok().contains("/item?key=motd"));
    assert_eq!(fixture.get(&nobody, "/console/search?q=m&app=shop").await.status, StatusCode::FORBIDDEN);
    let long = format!("/console/search?q={}", "x".repeat(257));
    assert_eq!(fixture.get(&session, &long).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let customer = fixture.cdn_session().await;
    assert_eq!(fixture.get(&customer, "/console/search").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn profiles_are_compared_and_chosen_keys_copied() {
    let fixture = Fixture::seeded().await;
    let session = fixture.session("root").await;
    fixture.post(&session, "/console/apps/shop/profiles/test", &[("key", "motd"), ("value", "tested")]).await;
    fixture.post(&session, "/console/apps/shop/profiles/test", &[("key", "extra"), ("value", "1")]).await;
    let path = "/console/compare?app=shop&profile=test&with_app=&with_profile=prod";
    let page = fixture.get(&session, path).await.ok();
    assert!(page.contains("Different: 1 · Only left: 1 · Only right: 2"), "{page}");
    assert!(page.contains("name=\"key\" value=\"extra\"") && !page.contains("value=\"draft/key\""), "{page}");
    let sides = [("app", "shop"), ("profile", "test"), ("with_app", ""), ("with_profile", "prod")];
    let none = fixture.post(&session, "/console/compare/copy", &sides).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(none.body.contains("at least one must be chosen"), "{}", none.body);
    let both: Vec<_> =
        sides.into_iter().chain([("key", "motd"), ("key", "extra"), ("title", "from test")]).collect();
    let copied = fixture.post(&session, "/console/compare/copy", &both).await;
    assert!(copied.location().starts_with(&format!("{PROD}/changesets/")), "{}", copied.body);
    let set = fixture.get(&session, copied.location().split('?').next().unwrap()).await.ok();
    assert!(set.contains("from test") && set.contains("+tested"), "{set}");
    let gone: Vec<_> = sides.into_iter().chain([("key", "nothing")]).collect();
    assert_eq!(fixture.post(&session, "/console/compare/copy", &gone).await.status, StatusCode::NOT_FOUND);

    let nobody = fixture.session("nobody").await;
    assert_eq!(fixture.get(&nobody, path).await.status, StatusCode::FORBIDDEN);
    assert_eq!(fixture.post(&nobody, "/console/compare/copy", &both).await.status, StatusCode::FORBIDDEN);
    let own = "/console/compare?app=other&profile=a&with_profile=b";
    assert!(fixture.get(&nobody, own).await.ok().contains("No difference"));
}

/// A form with a file, as browsers send it.
async fn upload(
    fixture: &Fixture,
    session: &str,
    file: &str,
    fields: &[(&str, &str)],
) -> crate::fixture::Answer {
    let mut body = String::new();
    for (name, value) in fields {
        write!(body, "--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").unwrap();
    }
    body.push_str("--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.properties\"\r\n");
    write!(body, "Content-Type: text/plain\r\n\r\n{file}\r\n--b0--\r\n").unwrap();
    let headers = [
        ("cookie", session),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "multipart/form-data; boundary=b0"),
    ];
    fixture.send("POST", &format!("{PROD}/files"), &headers, &body).await
}

#[tokio::test]
async fn a_profile_goes_into_a_file_and_comes_from_one() {
    let fixture = Fixture::seeded().await;
    let (session, root) = (fixture.session("dev").await, fixture.caller("root").await);
    for (format, kind) in
        [("properties", "text/plain"), ("yaml", "application/yaml"), ("json", "application/json")]
    {
        let file = fixture.get(&session, &format!("{PROD}/export?format={format}")).await;
        assert!(file.headers["content-type"].to_str().unwrap().starts_with(kind));
        let name = file.headers["content-disposition"].to_str().unwrap();
        assert_eq!(name, format!("attachment; filename=\"shop-prod.{format}\""));
        assert!(file.body.contains("motd"), "{}", file.body);
    }
    let zip = fixture.get(&session, &format!("{PROD}/export?format=apollo")).await;
    assert_eq!(zip.headers["content-type"], "application/zip");
    let wrong = fixture.get(&session, &format!("{PROD}/export?format=nacos")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);

    let file = "# stray\n\nmotd=imported\n# Port\nport=80\n";
    let fields = [("format", "properties"), ("title", "by file"), ("then", "")];
    let shown = upload(&fixture, &session, file, &fields).await.ok();
    assert!(shown.contains("Would change: 2") && shown.contains("+imported"), "{shown}");
    assert!(shown.contains("above no key: stray"), "what is left out is listed: {shown}");
    assert!(
        fixture.pilothouse.items().find(&root, &item("prod", "port")).await.is_err(),
        "a dry run does nothing"
    );
    // The page holds the file, so that it need not be chosen again.
    let held = shown.split("name=\"content\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let held = crate::markup::unescaped(&held);
    let fields = [("format", "properties"), ("title", "by file"), ("content", &*held), ("then", "apply")];
    let saved = upload(&fixture, &session, "", &fields).await;
    assert!(saved.location().starts_with(&format!("{PROD}/changesets/")), "{}", saved.body);
    let port = fixture.pilothouse.items().find(&root, &item("prod", "port")).await.unwrap();
    assert_eq!((&*port.current.content.value, &*port.current.content.description), ("80", "Port"));

    let broken = upload(&fixture, &session, "{", &[("format", "json")]).await;
    assert_eq!(broken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(broken.body.contains("file"), "{}", broken.body);
    assert_eq!(upload(&fixture, &session, "a=1", &[("surprise", "x")]).await.status, StatusCode::BAD_REQUEST);
    let pasted = [("format", "yaml"), ("text", "a: 1\n"), ("then", "")];
    assert!(fixture.post(&session, &format!("{PROD}/files"), &pasted).await.ok().contains("Would change: 1"));
    let nobody = fixture.session("nobody").await;
    for path in ["files", "export?format=json"] {
        let answer = fixture.get(&nobody, &format!("{PROD}/{path}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(upload(&fixture, &nobody, "a=1", &fields).await.status, StatusCode::FORBIDDEN);
}
