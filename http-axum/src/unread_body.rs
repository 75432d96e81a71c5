//! The rest of a body that nobody reads, because the request was refused before.
//!
//! A connection that is closed with bytes unread is reset, and its client sees a broken pipe instead of the answer, since many
//! read it only after they have sent everything. So a rest of a bounded length is read and thrown away.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// The longest rest that is read: twice the longest body.
const REST: usize = 16 << 20;
/// Time limit for the rest.
const REST_TIMEOUT: Duration = Duration::from_secs(10);

/// The same body, whose rest is read when it is dropped.
pub(crate) fn drained(body: Body) -> Body {
    if body.is_end_stream() { body } else { Body::new(Drained(body)) }
}

struct Drained(Body);

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut self.0);
        // One that is known to be too long is not even begun.
        let too_long = rest.size_hint().lower() > REST as u64;
        let Ok(runtime) = Handle::try_current() else { return };
        if rest.is_end_stream() || too_long {
            return;
        }
        runtime.spawn(timeout(REST_TIMEOUT, async move {
            let (mut rest, mut left) = (rest.into_data_stream(), REST);
            while let Some(Ok(bytes)) = rest.next().await {
                left = left.saturating_sub(bytes.len());
                if left == 0 {
                    return;
                }
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A body of so many mebibytes, and how many of them were read.
    fn body(mebibytes: usize) -> (Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = read.clone();
        let parts = futures_util::stream::iter(0..mebibytes).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20]))
        });
        (Body::from_stream(parts), read)
    }

    #[tokio::test]
    async fn a_dropped_body_is_read_to_its_end_or_a_limit() {
        for (mebibytes, expected) in [(3, 3), (64, 16)] {
            let (body, read) = body(mebibytes);
            drop(drained(body));
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(read.load(Ordering::Relaxed), expected);
        }
    }
}
