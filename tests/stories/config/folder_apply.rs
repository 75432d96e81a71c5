//! A folder is the truth: `pilothouse apply` makes profiles equal to it, says what differs, and repeats nothing.

use std::fs;

use pilothouse_test_support::postgres_or_skip;
use serde_json::json;

use crate::support::{ApiClient, CommandOutcome, Installation, ROOT, TestServer};

#[tokio::test]
async fn profiles_become_equal_to_a_folder_on_sqlite() {
    run(&Installation::sqlite()).await;
}

#[tokio::test]
async fn profiles_become_equal_to_a_folder_on_postgres() {
    let place = "config::folder_apply::profiles_become_equal_to_a_folder_on_postgres";
    let Some(postgres) = postgres_or_skip(place) else { return };
    run(&Installation::postgres(&postgres.database())).await;
}

fn apply(installation: &Installation, server: &TestServer, more: &[&str]) -> CommandOutcome {
    let url = server.url();
    let arguments = ["apply", "config", "--url", &url, "--token", "file:token"];
    installation.run(&[&arguments[..], more].concat(), "")
}

async fn run(installation: &Installation) {
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    fs::write(installation.file("token"), format!("{}\n", root.token())).unwrap();
    let app = json!({"app": "shop", "appType": 0, "name": "Shop", "charger": "ann"});
    root.post("/app/create", app).await.ok();
    for (key, value) in [("kept", "1"), ("changed", "old\nlines"), ("gone", "x")] {
        let config = json!({"app": "shop", "profile": "prod", "key": key, "value": value});
        root.post("/config/create", config).await.ok();
    }
    fs::create_dir_all(installation.file("config/shop/prod")).unwrap();
    fs::create_dir_all(installation.file("config/shop/test")).unwrap();
    fs::write(
        installation.file("config/shop/prod/a.properties"),
        "kept = 1\n# Why\nchanged = new\\nlines\nadded: Gr\\u00fc\\u00dfe\n",
    )
    .unwrap();
    fs::write(installation.file("config/shop/test/b.yaml"), "server:\n  port: 8080\n").unwrap();

    let tried = apply(installation, &server, &["--dry-run"]);
    assert_eq!(tried.code, Some(3), "{tried:?}");
    let lines = "update shop/prod/changed\n  - old\n  - lines\n  + new\n  + lines\n  + # Why\n\
                 create shop/prod/added\n  + Grüße\ndelete shop/prod/gone\n  - x\n\
                 create shop/test/server.port\n  + 8080\n";
    assert_eq!(tried.stdout, lines);
    assert!(tried.stderr.ends_with("pilothouse: 4 keys of 2 profiles would change\n"), "{tried:?}");
    assert_eq!(
        root.post("/config/query", json!({"app": "shop", "profile": "test"})).await.ok()["data"],
        json!([])
    );

    let done = apply(installation, &server, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stdout, format!("{lines}shop/prod: change set 1\nshop/test: change set 2\n"));
    let query = json!({"app": "shop", "profile": "prod"});
    let items = root.post("/config/query", query.clone()).await.ok();
    let values: Vec<_> = items["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| ["Key", "Value", "Description"].map(|name| item[name].as_str().unwrap()))
        .collect();
    assert_eq!(values, [["kept", "1", ""], ["changed", "new\nlines", "Why"], ["added", "Grüße", ""]]);

    for more in [&[][..], &["--dry-run"]] {
        let again = apply(installation, &server, more);
        assert_eq!((again.code, &*again.stdout), (Some(0), "nothing differs\n"), "{again:?}");
    }
    refusals(installation, &server, &root).await;
}

/// Whatever is wrong is said before anything is changed.
async fn refusals(installation: &Installation, server: &TestServer, root: &ApiClient) {
    let query = json!({"app": "shop", "profile": "prod"});
    let before = root.post("/config/query", query.clone()).await.ok();
    // An earlier profile would change, and a later one cannot.
    fs::write(installation.file("config/shop/prod/a.properties"), "kept = 2\n").unwrap();
    fs::write(installation.file("config/shop/test/b.yaml"), "\"a\\u200Bb\": 1\n").unwrap();
    let refused = apply(installation, server, &[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("shop/test cannot be changed:\n  a\u{200b}b: key: must not hold"),
        "{refused:?}"
    );
    fs::create_dir_all(installation.file("config/shop/empty")).unwrap();
    let refused = apply(installation, server, &[]);
    assert!(refused.code == Some(2) && refused.stderr.contains("would empty the profile"), "{refused:?}");
    fs::remove_dir(installation.file("config/shop/empty")).unwrap();
    fs::write(installation.file("token"), "wrong").unwrap();
    let refused = apply(installation, server, &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("the token is unknown"), "{refused:?}");
    let url = server.url();
    let token = installation.run(&["apply", "config", "--url", &url, "--token", "0123456789abcdef"], "");
    assert!(token.code == Some(2) && !token.stderr.contains("panicked"), "{token:?}");
    assert_eq!(root.post("/config/query", query.clone()).await.ok(), before);
}
