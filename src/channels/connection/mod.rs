//! One socket or event stream, in one task: its event loop, and the protocols that sockets speak.
//!
//! [`event_loop`] reads frames and writes frames. A [`SocketProtocol`] decides their content: the base contract
//! ([`base`]) or the rich protocol ([`rich`]). [`sse`] serves event streams.

mod base;
mod event_loop;
mod receive;
mod resume;
mod rich;
mod sse;
mod wire;

use std::{future::Future, sync::Arc, time::Duration};

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;

pub use self::resume::ResumePoint;
pub(super) use self::{
    base::BaseProtocol, event_loop::run, rich::RichProtocol, sse::serve_event_stream, wire::reject,
};
use super::{
    delivery::{Subscription, Subscriptions},
    protocol::{CloseReason, event::EncodedEvent},
    socket_record::ConnectionEnd,
};
use crate::metrics::Transport;

/// The pause before the retry of a failed read of the log or of memberships.
const READ_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The result of handling a client's frames.
#[derive(Default)]
pub(super) struct FrameResults {
    pub replies: Vec<Utf8Bytes>,
    /// The number of replies that acknowledge or reject a command.
    pub command_replies: u32,
    /// The reason to close the socket after the replies.
    pub close_reason: Option<CloseReason>,
}

/// The protocol of a socket: the base contract, or the rich protocol.
///
/// The three methods with a body are for protocols with more than one group or with timers.
pub(super) trait SocketProtocol: Send {
    /// The protocol's state of a group.
    type GroupState: Send;

    /// The name of the protocol in the metrics.
    const TRANSPORT: Transport;

    /// `true` if a client that sends too many frames is disconnected. If not, its frames are only read more slowly.
    const CLOSES_ON_FLOOD: bool;

    /// Frames that are handled together, at most.
    const MAX_FRAMES_PER_BATCH: usize;

    /// Joins the groups that the socket opens with, and returns the first frames.
    fn on_open(
        &mut self,
        subscriptions: &mut Subscriptions<Self::GroupState>,
    ) -> impl Future<Output = Vec<Utf8Bytes>> + Send;

    /// Handles frames of the client in their order, and returns the replies. Consecutive commands are stored
    /// together.
    fn on_frames(
        &mut self,
        texts: &[Utf8Bytes],
        subscriptions: &mut Subscriptions<Self::GroupState>,
    ) -> impl Future<Output = FrameResults> + Send;

    /// Adds the frames of the next events of a group, and then the frames that are due at the socket's new position,
    /// such as `sync`. `events` may be empty.
    fn encode(
        &mut self,
        subscription: &mut Subscription<Self::GroupState>,
        events: &[Arc<EncodedEvent>],
        frames: &mut Vec<Utf8Bytes>,
    );

    /// Returns the text frame that precedes the close frame, such as `bye`. `None`: the close frame comes alone.
    fn last_frame(&self, reason: CloseReason) -> Option<Utf8Bytes>;

    /// Runs the work whose time has come, and returns the time of the next work.
    fn on_timer(&mut self, _: &mut Subscriptions<Self::GroupState>) -> Option<Instant> {
        None
    }

    /// Joins groups that the user has become a member of, and returns the frames about them.
    fn on_groups_joined(
        &mut self,
        _: Vec<Arc<str>>,
        _: &mut Subscriptions<Self::GroupState>,
    ) -> impl Future<Output = Vec<Utf8Bytes>> + Send {
        async { Vec::new() }
    }

    /// Returns the frame about a subscription that the server has ended. The socket keeps its other subscriptions.
    fn on_subscription_lost(
        &mut self,
        _: Subscription<Self::GroupState>,
        _: CloseReason,
    ) -> Option<Utf8Bytes> {
        None
    }
}
