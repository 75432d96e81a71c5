//! Comments of a YAML file, which its parser does not tell.

use std::cell::Cell;

/// The lines of a text, by what of their comments was taken.
pub(super) struct Comments<'t> {
    lines: Vec<Line<'t>>,
}

struct Line<'t> {
    text: &'t str,
    /// Whether it belongs to a value, or to a description.
    is_taken: Cell<bool>,
}

impl<'t> Comments<'t> {
    /// Comments of a text, outside the lines of its scalars.
    pub(super) fn new(text: &'t str, scalar_lines: &[(usize, usize)]) -> Self {
        let lines = text.lines().map(|text| Line { text, is_taken: Cell::new(false) });
        let lines: Vec<_> = lines.collect();
        for (first, last) in scalar_lines {
            // The end of a block may be on the line of what comes next.
            let within = lines.iter().take(*last).skip(first.saturating_sub(1));
            within.filter(|line| !line.text.starts_with('#')).for_each(|line| line.is_taken.set(true));
        }
        Self { lines }
    }

    /// The comment directly above a line: its lines begin at the same column.
    pub(super) fn above(&self, line: usize, column: usize) -> String {
        let above = self.lines.get(..line.saturating_sub(1)).unwrap_or_default();
        let mark = |line: &&Line<'t>| line.text.trim_start_matches(' ').len() + column == line.text.len();
        let comments = above.iter().rev().take_while(mark).map_while(|line| {
            let comment = line.text.trim_start_matches(' ').strip_prefix('#')?;
            line.is_taken.set(true);
            Some(comment.strip_prefix(' ').unwrap_or(comment))
        });
        let mut comments: Vec<_> = comments.collect();
        comments.reverse();
        comments.join("\n")
    }

    /// Lines, counted from 1, of comments that nothing took.
    pub(super) fn left(&self) -> Vec<usize> {
        let lines = self.lines.iter().enumerate();
        let left = lines.filter(|(_, line)| !line.is_taken.get() && line.text.trim_start().starts_with('#'));
        left.map(|(index, _)| index + 1).collect()
    }
}
