//! Who may see which page, and a console under a prefix with a host's own accounts.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use pilothouse_console::{ConsoleAuthenticator, ConsoleSettings, ConsoleState, Language, router};
use pilothouse_core::Result;
use pilothouse_core::account::Caller;
use tower::ServiceExt;

use crate::fixture::Fixture;

/// Every page of the navigation.
const PAGES: [&str; 24] = [
    "/apps",
    "/inbox",
    "/search",
    "/cdn/jobs",
    "/cdn/traffic",
    "/cdn/top",
    "/cdn/areas",
    "/cdn/alarms",
    "/cdn/thresholds",
    "/cdn/billing",
    "/cdn/logs",
    "/cdn/domains",
    "/cdn/bills",
    "/cdn/edges",
    "/cdn/hosts",
    "/cdn/customers",
    "/tasks",
    "/batches",
    "/files",
    "/machines",
    "/admin/accounts",
    "/admin/companies",
    "/admin/audit",
    "/admin/system",
];

#[tokio::test]
async fn the_navigation_shows_exactly_what_opens() {
    let fixture = Fixture::seeded().await;
    let customer = fixture.cdn_session().await;
    for name in ["root", "dev", "cust", "nobody", "clerk", "customer"] {
        let session = if name == "customer" { customer.clone() } else { fixture.session(name).await };
        let overview = fixture.get(&session, "/console").await.ok();
        let nav = overview.split("<nav").nth(1).unwrap().split("</nav>").next().unwrap();
        for page in PAGES {
            let is_shown = nav.contains(&format!("href=\"/console{page}\""));
            let answer = fixture.get(&session, &format!("/console{page}")).await;
            let expected = if is_shown { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(answer.status, expected, "{page} as {name}");
        }
    }
}

#[tokio::test]
async fn what_is_not_ones_own_is_refused() {
    let fixture = Fixture::seeded().await;
    let (nobody, dev, root) =
        (fixture.session("nobody").await, fixture.session("dev").await, fixture.session("root").await);
    for path in ["/apps/shop", "/apps/shop/profiles/prod", "/apps/shop/profiles/prod/releases", "/apps/none"]
    {
        let answer = fixture.get(&nobody, &format!("/console{path}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: whether or not it exists");
    }
    let sheet = "/console/apps/shop/profiles/prod/publish?key=motd";
    assert_eq!(fixture.get(&dev, sheet).await.status, StatusCode::FORBIDDEN);
    let jobs = fixture.get(&root, "/console/cdn/jobs").await.ok();
    let job = jobs.split("/console/cdn/jobs/").nth(1).unwrap().split('"').next().unwrap();
    let job = format!("/console/cdn/jobs/{job}");
    assert_eq!(fixture.get(&nobody, &job).await.status, StatusCode::NOT_FOUND);
    fixture.get(&fixture.cdn_session().await, &job).await.ok();
    let other = "/console/cdn/traffic?customer=root%40example.com";
    assert!(fixture.get(&fixture.cdn_session().await, other).await.ok().contains("cdn.example.com"));
}

#[derive(Debug)]
struct HostAccounts(Caller);

#[async_trait]
impl ConsoleAuthenticator for HostAccounts {
    async fn caller(&self, head: &Parts, _: Option<IpAddr>) -> Result<Option<Caller>> {
        Ok(head.headers.contains_key("x-host-user").then(|| self.0.clone()))
    }

    fn login_url(&self) -> Option<String> {
        Some("/sign-in".to_owned())
    }
}

#[tokio::test]
async fn a_host_mounts_it_under_a_prefix_with_its_own_accounts() {
    let fixture = Fixture::seeded().await;
    let caller = Caller { token: None, ..fixture.caller("root").await };
    let settings =
        ConsoleSettings::default().with_prefix("/fleet/console").with_language(Some(Language::Chinese));
    let console = ConsoleState::new(fixture.pilothouse.clone())
        .authenticator(Arc::new(HostAccounts(caller)))
        .settings(settings);
    let app: Router = Router::new().nest("/fleet/console", router(console));
    let send = async |request: Request<Body>| {
        let response = app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 26).await.unwrap();
        (parts, String::from_utf8(body.to_vec()).unwrap())
    };
    let (anonymous, _) = send(Request::get("/fleet/console/apps").body(Body::empty()).unwrap()).await;
    assert_eq!(anonymous.headers["location"], "/sign-in");
    for path in ["", "/apps", "/apps/shop/profiles/prod", "/cdn/jobs", "/me"] {
        let request = Request::get(format!("/fleet/console{path}")).header("x-host-user", "ann");
        let (parts, page) = send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(parts.status, StatusCode::OK, "{path}");
        assert!(page.contains("lang=\"zh-CN\""), "{path}");
        for link in page.split(['"', '\'']).filter(|text| text.starts_with('/')) {
            assert!(link.starts_with("/fleet/console"), "{link} on {path}");
        }
    }
}
