//! Agents, batches, traffic and alarms of the fixture; texts are [`CANARY`] where they may be.

use chrono::TimeDelta;
use pilothouse_conformance::doubles::sha256;
use pilothouse_core::account::Caller;
use pilothouse_core::cdn::{
    Alarm, AlarmId, AlarmKind, AlarmSubject, Batch, BatchUnregistered, DomainId, KeptLines, NewCompany,
    PathCount, PathSketch, Share, Threshold, TopUrls,
};
use pilothouse_core::ops::{
    AgentFacts, Appended, BatchId, BatchLimits, Machine, MachineNumber, NewBatch, NewFile, Sha256Digest,
    Targets,
};

use serde_json::json;

use crate::fixture::{CANARY, Fixture};

/// Content of the file that a batch puts in place.
pub(crate) const FILE: &[u8] = b"hello\n";

impl Fixture {
    /// The agent of the machine that is there, and a machine `web01` whose agent waits for its code.
    pub(crate) async fn seed_agent(&self, root: &Caller) {
        let agents = self.pilothouse.agents();
        let code = agents.enroll(root, CANARY).await.unwrap().code;
        let text = || CANARY.to_owned();
        let facts =
            AgentFacts { hostname: text(), os: text(), kernel: text(), version: text(), addresses: text() };
        agents.redeem(&code, facts).await.unwrap();
        let machine = Machine {
            id: MachineNumber::UNSAVED,
            machine_name: "web01".to_owned(),
            inside_ip: "10.0.0.2".parse().unwrap(),
            outside_ip: None,
            usage: "web".to_owned(),
            is_initialized: false,
            location: "here".to_owned(),
        };
        self.pilothouse.machines().add(root, machine).await.unwrap();
    }

    /// Keeps a file.
    pub(crate) async fn blob(&self, root: &Caller, bytes: &[u8]) -> Sha256Digest {
        let digest = sha256(bytes);
        let size = i64::try_from(bytes.len()).unwrap();
        let kept = self.pilothouse.blobs().append(root, digest, size, 0, bytes).await.unwrap();
        assert!(matches!(kept, Appended::Taken(state) if state.is_complete));
        digest
    }

    /// A batch for both machines: one that is under way, and one that nobody executed.
    pub(crate) async fn seed_batch(&self, root: &Caller) {
        let running = self.batch(root, CANARY).await;
        self.batch(root, "another").await;
        self.pilothouse.batches().execute(root, running, BatchLimits::default()).await.unwrap();
    }

    /// Adds a batch that puts [`FILE`] in place on both machines.
    pub(crate) async fn batch(&self, root: &Caller, description: &str) -> BatchId {
        let sha256 = Some(self.blob(root, FILE).await);
        let new = NewBatch {
            targets: Targets::Names(vec![CANARY.to_owned(), "web01".to_owned()]),
            action: "update".to_owned(),
            content: format!("/etc/{CANARY}"),
            description: description.to_owned(),
            file: NewFile { sha256, ..NewFile::default() },
        };
        self.pilothouse.batches().add(root, new, None).await.unwrap().batch_id
    }

    /// A company of the account `dev`.
    pub(crate) async fn seed_company(&self, root: &Caller) {
        let company = NewCompany {
            company_name: CANARY.to_owned(),
            company_alias: CANARY.to_owned(),
            owner_name: CANARY.to_owned(),
            owner_email: "dev@example.com".to_owned(),
        };
        self.pilothouse.companies().create(root, company).await.unwrap();
    }

    /// The most requested URL of the customer's domain, and lines of hosts that no customer has, one of them listed in the settings.
    pub(crate) async fn seed_traffic(&self) {
        let intake = self.pilothouse.log_intake();
        let edge = intake.edge("level3", "edge-1").await.unwrap();
        let domains = intake.hosts(edge.cdn_id).await.unwrap().domains;
        let cdn_id = edge.cdn_id;
        let path = PathCount { path: format!("/{CANARY}"), requests: 41, error: 0 };
        let now = self.pilothouse.clock().now().timestamp();
        let sketch = PathSketch { paths: vec![path], missed: 0 };
        let top_urls = vec![TopUrls { domain_id: domains[0].id, hour: now / 3600, sketch }];
        let today = self.pilothouse.clock().now().date_naive();
        let kept = KeptLines {
            domain_id: DomainId::UNSAVED,
            day: today,
            offset: 0,
            length: 1,
            lines: 1,
            raw_length: 1,
            is_open: false,
        };
        let of_host = |host: &str| BatchUnregistered {
            host: host.to_owned(),
            first: now,
            last: now,
            kept: kept.clone(),
            cells: Vec::new(),
            city_cells: Vec::new(),
        };
        let unregistered = vec![of_host("listed.example.com"), of_host("other.example.com")];
        let (key, pack) = ([1; 16], "pack".to_owned());
        let batch = Batch { edge, key, length: 1, top_urls, pack, unregistered, ..Batch::default() };
        intake.record(batch).await.unwrap();
        let mut work = self.pilothouse.storage().begin().await.unwrap();
        work.unregistered().count_dropped(cdn_id, CANARY, 17).await.unwrap();
        work.commit().await.unwrap();
    }

