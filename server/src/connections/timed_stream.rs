//! Connections that end when their client lets them lie idle: before the first request, within a head, between two requests,
//! or by not reading the answer.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::activity::Activity;
use super::slots::Slot;

/// Time limit for a request's head: of the first one from the moment the connection is made, whatever its protocol; with
/// HTTP/1 of later ones from their first byte.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time within which a client has to read something of its answer: as long as the lease of a node, which does not count as
/// online without reading.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// A stream that ends at its deadline, as if the client had closed it. While a request is under way there is none.
#[derive(Debug)]
pub(crate) struct TimedStream<S> {
    stream: S,
    activity: Activity,
    keep_alive: Duration,
    opened: Instant,
    /// First byte of a head that is not complete, if it came after the last answer.
    head_begun: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// Runs while the client reads nothing of its answer.
    write_timer: Option<Pin<Box<Sleep>>>,
    _slot: Option<Slot>,
}

impl<S> TimedStream<S> {
    /// Ends a stream that is idle for `keep_alive` after its last answer.
    pub(super) fn new(
        stream: S,
        activity: Activity,
        keep_alive: Duration,
        slot: impl Into<Option<Slot>>,
    ) -> Self {
        let opened = Instant::now();
        let timer = Box::pin(sleep_until(opened + HEAD_TIMEOUT.min(keep_alive)));
        let (head_begun, write_timer, slot) = (None, None, slot.into());
        Self { stream, activity, keep_alive, opened, head_begun, timer, write_timer, _slot: slot }
    }

    /// The moment at which the stream ends if nothing happens; none while a request is under way.
    fn deadline(&self) -> Option<Instant> {
        let requests = self.activity.now();
        if requests.open > 0 {
            return None;
        }
        let Some(answered) = requests.answered else { return Some(self.opened + HEAD_TIMEOUT) };
        match self.head_begun {
            // With HTTP/2 these may be bytes of anything, a ping as well as a head.
            Some(begun) if begun >= answered && !requests.http2 => Some(begun + HEAD_TIMEOUT),
            _ => Some(answered + self.keep_alive),
        }
    }

    /// Notes bytes that came between two requests.
    fn note_head(&mut self) {
        let requests = self.activity.now();
        if requests.open == 0 && self.head_begun.is_none_or(|begun| requests.answered > Some(begun)) {
            self.head_begun = Some(Instant::now());
        }
    }

    /// Ready at the deadline. The timer may run out before it, because a request ended meanwhile, and is then set anew.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(());
            }
            // Nobody reads again when an answer ends that was ready at once, so the timer is never set for later than the
            // deadline that such an answer would bring.
            let after_answer = now + self.keep_alive;
            let look_again = deadline.map_or(after_answer, |deadline| deadline.min(after_answer));
            if self.timer.deadline() > look_again || self.timer.is_elapsed() {
                self.timer.as_mut().reset(look_again);
            }
            ready!(self.timer.as_mut().poll(context));
        }
    }

    /// Fails a write that has been waiting for its client for too long.
    fn timed<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_timer = None;
            return written;
        }
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.note_head();
        }
        if polled.is_pending() && self.poll_deadline(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.timed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.timed(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.timed(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Version;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(75);

    fn stream() -> (TimedStream<DuplexStream>, Activity, DuplexStream) {
        let (client, server) = duplex(64);
        let activity = Activity::default();
        (TimedStream::new(server, activity.clone(), KEEP_ALIVE, None), activity, client)
    }

    /// Reads to the end; the time that it took.
    async fn time_until_end(stream: &mut TimedStream<DuplexStream>) -> Duration {
        let begun = Instant::now();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        begun.elapsed()
    }

    /// Writes a byte a second for as long as anybody reads.
    fn drip(mut client: DuplexStream) {
        tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_request_has_to_come_in_time() {
        let (mut silent, _, _client) = stream();
        assert_eq!(time_until_end(&mut silent).await, HEAD_TIMEOUT);
        let (mut slow, _, client) = stream();
        drip(client);
        assert_eq!(time_until_end(&mut slow).await, HEAD_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_for_a_while() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let (mut idle, activity, _client) = stream();
            drop(activity.begin(version));
            assert_eq!(time_until_end(&mut idle).await, KEEP_ALIVE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_ends_and_pings_do_not_keep_a_connection() {
        for (version, expected) in [(Version::HTTP_11, HEAD_TIMEOUT), (Version::HTTP_2, KEEP_ALIVE)] {
            let (mut slow, activity, client) = stream();
            drop(activity.begin(version));
            tokio::time::sleep(Duration::from_millis(1)).await;
            drip(client);
            let ended = time_until_end(&mut slow).await;
            assert!(ended <= expected && ended + Duration::from_secs(1) > expected, "{version:?}: {ended:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_has_no_deadline_here() {
        let (mut watch, activity, _client) = stream();
        let under_way = activity.begin(Version::HTTP_11);
        let hour = Duration::from_hours(1);
        let end = tokio::spawn(async move { time_until_end(&mut watch).await });
        tokio::time::sleep(hour).await;
        drop(under_way);
        assert_eq!(end.await.unwrap(), hour + KEEP_ALIVE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_fails() {
        let (mut stalled, activity, client) = stream();
        let _under_way = activity.begin(Version::HTTP_11);
        let begun = Instant::now();
        let failed = stalled.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!((failed.kind(), begun.elapsed()), (ErrorKind::TimedOut, WRITE_TIMEOUT));
        drop(client);
    }
}
