//! A base socket: the contract, and nothing else ever.

use std::{collections::VecDeque, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;

use super::{FrameResults, SocketProtocol};
use crate::{
    channels::{
        Channels, Member,
        hub::Subscriptions,
        protocol::{
            CloseReason,
            base::{self, BasicRequest},
            event::EncodedEvent,
        },
    },
    models::{
        group_commands::CommandKind,
        rejections::{CommandError, Rejection},
    },
};

pub(in crate::channels) struct BasicProtocol<'a> {
    member: &'a Member,
    channels: &'a Channels,
    /// What this socket has said and not passed in the log yet: it is not told to itself.
    own_seqs: VecDeque<i64>,
}

impl<'a> BasicProtocol<'a> {
    pub fn new(member: &'a Member, channels: &'a Channels) -> Self {
        Self {
            member,
            channels,
            own_seqs: VecDeque::new(),
        }
    }

    async fn post(&mut self, text: String) -> Result<(), CloseReason> {
        let what = CommandKind::Send {
            text,
            reply_to: None,
        };
        let change = self.member.command(None, what);
        self.channels.wait_for_send_rate(self.member.actor.id).await;
        let outcome = self
            .channels
            .writer
            .execute(self.member.group_name.clone(), change)
            .await;
        match outcome {
            Ok(stored) => {
                self.own_seqs.push_back(stored.seq);
                Ok(())
            }
            Err(CommandError::Rejected(Rejection::NotMember)) => Err(CloseReason::NotMember),
            // There is nothing else for which a message without a reference can be refused but a
            // group that has just gone.
            Err(_) => Err(CloseReason::StoreFailed),
        }
    }
}

impl SocketProtocol for BasicProtocol<'_> {
    const CLOSES_ON_FLOOD: bool = false;

    /// Each is answered before the next is read.
    const MAX_FRAMES_PER_BATCH: usize = 1;

    fn on_open(&mut self, _: &mut Subscriptions) -> Vec<Utf8Bytes> {
        let clock = self.channels.settings.time_of_day();
        vec![base::greeting_frame(&self.member.actor.username, &clock)]
    }

    async fn on_frames(&mut self, texts: &[Utf8Bytes], _: &mut Subscriptions) -> FrameResults {
        let mut heard = FrameResults::default();
        for text in texts {
            let done = match BasicRequest::parse(text) {
                Some(BasicRequest::Post(text)) => Box::pin(self.post(text)).await,
                Some(BasicRequest::Other) => Ok(()),
                None => Err(CloseReason::InvalidJson),
            };
            if let Err(reason) = done {
                heard.close_reason = Some(reason);
                break;
            }
            let answer = base::reply_frame(&self.channels.settings.time_of_day());
            heard.replies.push(answer);
        }
        heard
    }

    async fn on_groups_joined(
        &mut self,
        _: Vec<Arc<str>>,
        _: &mut Subscriptions,
    ) -> Vec<Utf8Bytes> {
        Vec::new()
    }

    fn event_frame(&mut self, _: usize, told: &EncodedEvent) -> Option<Utf8Bytes> {
        while let Some(own) = self.own_seqs.pop_front_if(|own| *own <= told.seq) {
            if own == told.seq {
                return None;
            }
        }
        let username = &self.member.actor.username;
        told.basic_frame(username, || self.channels.settings.time_of_day())
    }

    fn on_delivered(&mut self, _: usize, _: i64) -> Option<Utf8Bytes> {
        None
    }

    fn can_write_direct(&self, _: usize) -> bool {
        true
    }

    /// Its own messages, which it is not told.
    fn needs_filtering(&self) -> bool {
        !self.own_seqs.is_empty()
    }

    fn on_subscription_lost(
        &mut self,
        _: usize,
        reason: CloseReason,
    ) -> Result<Option<Utf8Bytes>, CloseReason> {
        Err(reason)
    }

    fn next_timer(&self) -> Option<Instant> {
        None
    }

    fn on_timer(&mut self) {}

    fn bye_frame(&self, _: CloseReason) -> Option<Utf8Bytes> {
        None
    }
}
