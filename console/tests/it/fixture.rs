//! Console and API over one store, with objects of every kind and callers of every kind.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use pilothouse_conformance::doubles::{ManualClock, MemoryBlobs, ScriptedProvider};
use pilothouse_console::{ConsoleState, router};
use pilothouse_core::account::{Caller, Groups, NewAccount, TokenAuthenticator};
use pilothouse_core::cdn::{JobKind, JobUrls, NewCustomer};
use pilothouse_core::config::{
    Change, Content, ContentChange, ItemChange, ItemName, NewApp, NewChangeSet, NewGrant, Permission,
    Selector,
};
use pilothouse_core::ops::{Machine, MachineNumber, NewTask};
use pilothouse_core::ports::{Authenticator, CdnProvider, RandomIds};
use pilothouse_core::{Pilothouse, SecretKey, Settings};
use pilothouse_http_axum::ApiState;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};
use tower::ServiceExt;

/// Password of every account in the tests.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// Markup that must never be taken for any.
pub(crate) const CANARY: &str = "\"'><canary>&";

/// Console and API, and the store behind them.
pub(crate) struct Fixture {
    pub(crate) pilothouse: Pilothouse,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) console: ConsoleState,
    pub(crate) memory: MemoryStorage,
    blobs: Arc<MemoryBlobs>,
    router: Router,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Where it leads to.
    pub(crate) fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |location| location.to_str().unwrap())
    }

    /// The page of an answer with HTTP 200.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }
}

