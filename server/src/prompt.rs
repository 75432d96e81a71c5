//! Clients that connect and then say nothing.
//!
//! The time-out for a request's head begins only once it is known which version of HTTP a client speaks, which takes up
//! to 24 bytes. Until then the one here runs.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The length of the preface by which HTTP/2 is known.
const PREFACE: usize = 24;

/// Accepts as the acceptor inside, and cuts off who does not begin a request in time.
#[derive(Clone, Debug)]
pub(crate) struct Prompt<A> {
    inner: A,
    within: Duration,
}

impl<A> Prompt<A> {
    /// Cuts off who has not begun a request after `within`.
    pub(crate) fn new(inner: A, within: Duration) -> Self {
        Self { inner, within }
    }
}

impl<A, I, S> Accept<I, S> for Prompt<A>
where
    A: Accept<I, S, Stream: Unpin, Future: Send + 'static>,
{
    type Stream = PromptStream<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepting = self.inner.accept(stream, service);
        let within = self.within;
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let deadline = Some(Box::pin(sleep(within)));
            Ok((PromptStream { stream, read: 0, deadline }, service))
        })
    }
}

/// A connection that fails at its deadline, unless a request began before.
#[derive(Debug)]
pub(crate) struct PromptStream<S> {
    stream: S,
    /// How much was read, as long as there is a deadline.
    read: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for PromptStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(deadline) = &mut self.deadline {
            let late = deadline.as_mut().poll(context).is_ready();
            self.read += buffer.filled().len() - before;
            if self.read >= PREFACE {
                self.deadline = None;
            } else if late && polled.is_pending() {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PromptStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // It is being answered, so it has begun.
        self.deadline = None;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.deadline = None;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
