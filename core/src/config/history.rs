//! What an item was: its versions, and how two of them differ.

use std::time::Duration;

use similar::{Algorithm, TextDiff};

use super::Permission;
use super::app::open_app;
use super::item::{ItemName, ItemVersion, Items};
use crate::account::Caller;
use crate::{Error, Result};

/// How long a diff may look for the shortest answer before it settles for any right one.
const DIFF_TIME: Duration = Duration::from_millis(500);

impl Items<'_> {
    /// Every version of an item, newest first, also of a deleted one; needs permission 1.
    pub async fn history(&self, caller: &Caller, name: &ItemName) -> Result<Vec<ItemVersion>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, &name.app, Permission::Develop).await?;
        name.check()?;
        let versions = snapshot.items().history(app.id, &name.profile, &name.key).await?;
        if versions.is_empty() { Err(Error::not_found("the config")) } else { Ok(versions) }
    }

    /// How the values of two versions differ, as a unified diff; empty where they are equal. Needs permission 1.
    pub async fn diff(&self, caller: &Caller, name: &ItemName, from: i64, to: i64) -> Result<String> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, &name.app, Permission::Develop).await?;
        name.check()?;
        let mut values = Vec::new();
        for version in [from, to] {
            let found = snapshot.items().version(app.id, &name.profile, &name.key, version).await?;
            let found = found.ok_or_else(|| Error::not_found(format!("version {version}")))?;
            values.push((format!("{} (version {version})", name.key), found.content.value));
        }
        drop(snapshot);
        let diff = tokio::task::spawn_blocking(move || unified(&values[0], &values[1]));
        diff.await.map_err(|error| Error::Internal(format!("comparing two versions: {error}")))
    }
}

/// Each side is a heading and a text.
fn unified(from: &(String, String), to: &(String, String)) -> String {
    let mut lines = TextDiff::configure();
    lines.algorithm(Algorithm::Patience).timeout(DIFF_TIME);
    lines.diff_lines(&from.1, &to.1).unified_diff().header(&from.0, &to.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::unified;

    fn diff(from: &str, to: &str) -> String {
        unified(&("k (version 1)".into(), from.into()), &("k (version 2)".into(), to.into()))
    }

    #[test]
    fn a_changed_line() {
        assert_eq!(
            diff("a\nb\nc\n", "a\nB\nc\n"),
            "--- k (version 1)\n+++ k (version 2)\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
        );
    }

    #[test]
    fn a_last_line_without_an_end() {
        assert_eq!(
            diff("old", "new"),
            "--- k (version 1)\n+++ k (version 2)\n@@ -1 +1 @@\n-old\n\\ No newline at end of file\n+new\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn equal_texts() {
        assert_eq!(diff("same\n", "same\n"), "");
    }
}
