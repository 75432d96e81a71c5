//! Live parts of pages: fragments by server-sent events, at most one a second, and none while nothing changes.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::page::Visitor;
use crate::state::ConsoleState;

/// Pause between two looks at what is shown.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest stream; its page begins another by itself, as a session may have ended meanwhile.
const LOOKS: u32 = 600;
/// Name of the event after which nothing more comes.
const END: &str = "end";

/// Part of a page at a moment.
pub(crate) struct Fragment {
    pub(crate) html: String,
    /// Whether it does not change any more.
    pub(crate) is_final: bool,
}

/// Future of a fragment.
pub(crate) type Look = Pin<Box<dyn Future<Output = Result<Fragment, Failure>> + Send>>;

struct Watch<F> {
    look: F,
    host_ends: watch::Receiver<bool>,
    shown: String,
    looks: u32,
    is_over: bool,
}

/// Streams what `look` finds, whenever it is something else than before, until it is final or fails, or the host stops.
///
/// Each look is a use case of its own, which asks again what the caller may.
pub(crate) fn stream(console: &ConsoleState, look: impl Fn() -> Look + Send + 'static) -> Response {
    let host_ends = console.streams_end();
    let watch = Watch { look, host_ends, shown: String::new(), looks: 0, is_over: false };
    let events = stream::unfold(watch, |mut watch| async move {
        while !watch.is_over && watch.looks < LOOKS {
            if watch.looks > 0 && timeout(PAUSE, watch.host_ends.wait_for(|ends| *ends)).await.is_ok() {
                return None;
            }
            watch.looks += 1;
            let Ok(fragment) = (watch.look)().await else { return None };
            watch.is_over = fragment.is_final;
            if fragment.html != watch.shown {
                watch.shown = fragment.html;
                let event = Event::default().data(&watch.shown);
                return Some((Ok::<_, Infallible>(event), watch));
            }
        }
        if watch.is_over && watch.looks < LOOKS {
            watch.looks = LOOKS;
            return Some((Ok(Event::default().event(END).data(END)), watch));
        }
        None
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// Whether the session of a visitor still holds; a stream that outlives it ends.
pub(crate) async fn still_in(visitor: &Visitor) -> Result<(), Failure> {
    let is_current = visitor.pilothouse().console_sessions().is_current(&visitor.caller).await?;
    if is_current { Ok(()) } else { Err(pilothouse_core::Error::Unauthenticated.into()) }
}
