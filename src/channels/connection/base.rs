//! A base socket: the contract, and nothing else ever.

use std::{collections::VecDeque, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use tokio::time::Instant;

use super::{Heard, Mode};
use crate::{
    channels::{
        Channels, Member,
        hub::Places,
        protocol::{
            CloseReason,
            base::{self, BaseRequest},
            event::Told,
        },
    },
    models::{changes::What, refusals::Refusal},
};

pub(in crate::channels) struct Base<'a> {
    member: &'a Member,
    channels: &'a Channels,
    /// What this socket has said and not passed in the log yet: it is not told to itself.
    own: VecDeque<i64>,
}

impl<'a> Base<'a> {
    pub fn new(member: &'a Member, channels: &'a Channels) -> Self {
        Self {
            member,
            channels,
            own: VecDeque::new(),
        }
    }

    async fn post(&mut self, text: String) -> Result<(), CloseReason> {
        let what = What::Send {
            text,
            reply_to: None,
        };
        let change = self.member.change(None, what);
        self.channels.until_may_send(self.member.author.id).await;
        let outcome = self
            .channels
            .writer
            .make(self.member.group.clone(), change)
            .await;
        match outcome.map_err(|_| CloseReason::NotStored)? {
            Ok(stored) => {
                self.own.push_back(stored.seq);
                Ok(())
            }
            Err(Refusal::NotMember) => Err(CloseReason::NotMember),
            // There is nothing else for which a message without a reference can be refused but a
            // group that has just gone.
            Err(_) => Err(CloseReason::NotStored),
        }
    }
}

impl Mode for Base<'_> {
    const ENDS_FLOODS: bool = false;

    /// Each is answered before the next is read.
    const FRAMES_AT_ONCE: usize = 1;

    fn greet(&mut self, _: &mut Places) -> Vec<Utf8Bytes> {
        let clock = self.channels.settings.clock();
        vec![base::greeting(&self.member.author.username, &clock)]
    }

    async fn hear(&mut self, texts: &[Utf8Bytes], _: &mut Places) -> Heard {
        let mut heard = Heard::default();
        for text in texts {
            let done = match BaseRequest::parse(text) {
                Some(BaseRequest::Post(text)) => Box::pin(self.post(text)).await,
                Some(BaseRequest::Other) => Ok(()),
                None => Err(CloseReason::NotJson),
            };
            if let Err(reason) = done {
                heard.end = Some(reason);
                break;
            }
            let answer = base::answer(&self.channels.settings.clock());
            heard.replies.push(answer);
        }
        heard
    }

    async fn welcome(&mut self, _: Vec<Arc<str>>, _: &mut Places) -> Vec<Utf8Bytes> {
        Vec::new()
    }

    fn show(&mut self, _: usize, told: &Told) -> Option<Utf8Bytes> {
        while let Some(own) = self.own.pop_front_if(|own| *own <= told.seq) {
            if own == told.seq {
                return None;
            }
        }
        let username = &self.member.author.username;
        told.base_frame(username, || self.channels.settings.clock())
    }

    fn shown_to(&mut self, _: usize, _: i64) -> Option<Utf8Bytes> {
        None
    }

    fn may_be_told_at_once(&self, _: usize) -> bool {
        true
    }

    /// Its own messages, which it is not told.
    fn must_see(&self) -> bool {
        !self.own.is_empty()
    }

    fn lose(&mut self, _: usize, reason: CloseReason) -> Result<Option<Utf8Bytes>, CloseReason> {
        Err(reason)
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn look_after(&mut self) {}

    fn goodbye(&self, _: CloseReason) -> Option<Utf8Bytes> {
        None
    }
}
