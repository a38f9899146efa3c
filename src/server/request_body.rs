//! The timeout of request bodies.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Error as BodyError,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::errors::Error;

/// The time for the whole body. A body of 64 KiB needs 7 KB a second.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers 408 if the body did not arrive in time, and drops the response of the handler.
///
/// A body in another transfer coding than `chunked` is refused, because the server decodes no other
/// coding (RFC 9112, section 6.1).
pub(super) async fn enforce_timeout(request: Request, next: Next) -> Response {
    let codings = request.headers().get_all(header::TRANSFER_ENCODING);
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !codings.iter().all(is_chunked) {
        return Error::UnsupportedTransferCoding.into_response();
    }
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let has_timed_out = Arc::new(AtomicBool::new(false));
    let timed = |body| {
        Body::new(TimedBody {
            body,
            deadline: Box::pin(sleep(BODY_TIMEOUT)),
            has_timed_out: has_timed_out.clone(),
        })
    };
    let response = next.run(request.map(timed)).await;
    if has_timed_out.load(Ordering::Relaxed) {
        return Error::RequestTimeout.into_response();
    }
    response
}

/// A body that fails when its deadline has passed.
struct TimedBody {
    body: Body,
    deadline: Pin<Box<Sleep>>,
    has_timed_out: Arc<AtomicBool>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.deadline.as_mut().poll(cx));
        self.has_timed_out.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(BodyError::new(Error::RequestTimeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