impl Fixture {
    /// Over an empty store.
    pub(crate) fn empty() -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        Self::over(MemoryStorage::with_clock(clock.clone()).strict(), clock, Arc::default())
    }

    fn over(memory: MemoryStorage, clock: Arc<ManualClock>, blobs: Arc<MemoryBlobs>) -> Self {
        // The same secret in every copy, or proofs of one would be none in the other.
        let secret = SecretKey::new(&[7; 32]).unwrap();
        let settings = Settings::default()
            .with_secret(secret)
            .with_build("1.2.3", CANARY)
            .with_cdns(["level3"])
            .with_four_eyes_profiles(["guarded"]);
        let pilothouse =
            Pilothouse::with(Arc::new(memory.clone()), settings, clock.clone(), Arc::new(RandomIds)).unwrap();
        let provider = ScriptedProvider::new(&["edge-1"])
            .with_capabilities(|can| can.known_domains = vec!["listed.example.com".to_owned()]);
        let provider = Arc::new(provider);
        let pilothouse = pilothouse.with_blob_store(blobs.clone());
        let pilothouse = pilothouse
            .with_providers([("level3".to_owned(), provider as Arc<dyn CdnProvider>)].into_iter().collect());
        let console = ConsoleState::new(pilothouse.clone());
        let (api, _) = pilothouse_http_axum::router::<()>(ApiState::new(pilothouse.clone()));
        let router = api.nest("/console", router(console.clone()));
        Self { pilothouse, clock, console, memory, blobs, router }
    }

    /// An independent copy, to be changed.
    pub(crate) fn fork(&self) -> Self {
        Self::over(self.memory.fork(), self.clock.clone(), self.blobs.clone())
    }

    /// With an administrator `root`, a developer `dev` of the app `shop`, an operator of accounts `clerk`, a customer
    /// `cust@example.com`, and `nobody`; texts are [`CANARY`] where they may be.
    pub(crate) async fn seeded() -> Self {
        let this = Self::empty();
        let pilothouse = &this.pilothouse;
        pilothouse.cdns().ensure_configured().await.unwrap();
        pilothouse.accounts().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
        let root = this.caller("root").await;
        for (name, groups) in [("dev", ""), ("cust", ""), ("nobody", ""), ("clerk", "1,4,6,7")] {
            let new = NewAccount {
                name: name.to_owned(),
                mail: format!("{name}@example.com"),
                passwd: PASSWORD.to_owned(),
                department: CANARY.to_owned(),
                groups: groups.parse::<Groups>().unwrap(),
            };
            pilothouse.accounts().add(&root, new).await.unwrap();
        }
        this.seed_config(&root).await;
        this.seed_cdn(&root).await;
        this.seed_ops(&root).await;
        this.seed_agent(&root).await;
        this.seed_batch(&root).await;
        this.seed_company(&root).await;
        this.seed_traffic().await;
        this.seed_alarms(&root).await;
        this
    }

    async fn seed_config(&self, root: &Caller) {
        let pilothouse = &self.pilothouse;
        for (app, who) in [("shop", root.clone()), ("other", self.caller("nobody").await)] {
            let new = NewApp {
                app: app.to_owned(),
                app_type: 0,
                name: CANARY.to_owned(),
                charger: CANARY.to_owned(),
            };
            pilothouse.apps().create(&who, new).await.unwrap();
        }
        let dev = self.caller("dev").await.id;
        let grant = NewGrant {
            profile: None,
            app: "shop".to_owned(),
            account: dev,
            uname: CANARY.to_owned(),
            permission: Permission::Develop,
        };
        pilothouse.grants().create(root, grant).await.unwrap();
        for (profile, key) in [("prod", "motd"), ("prod", "draft/key"), ("guarded", "secret")] {
            let content = Content {
                value: CANARY.to_owned(),
                validator: format!("#{CANARY}"),
                description: CANARY.to_owned(),
            };
            pilothouse.items().create(root, &item(profile, key), content).await.unwrap();
        }
        let motd = item("prod", "motd");
        pilothouse.items().approve(root, &motd, None).await.unwrap();
        let id = pilothouse.items().find(root, &motd).await.unwrap().id;
        pilothouse.releases().publish(root, id, &Selector::default(), None).await.unwrap();
        let content = ContentChange { value: Some(CANARY.to_owned()), ..ContentChange::default() };
        let change = Change { key: "in/set".to_owned(), seen: None, item: ItemChange::Content(content) };
        let set = NewChangeSet {
            app: "shop".to_owned(),
            profile: "prod".to_owned(),
            changes: vec![change],
            title: CANARY.to_owned(),
            ..NewChangeSet::default()
        };
        pilothouse.change_sets().apply(root, set).await.unwrap();
    }

    async fn seed_cdn(&self, root: &Caller) {
        let pilothouse = &self.pilothouse;
        let mail = "cust@example.com";
        let customer = NewCustomer {
            login_email: mail.to_owned(),
            password: format!("cdn {PASSWORD}"),
            operations: true,
        };
        pilothouse.customers().create(root, customer).await.unwrap();
        pilothouse.domains().add(root, mail, "level3", &["cdn.example.com".to_owned()]).await.unwrap();
        let urls = format!("http://cdn.example.com/{}", CANARY.replace(' ', ""));
        let urls = JobUrls::parse(JobKind::Refresh, &urls).unwrap();
        pilothouse.jobs().add(root, mail, &urls).await.unwrap();
    }

    async fn seed_ops(&self, root: &Caller) {
        let task = NewTask {
            ip: "10.0.0.1".parse().unwrap(),
            action: "update".to_owned(),
            content: CANARY.to_owned(),
            description: CANARY.to_owned(),
            file: None,
        };
        self.pilothouse.tasks().add(root, task).await.unwrap();
        let machine = Machine {
            id: MachineNumber::UNSAVED,
            machine_name: CANARY.to_owned(),
            inside_ip: "10.0.0.1".parse().unwrap(),
            outside_ip: None,
            usage: CANARY.to_owned(),
            is_initialized: true,
            location: CANARY.to_owned(),
        };
        self.pilothouse.machines().add(root, machine).await.unwrap();
    }

    /// The caller of a log-in to the API.
    pub(crate) async fn caller(&self, name: &str) -> Caller {
        let token = self.token(name).await;
        TokenAuthenticator::new(self.pilothouse.clone()).authenticate(&token, None).await.unwrap()
    }

    /// Token of a log-in to the API.
    pub(crate) async fn token(&self, name: &str) -> String {
        self.pilothouse.logins().login(name, PASSWORD, None).await.unwrap().token
    }

    /// Cookies of a session of an account, as a log-in sets them.
    pub(crate) async fn session(&self, name: &str) -> String {
        let sessions = self.pilothouse.console_sessions();
        let access = sessions.begin(name, PASSWORD, None).await.unwrap();
        format!("pilothouse={}; pilothouse-confirmed={}", access.token, sessions.prove(&access))
    }

    /// Cookie of a session of the customer, with the password of the cdn family.
    pub(crate) async fn cdn_session(&self) -> String {
        let sessions = self.pilothouse.console_sessions();
        let access = sessions.begin_cdn("cust@example.com", &format!("cdn {PASSWORD}"), None).await.unwrap();
        format!("pilothouse={}", access.token)
    }

    /// Sends a request with these headers.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 26).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A page, as a session.
    pub(crate) async fn get(&self, session: &str, path: &str) -> Answer {
        self.send("GET", path, &[("cookie", session)], "").await
    }

    /// A form that a page of the console sends, as a session.
    pub(crate) async fn post(&self, session: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = String::new();
        for (name, value) in fields {
            let join = if body.is_empty() { "" } else { "&" };
            write!(body, "{join}{name}={}", escaped(value)).unwrap();
        }
        let headers = [
            ("cookie", session),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        self.send("POST", path, &headers, &body).await
    }

    /// A form with a file, as a browser sends it.
    pub(crate) async fn upload(
        &self,
        session: &str,
        action: &str,
        file: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut body = String::new();
        for (name, value) in fields {
            write!(body, "--part\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .unwrap();
        }
        let disposition = "content-disposition: form-data; name=\"file\"; filename=\"motd\"";
        write!(body, "--part\r\n{disposition}\r\n\r\n{file}\r\n--part--\r\n").unwrap();
        let headers = [
            ("cookie", session),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "multipart/form-data; boundary=part"),
        ];
        self.send("POST", action, &headers, &body).await
    }

    /// Registers a node of the app `shop` in `prod`; the app key that it uses.
    pub(crate) async fn register(&self, node_id: &str) -> String {
        let root = self.caller("root").await;
        let key = self.pilothouse.app_keys().create(&root, "shop").await.unwrap().text;
        let node = json!({"app": "shop", "profile": "prod", "nodeId": node_id, "pid": "4711", "labels": {"web": "blue"}});
        assert_eq!(self.call(&key, "/node/register", &node).await["code"], 0);
        key
    }

    /// A call of the API with a JSON body.
    pub(crate) async fn call(&self, token: &str, path: &str, body: &Value) -> Value {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let answer = self.send("POST", path, &headers, &body.to_string()).await;
        serde_json::from_str(&answer.body).unwrap()
    }
}

/// Name of an item of the app `shop`.
pub(crate) fn item(profile: &str, key: &str) -> ItemName {
    ItemName { app: "shop".to_owned(), profile: profile.to_owned(), key: key.to_owned() }
}

/// Text as a value of a form.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap();
        }
    }
    escaped
}
