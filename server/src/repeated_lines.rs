//! Limit on equal log lines: the first ten warnings or errors of a kind are written each minute, the others are counted.
//!
//! A store that is down fails every request, and a line for each would hide all others and fill the disk.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::{Debug, Write as _};
use std::hash::{Hash as _, Hasher as _};
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// Equal lines that are written in one window.
const WRITTEN: u64 = 10;
/// Length of a window.
const WINDOW: Duration = Duration::from_mins(1);
/// The most kinds of line that are counted; beyond them the lines of one place in the code are one kind.
const KINDS: usize = 1000;

/// Lines of one kind in the present window.
static WINDOWS: Mutex<Option<Kinds>> = Mutex::new(None);

type Kinds = HashMap<Kind, Lines>;

/// Place in the code, and a hash of the fields that tell one failure from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    callsite: Identifier,
    failure: u64,
}

#[derive(Clone, Debug)]
struct Lines {
    begun: Instant,
    count: u64,
    target: &'static str,
    line: String,
}

/// Lines of a kind that were left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Module or target of the lines.
    pub(crate) target: &'static str,
    /// Message and failure that they share.
    pub(crate) line: String,
    /// Number of lines.
    pub(crate) count: u64,
}

/// Filter that leaves out lines beyond the limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RepeatedLines;

impl<S: Subscriber> Filter<S> for RepeatedLines {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return true;
        }
        let mut failure = Failure::default();
        event.record(&mut failure);
        let mut hash = DefaultHasher::new();
        failure.0.hash(&mut hash);
        let kind = Kind { callsite: metadata.callsite(), failure: hash.finish() };
        let mut kinds = WINDOWS.lock().unwrap_or_else(PoisonError::into_inner);
        admits(kinds.get_or_insert_default(), kind, metadata.target(), failure.0, Instant::now())
    }
}

/// Counts a line; whether it is written.
fn admits(kinds: &mut Kinds, kind: Kind, target: &'static str, line: String, now: Instant) -> bool {
    let kind =
        if kinds.len() >= KINDS && !kinds.contains_key(&kind) { Kind { failure: 0, ..kind } } else { kind };
    let lines = kinds.entry(kind).or_insert_with(|| Lines { begun: now, count: 0, target, line });
    lines.count += 1;
    lines.count <= WRITTEN
}

/// Ends the windows that are over, and answers what was left out in them.
pub(crate) fn left_out() -> Vec<LeftOut> {
    let mut kinds = WINDOWS.lock().unwrap_or_else(PoisonError::into_inner);
    kinds.as_mut().map(|kinds| ended(kinds, Instant::now())).unwrap_or_default()
}

fn ended(kinds: &mut Kinds, now: Instant) -> Vec<LeftOut> {
    let (over, open): (Kinds, Kinds) =
        mem::take(kinds).into_iter().partition(|(_, lines)| now.duration_since(lines.begun) >= WINDOW);
    *kinds = open;
    let over = over.into_values().filter(|lines| lines.count > WRITTEN);
    over.map(|Lines { count, target, line, .. }| LeftOut { target, line, count: count - WRITTEN }).collect()
}

/// The message, the error and the names of what failed; not what differs from request to request.
#[derive(Default)]
struct Failure(String);

impl Visit for Failure {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if matches!(field.name(), "message" | "error" | "reason" | "job" | "cdn" | "edge" | "panic") {
            let separator = if self.0.is_empty() { "" } else { ": " };
            // Writing to a string does not fail.
            let _ = write!(self.0, "{separator}{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &pilothouse_core::error_chain(value));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Layer as _, fmt};

    use super::*;

    /// Lines that a subscriber wrote.
    #[derive(Clone, Default)]
    struct Written(std::sync::Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn ten_equal_lines_a_minute_are_written_and_the_others_counted() {
        let written = Written::default();
        let writer = written.clone();
        let layer =
            fmt::layer().with_ansi(false).with_writer(move || writer.clone()).with_filter(RepeatedLines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for request in 0..50 {
                for error in ["disk full", "disk slow"] {
                    tracing::error!(request, error, "a request failed");
                }
                tracing::info!(request, "a request");
            }
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines = |of: &str| text.lines().filter(|line| line.contains(of)).count();
        assert_eq!(
            [lines("disk full"), lines("disk slow"), lines("a request request")],
            [10, 10, 50],
            "{text}"
        );

        let mut kinds = WINDOWS.lock().unwrap();
        let kinds = kinds.as_mut().unwrap();
        let begun = kinds.values().map(|lines| lines.begun).max().unwrap();
        assert_eq!(ended(kinds, begun), []);
        let mut left_out = ended(kinds, begun + WINDOW);
        left_out.retain(|left| left.target == module_path!());
        left_out.sort_by(|one, other| one.line.cmp(&other.line));
        assert_eq!(left_out.len(), 2, "{left_out:?}");
        for (left, error) in left_out.iter().zip(["disk full", "disk slow"]) {
            assert!(left.count == 40 && left.line.contains(error), "{left_out:?}");
        }
        assert_eq!(ended(kinds, begun + WINDOW), [], "another window begins");
    }
}
