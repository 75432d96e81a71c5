//! History of an item: its versions, and the diff of two of them.

use std::fmt::{self, Write};

use imara_diff::{Algorithm, Diff, InternedInput, Interner, Token, UnifiedDiffConfig, UnifiedDiffPrinter};

use super::app::open_app_of;
use super::grant::Permission;
use super::hunk::{DiffHunk, hunks};
use super::item::{ItemName, ItemVersion};
use super::items::Items;
use crate::account::Caller;
use crate::config::identifier::AppId;
use crate::{Error, Listing, Page, Result};

/// Bytes of values, validators and descriptions that a page of a history may have, unless it is of one version.
const MAX_BYTES: i64 = 2 << 20;

/// Page of the history of an item in a store.
#[derive(Clone, Copy, Debug)]
pub struct HistoryPage<'a> {
    /// App of the item.
    pub app: AppId,
    /// Profile of the item.
    pub profile: &'a str,
    /// Key of the item.
    pub key: &'a str,
    /// A version greater than all that are answered.
    pub before: i64,
    /// The most versions answered.
    pub count: i64,
    /// Whether versions are answered with values and validators; both are empty without.
    pub has_values: bool,
}

impl<'a> HistoryPage<'a> {
    /// Every version of an item, with its values.
    pub const fn whole(app: AppId, profile: &'a str, key: &'a str) -> Self {
        Self { app, profile, key, before: i64::MAX, count: i64::MAX, has_values: true }
    }
}

/// Size of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionSize {
    /// Number of the version.
    pub version: i64,
    /// Bytes of value, validator and description; of the description alone where the page has no values.
    pub bytes: i64,
}

/// Part of a history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// A version greater than all that are answered; `None` for the newest.
    pub before: Option<i64>,
    /// The most versions: 1 to 1000, which is the default.
    pub count: Option<i64>,
    /// Whether versions have their values and validators; both are empty without.
    pub has_values: bool,
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self { before: None, count: None, has_values: true }
    }
}

impl Items<'_> {
    /// Versions of an item, newest first, also of a deleted one; needs permission 0. A page ends before it has more than
    /// 2 MiB, but has one version; [`Listing::search_before`] then says where to go on.
    pub async fn history(
        &self,
        caller: &Caller,
        name: &ItemName,
        query: HistoryQuery,
    ) -> Result<Listing<ItemVersion>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app_of(self.0, &mut *snapshot, caller, name, Permission::Read).await?;
        name.check()?;
        let HistoryQuery { before, count, has_values } = query;
        let page = Page::new(None, Some(count.unwrap_or(Page::MAX)))?.before(before)?;
        let (before, count) = (page.before, page.count);
        let page =
            HistoryPage { app: app.id, profile: &name.profile, key: &name.key, before, count, has_values };
        // One more than asked for tells whether there are more.
        let sizes = snapshot.items().history_sizes(&HistoryPage { count: count + 1, ..page }).await?;
        if sizes.is_empty() && before == i64::MAX {
            return Err(Error::not_found("the config"));
        }
        let mut bytes: i64 = 0;
        let fitting = sizes.iter().take_while(|size| {
            bytes = bytes.saturating_add(size.bytes);
            bytes <= MAX_BYTES
        });
        let fitting = i64::try_from(fitting.count()).unwrap_or(count).max(1);
        let rows = snapshot.items().history(&HistoryPage { count: fitting.min(count), ..page }).await?;
        let search_before = rows.last().map(|last| last.version).filter(|_| rows.len() < sizes.len());
        Ok(Listing { rows, total: None, search_before })
    }

    /// Unified diff of the values of two versions; empty where they are equal. Needs permission 0. Without `from` it is the
    /// published version, where there is none an empty value; without `to` the current one.
    pub async fn diff(
        &self,
        caller: &Caller,
        name: &ItemName,
        from: impl Into<Option<i64>> + Send,
        to: impl Into<Option<i64>> + Send,
    ) -> Result<String> {
        let [from, to] = self.compared(caller, name, from.into(), to.into()).await?;
        let heading = |of: &ComparedValue| format!("{} (version {})", name.key, of.version);
        let (from, to) = ((heading(&from), from.value), (heading(&to), to.value));
        compare(move || unified(&from, &to)).await
    }

    /// Hunks of the values of two versions, chosen as for [`Items::diff`]. Needs permission 0.
    pub async fn hunks(
        &self,
        caller: &Caller,
        name: &ItemName,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<ValueDiff> {
        let [from, to] = self.compared(caller, name, from, to).await?;
        compare(move || ValueDiff {
            from: from.version,
            to: to.version,
            hunks: hunks(&from.value, &to.value),
        })
        .await
    }

    /// The values of two versions, in one snapshot.
    async fn compared(
        &self,
        caller: &Caller,
        name: &ItemName,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<[ComparedValue; 2]> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app_of(self.0, &mut *snapshot, caller, name, Permission::Read).await?;
        name.check()?;
        let (from, to) = match (from, to) {
            (Some(from), Some(to)) => (from, to),
            (from, to) => {
                let item = snapshot.items().find(app.id, &name.profile, &name.key).await?;
                let item = item.ok_or_else(|| Error::not_found("the config"))?;
                (from.unwrap_or(item.published_version), to.unwrap_or(item.current.version))
            }
        };
        let mut values = [from, to].map(|version| ComparedValue { version, value: String::new() });
        for ComparedValue { version, value } in &mut values {
            // Nothing is published yet.
            if *version == 0 {
                continue;
            }
            let found = snapshot.items().version(app.id, &name.profile, &name.key, *version).await?;
            let found = found.ok_or_else(|| Error::not_found(format!("version {version}")))?;
            *value = found.content.value;
        }
        Ok(values)
    }
}

