//! The audit trail as it grows during a test.

use serde_json::{Value, json};

use crate::seeded_api::{Identity, SeededApi};

/// The audit trail, to which every change adds a row.
pub(crate) struct AuditTrail {
    /// Id of the first row that is not known yet.
    next: i64,
    /// Whether rows that count refusals came since this was last taken.
    pub(crate) has_refusals: bool,
}

impl AuditTrail {
    pub(crate) async fn new(api: &SeededApi) -> Self {
        let mut trail = Self { next: 0, has_refusals: false };
        trail.skip(api).await;
        trail
    }

    /// The rows that came since, but for those that count refusals; `None` where the trail cannot be read.
    pub(crate) async fn added(&mut self, api: &SeededApi) -> Option<Value> {
        let uri = format!("/audit/list?start={}&count=1000", self.next);
        let answer = api.call(Identity::Root, "GET", &uri, None).await;
        let rows = answer.body["data"].as_array()?;
        if let Some(last) = rows.last() {
            self.next = last["Id"].as_i64().unwrap() + 1;
        }
        let is_change = |row: &&Value| !row["Action"].as_str().unwrap().ends_with("refused");
        let changes: Vec<_> = rows.iter().filter(is_change).cloned().collect();
        self.has_refusals |= changes.len() < rows.len();
        Some(changes.into())
    }

    /// Passes over what came since; whether the trail can be read.
    pub(crate) async fn skip(&mut self, api: &SeededApi) -> bool {
        loop {
            match self.added(api).await {
                Some(rows) if rows == json!([]) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }
}
