//! Progress of a job on each edge: a cell per URL.
//!
//! A thousand URLs on eight edges are eight thousand cells, and most stand alike: a store keeps one row per job and
//! edge, in which a stretch of equal cells is one line. A job that went well is eight rows of one line; what went
//! otherwise is spelled out.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::ports::ProviderError;

/// The most bytes of a provider's words that are kept.
const REASON: usize = 512;

/// State of one URL on one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CellState {
    /// Not done yet, or to be tried again.
    Pending,
    /// Handed over to a vendor, which waits for it or works on it, with its percentage of 0 to 99; 0 where the vendor tells
    /// none.
    Running(u8),
    /// The edge confirmed it.
    Acked,
    /// The URL failed for good and is not tried again.
    Failed,
}

impl CellState {
    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running(_) => "running",
            Self::Acked => "acked",
            Self::Failed => "failed",
        }
    }

    /// Percentage that counts for a job: confirmed 100, pending and failed 0.
    pub fn percent(self) -> usize {
        match self {
            Self::Pending | Self::Failed => 0,
            Self::Running(percent) => usize::from(percent.min(99)),
            Self::Acked => 100,
        }
    }

    /// Whether a vendor has it.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running(_))
    }

    fn from_text(text: &str) -> Option<Self> {
        if let Some(percent) = text.strip_prefix("running:") {
            return percent.parse().ok().map(Self::Running);
        }
        [Self::Pending, Self::Acked, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }

    fn to_text(self) -> Cow<'static, str> {
        match self {
            Self::Running(percent) => format!("running:{percent}").into(),
            state => state.as_str().into(),
        }
    }
}

/// One URL on one edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCell {
    /// Pending, acknowledged, or failed for good.
    pub state: CellState,
    /// Reason of the failure, for good or the last time; one line, at most 512 bytes.
    pub reason: String,
    /// Time of the last outcome; `None` before the first attempt.
    pub at: Option<DateTime<Utc>>,
}

impl JobCell {
    /// Before the first attempt.
    pub const PENDING: Self = Self { state: CellState::Pending, reason: String::new(), at: None };

    /// The cell after an attempt with this outcome.
    pub fn after(outcome: Result<(), &ProviderError>, at: DateTime<Utc>) -> Self {
        match outcome {
            Ok(()) => Self { state: CellState::Acked, reason: String::new(), at: Some(at) },
            Err(error) if error.may_be_retried() => {
                Self { state: CellState::Pending, reason: one_line(&error.to_string()), at: Some(at) }
            }
            Err(error) => Self::failed(&error.to_string(), at),
        }
    }

    /// Handed over to a vendor, with the reason why it waits, if it does.
    pub fn running(percent: u8, reason: &str, at: DateTime<Utc>) -> Self {
        Self { state: CellState::Running(percent.min(99)), reason: one_line(reason), at: Some(at) }
    }

    /// The edge refused it, or the job ended without it.
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
    /// Name of the edge.
    pub edge: String,
    /// Cells in the order of the job's URLs.
    pub cells: Vec<JobCell>,
}

impl EdgeProgress {
    /// Before the first attempt at `urls` URLs.
    pub fn pending(edge: impl Into<String>, urls: usize) -> Self {
        Self { edge: edge.into(), cells: vec![JobCell::PENDING; urls] }
    }

    /// Number of cells in a state.
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
            let _ = writeln!(text, "{} {} {at} {reason}", stretch.len(), state.to_text());
        }
        text
    }

    /// Decodes what [`EdgeProgress::encode`] wrote for a job of `urls` URLs; `None` for anything else.
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
        row.cells[4] = JobCell::running(37, "the quota is used up", at(8));
        row.cells[999] = JobCell::after(Err(&ProviderError::Unavailable("连接 refused".into())), at(9));
        let text = row.encode();
        assert_eq!(text.lines().count(), 5);
        assert_eq!(EdgeProgress::decode("edge-1".into(), &text, 1000), Some(row));
    }

    #[test]
    fn what_is_not_its_own_writing_is_refused() {
        for text in [
            "",
            "1 acked 7 ",
            "3 acked 7 ",
            "2 odd 7 ",
            "2 running:x 7 ",
            "2 running 7 ",
            "2 acked x ",
            "2 acked",
            "99999999999 acked 7 ",
        ] {
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
