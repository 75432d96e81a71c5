//! Hunks: the changed lines between two texts, with the lines around them.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, Hunk, InternedInput};

/// Equal lines that are shown before and after changed ones; two changes with at most twice as many between them are one
/// hunk.
const CONTEXT: u32 = 3;

/// Side of a diff that a line is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineChange {
    /// On both sides.
    Context,
    /// Only in the text that is compared from.
    Removed,
    /// Only in the text that is compared with.
    Added,
}

/// A line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    /// Side that it is on.
    pub change: LineChange,
    /// Text with its end of line, which only a last line may lack.
    pub text: String,
}

/// Changed lines that are near each other, with the lines around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffHunk {
    /// Number, from 1, of the first line in the text that is compared from.
    pub from_line: u32,
    /// Number, from 1, of the first line in the text that is compared with.
    pub to_line: u32,
    /// Lines in the order of a unified diff: of a change the removed ones first.
    pub lines: Vec<DiffLine>,
}

/// Hunks of two texts; none where they are equal. Of long texts that are very different it takes tenths of a second.
pub fn hunks(from: &str, to: &str) -> Vec<DiffHunk> {
    let input = InternedInput::new(from, to);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let mut groups: Vec<Vec<Hunk>> = Vec::new();
    for change in diff.hunks() {
        let near = |last: &Hunk| change.before.start - last.before.end <= 2 * CONTEXT;
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(near) => group.push(change),
            _ => groups.push(vec![change]),
        }
    }
    groups.iter().map(|group| hunk(&input, group)).collect()
}

fn hunk(input: &InternedInput<&str>, changes: &[Hunk]) -> DiffHunk {
    let mut lines = Vec::new();
    let mut add = |change, side: &[imara_diff::Token], range: Range<u32>| {
        let tokens = &side[range.start as usize..range.end as usize];
        lines.extend(tokens.iter().map(|token| DiffLine { change, text: input.interner[*token].to_owned() }));
    };
    let first = &changes[0];
    let context = first.before.start.min(CONTEXT);
    let start = first.before.start - context;
    let mut at = start;
    for change in changes {
        add(LineChange::Context, &input.before, at..change.before.start);
        add(LineChange::Removed, &input.before, change.before.clone());
        add(LineChange::Added, &input.after, change.after.clone());
        at = change.before.end;
    }
    let end = u32::try_from(input.before.len()).unwrap_or(u32::MAX).min(at.saturating_add(CONTEXT));
    add(LineChange::Context, &input.before, at..end);
    DiffHunk { from_line: start + 1, to_line: first.after.start - context + 1, lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(from: &str, to: &str) -> Vec<(u32, u32, String)> {
        let line = |line: &DiffLine| match line.change {
            LineChange::Context => format!(" {}", line.text),
            LineChange::Removed => format!("-{}", line.text),
            LineChange::Added => format!("+{}", line.text),
        };
        let hunks = hunks(from, to).into_iter();
        hunks.map(|hunk| (hunk.from_line, hunk.to_line, hunk.lines.iter().map(line).collect())).collect()
    }

    #[test]
    fn hunks_have_the_lines_around_them_and_numbers_on_both_sides() {
        assert_eq!(shown("same\n", "same\n"), []);
        assert_eq!(shown("a\nb\nc\n", "a\nB\nc\n"), [(1, 1, " a\n-b\n+B\n c\n".to_owned())]);
        assert_eq!(shown("", "a\n"), [(1, 1, "+a\n".to_owned())]);
        assert_eq!(shown("a", ""), [(1, 1, "-a".to_owned())]);
        let lines = |first: &str, last: &str| format!("{first}\n1\n2\n3\n4\n5\n6\n7\n{last}\n8\n9");
        let two = shown(&lines("a\nb", "c"), &lines("A", "C"));
        let expected =
            [(1, 1, "-a\n-b\n+A\n 1\n 2\n 3\n".to_owned()), (7, 6, " 5\n 6\n 7\n-c\n+C\n 8\n 9".to_owned())];
        assert_eq!(two, expected);
        let one = shown("a\n1\n2\n3\n4\n5\n6\nb", "A\n1\n2\n3\n4\n5\n6\nB");
        assert_eq!(one, [(1, 1, "-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b+B".to_owned())]);
    }
}
