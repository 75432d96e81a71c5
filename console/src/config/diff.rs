//! Unified diff as lines to be shown.

use pilothouse_core::config::{DiffHunk, LineChange, hunks};

/// Kind of a line of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    Added,
    Removed,
    Same,
}

impl LineKind {
    /// Class of its style.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Added => "add",
            Self::Removed => "cut",
            Self::Same => "same",
        }
    }
}

/// A line of a diff, with its sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiffLine {
    pub(crate) kind: LineKind,
    pub(crate) text: String,
}

/// Lines of a unified diff, without its two headings.
pub(crate) fn lines(unified: &str) -> Vec<DiffLine> {
    let line = |text: &str| {
        let kind = match text.as_bytes().first() {
            Some(b'+') => LineKind::Added,
            Some(b'-') => LineKind::Removed,
            _ => LineKind::Same,
        };
        DiffLine { kind, text: text.to_owned() }
    };
    unified.lines().skip(2).map(line).collect()
}

/// Lines of the difference between two texts, as a unified diff has them.
pub(crate) fn between(from: &str, to: &str) -> Vec<DiffLine> {
    let mut shown = Vec::new();
    for DiffHunk { from_line, to_line, lines } in hunks(from, to) {
        shown.push(DiffLine { kind: LineKind::Same, text: format!("@@ -{from_line} +{to_line} @@") });
        shown.extend(lines.into_iter().map(|line| {
            let (kind, sign) = match line.change {
                LineChange::Added => (LineKind::Added, '+'),
                LineChange::Removed => (LineKind::Removed, '-'),
                LineChange::Context => (LineKind::Same, ' '),
            };
            DiffLine { kind, text: format!("{sign}{}", line.text.trim_end_matches('\n')) }
        }));
    }
    shown
}

/// A text of which nothing was there before.
pub(crate) fn all_added(text: &str) -> Vec<DiffLine> {
    text.lines().map(|line| DiffLine { kind: LineKind::Added, text: format!("+{line}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_left_out_and_signs_kept() {
        let shown = lines("--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n same\n");
        let kinds: Vec<_> = shown.iter().map(|line| (line.kind.class(), &*line.text)).collect();
        assert_eq!(kinds, [("same", "@@ -1 +1 @@"), ("cut", "-old"), ("add", "+new"), ("same", " same")]);
        assert_eq!(all_added("a\nb").len(), 2);
        assert!(lines("").is_empty());
        let shown = between("a\nb\n", "a\nB\n");
        let shown: Vec<_> = shown.iter().map(|line| (line.kind.class(), &*line.text)).collect();
        assert_eq!(shown, [("same", "@@ -1 +1 @@"), ("same", " a"), ("cut", "-b"), ("add", "+B")]);
        assert!(between("a", "a").is_empty());
    }
}
