//! The limit of new connections whose first requests are read at the same time.
//!
//! When thousands of clients connect at once, the tasks of their connections would otherwise stand before the tasks of
//! the clients that chat, in the queues of the runtime. Connections beyond the limit wait in the system's listen queue.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The number of new connections that open at the same time.
const MAX_OPENING: usize = 16;

/// The time after which a connection without a request does not count any more.
///
/// The first byte of a distant client arrives a round trip after its connection. Neither such clients nor clients that
/// send nothing may delay others: with this time, a listener accepts at least some 8,000 of them in a second.
const SILENCE_TIMEOUT: Duration = Duration::from_millis(2);

/// Counts the new connections of a listener.
pub(super) struct OpeningLimiter(Arc<Semaphore>);

/// Counts a new connection until it is dropped.
pub(super) struct OpeningPermit {
    limiter: Arc<Semaphore>,
    /// `None` only without a limit: nothing closes the semaphore.
    permit: Option<OwnedSemaphorePermit>,
}

impl Default for OpeningLimiter {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_OPENING)))
    }
}

impl OpeningLimiter {
    /// Waits until a connection may open.
    pub async fn acquire(&self) -> OpeningPermit {
        OpeningPermit {
            permit: self.0.clone().acquire_owned().await.ok(),
            limiter: self.0.clone(),
        }
    }
}

impl OpeningPermit {
    /// Waits until the client has sent something. While the client is silent, the connection does not count.
    ///
    /// Returns `None` if the client closes the connection, or sends nothing within `limit`.
    pub async fn wait_for_first_byte(self, stream: &TcpStream, limit: Duration) -> Option<Self> {
        let Self { limiter, permit } = self;
        if let Ok(readable) = timeout(SILENCE_TIMEOUT, stream.readable()).await {
            return readable.is_ok().then_some(Self { limiter, permit });
        }
        drop(permit);
        timeout(limit, stream.readable()).await.ok()?.ok()?;
        Some(Self {
            permit: limiter.clone().acquire_owned().await.ok(),
            limiter,
        })
    }
}
