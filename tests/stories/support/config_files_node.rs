//! File protocol of a test node: it reads its namespaces over and over as JSON files of `/configfiles`.

use serde_json::{Map, Value as Json};
use tokio::time::sleep;

use super::apollo_node::NAMESPACES;
use super::release_model::ObservedAt;
use super::test_node::{NodeTask, PROFILE, RETRY_DELAY, lock, value};

impl NodeTask {
    /// Runs the protocol until the task is aborted.
    pub(crate) async fn config_files(mut self) {
        let id = self.id.clone();
        let (address, label) = id.split_once('/').unwrap_or((&id, ""));
        loop {
            for (name, keys, prefix) in NAMESPACES {
                // A file carries no revision: it is of the epoch that had begun when it was asked for, or of a later one.
                let begun = self.environment.begun();
                let mut url =
                    self.url(&format!("/configfiles/json/{}/{PROFILE}/{name}", self.environment.app));
                url.query_pairs_mut().extend_pairs([("ip", address), ("label", label)]);
                let request = self.signed(url);
                let Some(answer) = self.answer(request).await else { continue };
                let file = match answer.status().as_u16() {
                    // The app is deleted.
                    401 => continue,
                    // Nothing has been published in the namespace yet.
                    404 => Map::new(),
                    status => {
                        assert_eq!(status, 200, "{}", self.id);
                        let Ok(Json::Object(file)) = answer.json().await else { continue };
                        file
                    }
                };
                let mut state = lock(&self.state);
                state.items.retain(|key, _| !keys.contains(&&**key));
                state
                    .items
                    .extend(file.iter().map(|(name, text)| (format!("{prefix}{name}"), value(text, None))));
                self.observe(ObservedAt::AtLeast(begun), keys, &state.items);
            }
            sleep(RETRY_DELAY).await;
        }
    }
}
