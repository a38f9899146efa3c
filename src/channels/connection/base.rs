//! The base contract of a socket, and nothing else.

use std::{collections::VecDeque, slice, sync::Arc};

use axum::extract::ws::Utf8Bytes;

use super::{FrameResults, SocketProtocol};
use crate::{
    channels::{
        Channels, Member,
        delivery::{Subscription, Subscriptions},
        protocol::{
            CloseReason,
            base::{self, BaseRequest},
            event::EncodedEvent,
        },
    },
    metrics::Transport,
    models::{
        group_commands::CommandKind,
        rejections::{CommandError, Rejection},
    },
};

/// The protocol of a base socket.
pub(in crate::channels) struct BaseProtocol<'a> {
    member: &'a Member,
    channels: &'a Channels,
    /// The messages of this socket that it has not passed in the log. It does not receive its own messages.
    own_seqs: VecDeque<i64>,
}

impl<'a> BaseProtocol<'a> {
    /// The protocol of a member's socket.
    pub fn new(member: &'a Member, channels: &'a Channels) -> Self {
        Self {
            member,
            channels,
            own_seqs: VecDeque::new(),
        }
    }

    /// Sends a message, and omits it from the events of the subscription.
    async fn post(
        &mut self,
        text: String,
        subscriptions: &mut Subscriptions<()>,
    ) -> Result<(), CloseReason> {
        let kind = CommandKind::Send {
            text,
            reply_to: None,
        };
        let command = self.member.command(None, kind);
        self.channels.wait_for_send_rate(self.member.actor.id).await;
        let outcome = self
            .channels
            .writer
            .execute(self.member.group_name.clone(), command)
            .await;
        match outcome {
            Ok(stored) => {
                self.own_seqs.push_back(stored.seq);
                if let Some(subscription) = subscriptions.iter_mut().next() {
                    subscription.set_filtered(true);
                }
                Ok(())
            }
            Err(CommandError::Rejected(Rejection::NotMember)) => Err(CloseReason::NotMember),
            // A message without a reference is rejected otherwise only where the group was just deleted.
            Err(_) => Err(CloseReason::StoreFailed),
        }
    }
}

impl SocketProtocol for BaseProtocol<'_> {
    type GroupState = ();

    const TRANSPORT: Transport = Transport::Base;

    const CLOSES_ON_FLOOD: bool = false;

    /// Each frame is answered before the next is read.
    const MAX_FRAMES_PER_BATCH: usize = 1;

    async fn on_open(&mut self, subscriptions: &mut Subscriptions<()>) -> Vec<Utf8Bytes> {
        subscriptions
            .join(slice::from_ref(self.member), |_| ())
            .await;
        let clock = self.channels.settings.time_of_day();
        vec![base::greeting_frame(&self.member.actor.username, &clock)]
    }

    async fn on_frames(
        &mut self,
        texts: &[Utf8Bytes],
        subscriptions: &mut Subscriptions<()>,
    ) -> FrameResults {
        let mut results = FrameResults::default();
        for text in texts {
            let request = BaseRequest::parse(text);
            let is_post = matches!(request, Some(BaseRequest::Post(_)));
            let handled = match request {
                Some(BaseRequest::Post(text)) => Box::pin(self.post(text, subscriptions)).await,
                Some(BaseRequest::Other) => Ok(()),
                None => Err(CloseReason::InvalidJson),
            };
            if let Err(reason) = handled {
                results.close_reason = Some(reason);
                break;
            }
            let reply = base::reply_frame(&self.channels.settings.time_of_day());
            results.replies.push(reply);
            results.command_replies += u32::from(is_post);
        }
        results
    }

    fn encode(
        &mut self,
        subscription: &mut Subscription<()>,
        events: &[Arc<EncodedEvent>],
        frames: &mut Vec<Utf8Bytes>,
    ) {
        for event in events {
            let mut is_own = false;
            while let Some(seq) = self.own_seqs.pop_front_if(|own| *own <= event.seq) {
                is_own |= seq == event.seq;
            }
            if !is_own {
                let clock = || self.channels.settings.time_of_day();
                frames.extend(event.base_frame(&self.member.actor.username, clock));
            }
        }
        subscription.set_filtered(!self.own_seqs.is_empty());
    }

    fn last_frame(&self, _: CloseReason) -> Option<Utf8Bytes> {
        None
    }
}
