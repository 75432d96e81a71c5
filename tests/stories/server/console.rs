//! The console of the real program: the link to the first account, and sessions on two servers over one store.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use pilothouse_test_support::{ProcessGuard, free_port, postgres_or_skip};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::time::timeout;

use crate::support::{ApiClient, Installation, PASSWORD, ROOT, TestServer};

/// Time within which a live part shows what happened on another server.
const SHOWN: Duration = Duration::from_secs(60);

/// Reads a live part until it shows a text.
async fn read_until(stream: &mut Response, text: &str) {
    let mut shown = String::new();
    let reading = async {
        while !shown.contains(text) {
            let chunk = stream.chunk().await.unwrap().expect("the live part goes on");
            shown.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let is_shown = timeout(SHOWN, reading).await.is_ok();
    assert!(is_shown, "{text} in {shown}");
}

/// A browser, as far as this is one: it follows nothing by itself.
fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

async fn post(server: &TestServer, session: &str, path: &str, form: &[(&str, &str)]) -> Response {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    let body = body.finish();
    let request = browser().post(format!("{}{path}", server.url())).header("cookie", session);
    let request = request.header("origin", server.url());
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    request.body(body).send().await.unwrap()
}

async fn get(server: &TestServer, session: &str, path: &str) -> Response {
    let request = browser().get(format!("{}{path}", server.url())).header("cookie", session);
    request.header("accept", "text/html").send().await.unwrap()
}

fn session(answer: &Response) -> String {
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn location(answer: &Response) -> &str {
    answer.headers()["location"].to_str().unwrap()
}

#[tokio::test]
async fn a_session_holds_on_every_server_and_ends_on_all() {
    let Some(postgres) = postgres_or_skip("server::console::a_session_holds_on_every_server") else { return };
    let database = postgres.database();
    Installation::postgres(&database).create_root();
    let (one, two) = (Installation::postgres(&database), Installation::postgres(&database));
    let (one, mut two) = tokio::join!(one.serve(), two.serve());
    let begun = post(&one, "", "/console/login", &[("name", ROOT), ("password", PASSWORD)]).await;
    assert_eq!((begun.status(), location(&begun)), (StatusCode::SEE_OTHER, "/console"));
    let session = session(&begun);
    for server in [&one, &two] {
        let page = get(server, &session, "/console").await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(get(server, "", "/console/apps").await.status(), StatusCode::SEE_OTHER);
    }
    // What a node says to one server is seen on a page of the other.
    let root = ApiClient::new(&[&one]).login(ROOT).await;
    let created = [("app", "shop"), ("name", "Shop"), ("charger", "ann")];
    assert_eq!(
        location(&post(&two, &session, "/console/apps", &created).await),
        "/console/apps/shop?notice=created"
    );
    let profile = "/console/apps/shop/profiles/prod";
    post(&two, &session, profile, &[("key", "motd"), ("value", "hello")]).await;
    let key = root.get("/app/key/create?app=shop").await.ok()["data"]["Key"].as_str().unwrap().to_owned();
    let node = ApiClient::new(&[&one]).with_token(&key);
    let register = serde_json::json!({"app": "shop", "profile": "prod", "nodeId": "n-1", "pid": "1"});
    node.post("/node/register", register).await.ok();
    let form = [("key", "motd"), ("version", "1"), ("to", "all")];
    let release = post(&two, &session, &format!("{profile}/publish"), &form).await;
    let release = location(&release).to_owned();
    let mut live = get(&two, &session, &format!("{release}/live?show=")).await;
    assert_eq!(live.status(), StatusCode::OK);
    read_until(&mut live, "Applied 0 / 1").await;
    let results = serde_json::json!([{"key": "motd", "version": 1, "result": "applied"}]);
    let ack = serde_json::json!({"app": "shop", "profile": "prod", "nodeId": "n-1", "results": results});
    node.post("/node/ack", ack).await.ok();
    read_until(&mut live, "Applied 1 / 1").await;
    let page = get(&two, &session, &release).await.text().await.unwrap();
    assert!(page.contains("Applied 1 / 1"), "{page}");

    // A server that stops ends its live parts, in place of cutting them off after its time limit.
    two.process.terminate();
    while live.chunk().await.unwrap().is_some() {}

    post(&one, &session, "/console/logout", &[]).await;
    assert_eq!(get(&one, &session, "/console").await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_program_prints_a_link_to_the_first_account() {
    let installation = Installation::sqlite();
    let (port, greeting) = (free_port(), installation.file("greeting"));
    let mut command = installation.command(&["serve"]);
    command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}"));
    command.stdout(File::create(&greeting).unwrap()).stderr(Stdio::null());
    let server = installation.server(ProcessGuard::spawn(&mut command).unwrap(), port);
    server.wait_until_ready().await;
    let log = fs::read_to_string(greeting).unwrap();
    let link = log
        .split_whitespace()
        .find(|word| word.contains("/console/setup?code="))
        .unwrap_or_else(|| panic!("{log}"));
    let (_, code) = link.split_once("code=").unwrap();
    let form = [
        ("code", code),
        ("name", "ann"),
        ("mail", "ann@example.com"),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ];
    let made = post(&server, "", "/console/setup", &form).await;
    assert_eq!(location(&made), "/console");
    assert_eq!(get(&server, &session(&made), "/console/admin/accounts").await.status(), StatusCode::OK);
    assert_eq!(post(&server, "", "/console/setup", &form).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(location(&get(&server, "", "/").await), "/console", "the root leads a person there");
}

#[tokio::test]
async fn a_setting_turns_it_off() {
    let installation = Installation::sqlite().with("CONSOLE", "false");
    installation.create_root();
    let server = installation.serve().await;
    assert_eq!(get(&server, "", "/console").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(location(&get(&server, "", "/").await), "/docs/");
}