/// The value of a version; version 0 where nothing is published.
struct ComparedValue {
    version: i64,
    value: String,
}

/// Differences between the values of two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueDiff {
    /// The version that is compared from; 0 where nothing is published.
    pub from: i64,
    /// The version that is compared with.
    pub to: i64,
    /// Changed lines; empty where the values are equal.
    pub hunks: Vec<DiffHunk>,
}

/// Runs a comparison, which may take long, beside the runtime.
async fn compare<T: Send + 'static>(comparison: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let compared = tokio::task::spawn_blocking(comparison).await;
    compared.map_err(|error| Error::Internal(format!("comparing two versions: {error}")))
}

/// Unified diff; each side is a heading and a text.
pub(super) fn unified(from: &(String, String), to: &(String, String)) -> String {
    let input = InternedInput::new(from.1.as_str(), to.1.as_str());
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let hunks =
        diff.unified_diff(&DiffLines(&input.interner), UnifiedDiffConfig::default(), &input).to_string();
    if hunks.is_empty() { hunks } else { format!("--- {}\n+++ {}\n{hunks}", from.0, to.0) }
}

/// Printer of unified diffs in the form that `patch` reads, with the mark of a last line that has no end.
struct DiffLines<'a>(&'a Interner<&'a str>);

impl DiffLines<'_> {
    fn print(&self, mut f: impl Write, sign: char, lines: &[Token]) -> fmt::Result {
        for &line in lines {
            let line = self.0[line];
            write!(f, "{sign}{line}")?;
            if !line.ends_with('\n') {
                f.write_str("\n\\ No newline at end of file\n")?;
            }
        }
        Ok(())
    }
}

impl UnifiedDiffPrinter for DiffLines<'_> {
    fn display_header(
        &self,
        mut f: impl Write,
        start_before: u32,
        start_after: u32,
        len_before: u32,
        len_after: u32,
    ) -> fmt::Result {
        writeln!(f, "@@ -{} +{} @@", range(start_before, len_before), range(start_after, len_after))
    }

    fn display_context_token(&self, f: impl Write, line: Token) -> fmt::Result {
        self.print(f, ' ', &[line])
    }

    fn display_hunk(&self, mut f: impl Write, before: &[Token], after: &[Token]) -> fmt::Result {
        self.print(&mut f, '-', before)?;
        self.print(f, '+', after)
    }
}

/// Lines of a hunk: the first one, counted from 1, and how many unless it is one; of no line, the one before them.
fn range(start: u32, len: u32) -> String {
    match len {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        len => format!("{},{len}", start + 1),
    }
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
    fn lines_added_to_nothing() {
        assert_eq!(diff("", "a\nb\n"), "--- k (version 1)\n+++ k (version 2)\n@@ -0,0 +1,2 @@\n+a\n+b\n");
    }

    #[test]
    fn two_hunks_and_a_context_line_without_an_end() {
        let lines = |first: &str, last: &str| format!("{first}\n1\n2\n3\n4\n5\n6\n7\n{last}\n8\n9");
        assert_eq!(
            diff(&lines("a", "b"), &lines("A", "B")),
            "--- k (version 1)\n+++ k (version 2)\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,6 +6,6 @@\n 5\n 6\n 7\n-b\n+B\n 8\n 9\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn equal_texts() {
        assert_eq!(diff("same\n", "same\n"), "");
    }
}