    /// A threshold of the customer's domain, its open alarm, and an ended one of an edge.
    pub(crate) async fn seed_alarms(&self, root: &Caller) {
        let customer = self.caller("cust").await;
        let domain = "cdn.example.com".to_owned();
        let threshold = Threshold {
            account_id: customer.id,
            domain: domain.clone(),
            bandwidth: None,
            error_ratio: Some(Share(55_500)),
            hit_ratio: None,
            min_requests: 10,
            changed: chrono::DateTime::UNIX_EPOCH,
        };
        self.pilothouse.thresholds().set(root, Some("cust@example.com"), threshold).await.unwrap();
        let now = self.pilothouse.clock().now();
        let of_domain = Alarm {
            id: AlarmId::UNSAVED,
            kind: AlarmKind::ErrorRatio,
            subject: AlarmSubject::Domain { account_id: customer.id, domain },
            threshold: Some(55_500),
            value: Some(900_000),
            reason: String::new(),
            begun: now - TimeDelta::minutes(10),
            last_seen: now,
            ended: None,
        };
        let of_edge = Alarm {
            kind: AlarmKind::SilentEdge,
            subject: AlarmSubject::Edge { cdn: "level3".to_owned(), edge: "edge-1".to_owned() },
            threshold: None,
            value: None,
            reason: CANARY.to_owned(),
            ended: Some(now),
            ..of_domain.clone()
        };
        let mut work = self.pilothouse.storage().begin().await.unwrap();
        for alarm in [of_domain, of_edge] {
            work.alarms().insert(&alarm).await.unwrap().unwrap();
        }
        work.commit().await.unwrap();
    }

    /// Enrols the agent of `web01` by the page; its token and the code.
    pub(crate) async fn enrolled(&self, session: &str) -> (String, String) {
        let page = self.post(session, "/console/machines/enroll", &[("name", "web01")]).await.ok();
        let code = page.split("enroll --code ").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let facts = json!({"hostname": "web01.example.com", "version": "0.1.0"});
        let answer = self.call("", "/api/agent/enroll", &json!({"code": code, "facts": facts})).await;
        (answer["info"]["token"].as_str().unwrap().to_owned(), code)
    }

    /// Plans a task of `web01`, which its agent does; the path of the task's page.
    pub(crate) async fn planned(&self, session: &str, agent: &str) -> String {
        let root = self.caller("root").await;
        let digest = self.blob(&root, FILE).await.to_string();
        let fields = [
            ("ip", "10.0.0.2"),
            ("action", "update"),
            ("content", "/etc/motd"),
            ("description", "d"),
            ("sha256", &*digest),
        ];
        let added = self.post(session, "/console/tasks", &fields).await;
        let task = added.location().split('?').next().unwrap().to_owned();
        let asked = self.post(session, &format!("{task}/order"), &[("demand", "plan")]).await;
        assert_eq!(asked.status, axum::http::StatusCode::SEE_OTHER, "{}", asked.body);
        let poll = json!({"instance": "i", "boot": "b", "seq": 1, "wait": 0});
        let polled = self.call(agent, "/api/agent/poll", &poll).await;
        let rights = |size: i64, mode: &str| json!({"size": size, "mode": mode, "uid": 0, "gid": 0});
        let plan = json!({"action": "replace", "from": rights(7, "0640"), "to": rights(6, "0644")});
        let result = json!({"state": "planned", "old_sha256": null, "new_sha256": digest, "changed": false, "plan": plan});
        let report = json!({
            "task_id": task.rsplit('/').next(), "attempt": polled["info"]["attempt"], "seq": 1, "phase": "preflight",
            "percent": 100, "result": result,
        });
        let reported = self.call(agent, "/api/agent/report", &report).await;
        assert_eq!(reported["code"], 200, "{reported}, {polled}");
        task
    }
}
