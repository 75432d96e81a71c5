//! Unified diff as lines to be shown.

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
    }
}
