//! Requests under way on a connection, from the end of their head to the end of their answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::HttpBody;
use axum::http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tower::Service;

/// Requests of one connection, shared by its stream and its service.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Mutex<Requests>>);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requests {
    /// Requests under way: at most one with HTTP/1.
    pub(super) open: u32,
    /// End of the last answer; none before the first.
    pub(super) answered: Option<Instant>,
    /// Whether the connection speaks HTTP/2, once a request told.
    pub(super) http2: bool,
}

impl Activity {
    pub(super) fn now(&self) -> Requests {
        *self.lock()
    }

    /// Counts a request until the answer is dropped.
    pub(super) fn begin(&self, version: Version) -> UnderWay {
        let mut requests = self.lock();
        requests.open += 1;
        requests.http2 = version == Version::HTTP_2;
        drop(requests);
        UnderWay(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Activity);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut requests = self.0.lock();
        requests.open -= 1;
        requests.answered = Some(Instant::now());
    }
}

/// The service of a connection, with its requests counted.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    inner: S,
    activity: Activity,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, activity: Activity) -> Self {
        Self { inner, activity }
    }
}

impl<S, R, B> Service<Request<R>> for Counted<S>
where
    S: Service<Request<R>, Response = Response<B>, Future: Send + 'static>,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let under_way = self.activity.begin(request.version());
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            Ok(answer.map(|body| CountedBody { body, _under_way: under_way }))
        })
    }
}

/// Body of an answer, under way until it is dropped.
#[derive(Debug)]
pub(crate) struct CountedBody<B> {
    body: B,
    _under_way: UnderWay,
}

impl<B: HttpBody + Unpin> HttpBody for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
