//! Tracing spans: each statement records its name.

use std::cell::RefCell;
use std::io::Write;

use pilothouse_core::Page;
use pilothouse_core::ops::TaskFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, filter};

thread_local! {
    /// Log of the test that runs on this thread, while it records.
    static RECORDED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Writer of the one subscriber of this program: keeps what threads that record write, drops all else.
struct ThreadLog;

impl Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        RECORDED.with_borrow_mut(|recorded| recorded.iter_mut().for_each(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns what was recorded on this thread, and begins anew.
fn take_recorded() -> String {
    String::from_utf8(RECORDED.replace(Some(Vec::new())).unwrap_or_default()).unwrap()
}

#[tokio::test]
async fn spans_name_statements_but_not_those_of_single_reads() {
    // A subscriber for one thread is not enough: whether a span is wanted is remembered for the whole program, and the
    // tests beside this one would answer for it. So the program has one, for this crate's spans only.
    let spans = tracing_subscriber::fmt::layer()
        .with_span_events(FmtSpan::NEW)
        .with_writer(|| ThreadLog)
        .with_filter(filter::Targets::new().with_target("pilothouse_storage_sqlx", LevelFilter::DEBUG));
    tracing::subscriber::set_global_default(Registry::default().with(spans)).unwrap();
    let (storage, _folder) = crate::sqlite_store("spans").await.unwrap();
    take_recorded();
    let mut work = storage.begin().await.unwrap();
    work.tasks().list(&TaskFilter::default(), Page::default()).await.unwrap();
    work.rollback().await.unwrap();
    let written = take_recorded();
    assert!(written.contains("connection::BEGIN"), "{written}");
    assert!(written.contains("ops::task::LIST"), "{written}");
    storage.peek().await.unwrap().tasks().list(&TaskFilter::default(), Page::default()).await.unwrap();
    let read = take_recorded();
    assert!(!read.contains("ops::task::LIST"), "{read}");
}
