//! How far a job has come on each edge.
//!
//! A thousand URLs on eight edges are eight thousand cells, and most stand alike: a store keeps one row per job and
//! edge, in which a stretch of equal cells is one line. A job that went well is eight rows of one line; what went
//! otherwise is spelled out.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::ports::ProviderError;

/// The most bytes of a provider's words that are kept.
const REASON: usize = 512;

/// Where one URL stands on one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CellState {
    /// Not done yet, or to be tried again.
    Pending,
    /// The edge confirmed it.
    Acked,
    /// It will not be tried again.
    Failed,
}

impl CellState {
    /// As it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Acked => "acked",
            Self::Failed => "failed",
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        [Self::Pending, Self::Acked, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

/// One URL on one edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCell {
    /// Where it stands.
    pub state: CellState,
    /// Why it failed, for good or the last time; one line, at most 512 bytes.
    pub reason: String,
    /// When that was learned; `None` before the first attempt.
    pub at: Option<DateTime<Utc>>,
}

impl JobCell {
    /// Before the first attempt.
    pub const PENDING: Self = Self { state: CellState::Pending, reason: String::new(), at: None };

    /// After an attempt.
    pub fn after(outcome: Result<(), &ProviderError>, at: DateTime<Utc>) -> Self {
        match outcome {
            Ok(()) => Self { state: CellState::Acked, reason: String::new(), at: Some(at) },
            Err(error) if error.may_be_retried() => {
                Self { state: CellState::Pending, reason: one_line(&error.to_string()), at: Some(at) }
            }
            Err(error) => Self::failed(&error.to_string(), at),
        }
    }

    /// Given up.
    pub fn failed(reason: &str, at: DateTime<Utc>) -> Self {
        Self { state: CellState::Failed, reason: one_line(reason), at: Some(at) }
    }
}

/// One line of at most [`REASON`] bytes; an ellipsis shows that there was more.
pub(crate) fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > REASON {
        line.truncate(line.floor_char_boundary(REASON - '…'.len_utf8()));
        line.push('…');
    }
    line
}

/// A job on one edge: a cell per URL, in the order of the job's URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeProgress {
    /// The edge.
    pub edge: String,
    /// Its cells.
    pub cells: Vec<JobCell>,
}

impl EdgeProgress {
    /// Before the first attempt at `urls` URLs.
    pub fn pending(edge: impl Into<String>, urls: usize) -> Self {
        Self { edge: edge.into(), cells: vec![JobCell::PENDING; urls] }
    }

    /// How many cells stand so.
    pub fn count(&self, state: CellState) -> usize {
        self.cells.iter().filter(|cell| cell.state == state).count()
    }

    /// The cells as a store keeps them: a line per stretch of equal ones, of their number, state, microseconds and reason.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for stretch in self.cells.chunk_by(|one, next| one == next) {
            let JobCell { state, reason, at } = &stretch[0];
            let at = at.map_or_else(|| "-".to_owned(), |at| at.timestamp_micros().to_string());
            // Writing into a string does not fail.
            let _ = writeln!(text, "{} {} {at} {reason}", stretch.len(), state.as_str());
        }
        text
    }

    /// What [`EdgeProgress::encode`] wrote for a job of `urls` URLs; `None` for anything else.
    pub fn decode(edge: String, text: &str, urls: usize) -> Option<Self> {
        let mut cells = Vec::with_capacity(urls);
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            let count: usize = words.next()?.parse().ok()?;
            let state = CellState::from_text(words.next()?)?;
            let at = match words.next()? {
                "-" => None,
                micros => Some(DateTime::from_timestamp_micros(micros.parse().ok()?)?),
            };
            let cell = JobCell { state, reason: words.next()?.to_owned(), at };
            if count > urls - cells.len() {
                return None;
            }
            cells.resize(cells.len() + count, cell);
        }
        (cells.len() == urls).then_some(Self { edge, cells })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    #[test]
    fn a_job_that_went_well_is_one_line() {
        let mut row = EdgeProgress::pending("edge-1", 1000);
        assert_eq!(row.encode(), "1000 pending - \n");
        row.cells.fill(JobCell::after(Ok(()), at(7)));
        assert_eq!(row.encode(), "1000 acked 7 \n");
    }

    #[test]
    fn exceptions_are_spelled_out_and_survive_a_store() {
        let mut row = EdgeProgress::pending("edge-1", 1000);
        row.cells.fill(JobCell::after(Ok(()), at(7)));
        row.cells[3] = JobCell::failed("404 not\nfound", at(8));
        row.cells[999] = JobCell::after(Err(&ProviderError::Unavailable("连接 refused".into())), at(9));
        let text = row.encode();
        assert_eq!(text.lines().count(), 4);
        assert_eq!(EdgeProgress::decode("edge-1".into(), &text, 1000), Some(row));
    }

    #[test]
    fn what_is_not_its_own_writing_is_refused() {
        for text in
            ["", "1 acked 7 ", "3 acked 7 ", "2 odd 7 ", "2 acked x ", "2 acked", "99999999999 acked 7 "]
        {
            assert_eq!(EdgeProgress::decode("e".into(), text, 2), None, "{text:?}");
        }
    }

    #[test]
    fn only_what_may_be_retried_stays_pending() {
        let unsupported = ProviderError::Unsupported { provider: "p".into(), operation: "purge" };
        let states = [
            JobCell::after(Err(&ProviderError::Unavailable("down".into())), at(1)).state,
            JobCell::after(Err(&ProviderError::Refused("no".into())), at(1)).state,
            JobCell::after(Err(&unsupported), at(1)).state,
        ];
        assert_eq!(states, [CellState::Pending, CellState::Failed, CellState::Failed]);
    }

    #[test]
    fn a_long_reason_shows_that_it_was_cut() {
        let reason = JobCell::failed(&"更".repeat(400), at(1)).reason;
        assert!(reason.len() <= REASON && reason.ends_with('…'), "{}", reason.len());
    }
}
