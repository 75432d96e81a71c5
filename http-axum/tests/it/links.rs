//! Links that the API hands out, each followed, below the prefix that a host nests the routers under.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use chrono::NaiveDate;
use pilothouse_http_axum::{ApiState, HttpSettings, router};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::cdn::traffic_api::TrafficApi;
use crate::config::apollo;

/// A host with the routers nested under `/fleet`, and the origin that its clients know.
struct Host {
    routes: Router,
    origin: &'static str,
    fixture: TrafficApi,
    root: String,
}

impl Host {
    /// A host whose settings name a public URL, or that is `fleet.test:8080` to its clients.
    async fn new(public_url: Option<&'static str>) -> Self {
        let fixture = TrafficApi::new().await;
        let http = HttpSettings::default().with_public_url(public_url.map(str::to_owned));
        let (fleet, _) = router(ApiState::new(fixture.api.pilothouse.clone()).settings(http));
        let origin = if public_url.is_some() { "https://api.example.com" } else { "http://fleet.test:8080" };
        let root = fixture.api.login("root").await;
        Self { routes: Router::new().nest("/fleet", fleet), origin, fixture, root }
    }

    /// Sends a request for a URL of this host, or for a path of it.
    async fn send(&self, url: &str, headers: &[(&str, String)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let target = url.strip_prefix(self.origin).unwrap_or(url);
        assert!(target.starts_with("/fleet/"), "{url} is not below the prefix");
        let mut request = Request::get(target).header("host", "fleet.test:8080");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    /// Calls with a token and expects success; the answer.
    async fn get(&self, url: &str, token: &str) -> Value {
        let (status, _, body) = self.send(url, &[("authorization", format!("Bearer {token}"))]).await;
        assert_eq!(status, StatusCode::OK, "{url}");
        serde_json::from_slice(&body).unwrap()
    }

    /// Asks as an Apollo client that signs `target`.
    async fn get_signed(&self, url: &str, target: &str, key: &str) -> (StatusCode, Vec<u8>) {
        let time = self.fixture.api.pilothouse.clock().now().timestamp_millis().to_string();
        let headers = [("authorization", apollo::signed(key, &time, target)), ("timestamp", time)];
        let (status, _, body) = self.send(url, &headers).await;
        (status, body)
    }
}

const PUBLIC_URLS: [Option<&str>; 3] =
    [None, Some("https://api.example.com/fleet"), Some("https://api.example.com/fleet/")];

#[tokio::test]
async fn a_listed_log_is_opened_by_its_link() {
    for public_url in PUBLIC_URLS {
        let host = Host::new(public_url).await;
        let day = NaiveDate::from_ymd_opt(2016, 9, 29).unwrap();
        host.fixture.record(&[], &[(host.fixture.domain("cdn.exrqs.com"), day, 5)], "a").await;
        let day = "domain=cdn.exrqs.com&startDate=20160929&endDate=20160929";
        let list = async |path: &str| host.get(&format!("{path}?{day}"), &host.fixture.user).await;
        let listed = list("/fleet/level3/logdownload").await;
        let url = listed["results"][0]["url"].as_str().unwrap();
        for spelt in ["/fleet/level3/logdownload/", "/fleet/level3//logdownload"] {
            let link = list(spelt).await["results"][0]["url"].as_str().unwrap().to_owned();
            assert_eq!(link.split('?').next(), url.split('?').next(), "{spelt}");
        }
        let file = format!("{}/fleet/level3/log/2016-09-29-cdn.exrqs.com.log.gz?", host.origin);
        assert!(url.starts_with(&file), "{url}");
        let (status, headers, body) = host.send(url, &[]).await;
        assert_eq!(
            (status, &headers["content-type"]),
            (StatusCode::OK, &"application/gzip".parse().unwrap())
        );
        assert_eq!(body, b"aaaaa");
        let changed = url.replace("expires=", "expires=9");
        assert_eq!(host.send(&changed, &[]).await.0, StatusCode::FORBIDDEN, "{changed}");
    }
}

#[tokio::test]
async fn apollos_discovery_leads_to_the_configuration() {
    for public_url in PUBLIC_URLS {
        let host = Host::new(public_url).await;
        let name = "app=app1&profile=dev&key=k1";
        let new = "/fleet/app/create?app=app1&appType=0&name=n&charger=c";
        assert_eq!(host.get(new, &host.root).await["code"], 0);
        let made = host.get(&format!("/fleet/config/create?{name}&value=v1"), &host.root).await;
        host.get(&format!("/fleet/config/approve?{name}"), &host.root).await;
        let published = host.get(&format!("/fleet/publish?id={}", made["data"]), &host.root).await;
        assert_eq!(published["code"], 0, "{published}");
        let key = host.get("/fleet/app/key/create?app=app1", &host.root).await["data"]["Key"].clone();
        let key = key.as_str().unwrap();

        let services = host.get("/fleet/services/config?appId=app1", "").await;
        let home = format!("{}/fleet/", host.origin);
        assert_eq!(
            services,
            json!([{"appName": "APOLLO-CONFIGSERVICE", "instanceId": home, "homepageUrl": home}])
        );
        // Clients append their path to the address that discovery gave, and sign that path with the prefix or without.
        let target = "/configs/app1/dev/application?ip=10.0.0.1";
        let url = format!("{home}{}", &target[1..]);
        for signed in [target, &format!("/fleet{target}")] {
            let (status, body) = host.get_signed(&url, signed, key).await;
            assert_eq!(status, StatusCode::OK, "{signed}");
            let answer: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(answer["configurations"], json!({"k1": "v1"}));
        }
        let (status, _) = host.get_signed(&url, &format!("/fleet/fleet{target}"), key).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}
