//! What is stored that decides about changes, looked at while their groups are locked.

use std::collections::{HashMap, HashSet};

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Change, Outcome, Retries, Stored, ToggleLimit, What,
    reacted::{Asked, Reacted},
    toggles,
};
use crate::models::{
    asked::{many_rows_of, rows_of},
    events::{Event, NewEvent, is_altered, kind},
    log::Logs,
    memberships::Role,
    refusals::Refusal,
};

/// All of it, for one batch.
pub struct Known {
    /// By group and user.
    members: HashMap<(i64, i64), MemberRow>,
    /// By group and number: how many messages there were with an event.
    counts: HashMap<(i64, i64), i64>,
    /// By group, author and `cid`.
    answered: HashMap<(i64, i64, String), Answered>,
    /// By group and number.
    messages: HashMap<(i64, i64), Target>,
    /// The texts of the messages that are to be edited, by group and number.
    texts: HashMap<(i64, i64), String>,
    /// The number of changes of each reaction in this batch.
    toggled: HashMap<toggles::Key, u32>,
    reacted: Reacted,
}

/// A message that is to be edited: its event, and the last edit, which older versions kept apart.
#[derive(FromQueryResult)]
struct TextRow {
    group_id: i64,
    seq: i64,
    data: String,
    edited: Option<String>,
}

#[derive(FromQueryResult, Deserialize)]
struct MemberRow {
    group_id: i64,
    user_id: i64,
    role: String,
    read: i64,
}

#[derive(FromQueryResult)]
struct CountRow {
    group_id: i64,
    seq: i64,
    messages: i64,
}

/// An event that was stored under a `cid`.
#[derive(FromQueryResult)]
struct Answered {
    group_id: i64,
    user_id: i64,
    cid: String,
    seq: i64,
    kind: String,
    data: String,
    created_at: DateTimeWithTimeZone,
}

/// A message that a change is about.
#[derive(FromQueryResult)]
struct Target {
    group_id: i64,
    seq: i64,
    user_id: Option<i64>,
    /// The kind of the last event that changed it.
    revision: Option<String>,
}

impl Known {
    pub async fn look_up(
        transaction: &DatabaseTransaction,
        changes: &[&Change],
        retries: Retries,
    ) -> Result<Self, DbErr> {
        let authors: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some((change.group_id, change.author.as_ref()?.id)))
            .collect();
        let members = many_rows_of::<MemberRow, 2>(
            transaction,
            "group_id, user_id",
            authors
                .into_iter()
                .map(|(group, user)| [group.into(), user.into()]),
            "group_id, user_id, role, read",
            "SELECT memberships.group_id, memberships.user_id, role, read FROM asked \
             JOIN memberships ON memberships.group_id = asked.group_id \
             AND memberships.user_id = asked.user_id",
        );
        let members = members.await?;
        let cids: HashSet<_> = match retries {
            Retries::Likely => changes
                .iter()
                .filter_map(|change| change.cid_key())
                .collect(),
            Retries::Unlikely => HashSet::new(),
        };
        let answered = rows_of::<Answered, 3>(
            transaction,
            "group_id, user_id, cid",
            cids.into_iter()
                .map(|(group, user, cid)| [group.into(), user.into(), cid.into()]),
            "SELECT events.group_id, events.user_id, events.cid, seq, kind, data, created_at \
             FROM asked JOIN events ON events.group_id = asked.group_id \
             AND events.user_id = asked.user_id AND events.cid = asked.cid",
        );
        let answered = answered.await?;
        let mentioned: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some((change.group_id, change.what.mentioned()?)))
            .collect();
        let messages = rows_of::<Target, 2>(
            transaction,
            "group_id, seq",
            mentioned
                .into_iter()
                .map(|(group, seq)| [group.into(), seq.into()]),
            "SELECT message.group_id, message.seq, message.user_id, revision.kind AS revision \
             FROM asked JOIN events message ON message.group_id = asked.group_id \
             AND message.seq = asked.seq AND message.kind = 'message.created' \
             LEFT JOIN events revision ON revision.group_id = message.group_id \
             AND revision.seq = message.revised",
        );
        let messages = messages.await?;
        let read: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some((change.group_id, change.what.read()?)))
            .collect();
        let counts = rows_of::<CountRow, 2>(
            transaction,
            "group_id, seq",
            read.into_iter()
                .map(|(group, seq)| [group.into(), seq.into()]),
            "SELECT events.group_id, events.seq, messages FROM asked \
             JOIN events ON events.group_id = asked.group_id AND events.seq = asked.seq",
        );
        let counts = counts.await?;
        let edited: HashSet<_> = changes
            .iter()
            .filter_map(|change| match change.what {
                What::Edit { seq, .. } => Some((change.group_id, seq)),
                _ => None,
            })
            .collect();
        let texts = rows_of::<TextRow, 2>(
            transaction,
            "group_id, seq",
            edited
                .into_iter()
                .map(|(group, seq)| [group.into(), seq.into()]),
            "SELECT message.group_id, message.seq, message.data, revision.data AS edited \
             FROM asked JOIN events message ON message.group_id = asked.group_id \
             AND message.seq = asked.seq AND message.kind = 'message.created' \
             LEFT JOIN events revision ON revision.group_id = message.group_id \
             AND revision.seq = message.revised AND revision.kind = 'message.edited'",
        );
        let texts = texts.await?;
        Ok(Self {
            toggled: HashMap::new(),
            texts: texts
                .into_iter()
                .filter_map(|row| {
                    let data = row.edited.as_deref().unwrap_or(&row.data);
                    let data: Value = serde_json::from_str(data).ok()?;
                    let text = data.get("text")?.as_str()?.to_owned();
                    Some(((row.group_id, row.seq), text))
                })
                .collect(),
            reacted: Reacted::look_up(transaction, changes).await?,
            members: members
                .into_iter()
                .map(|row| ((row.group_id, row.user_id), row))
                .collect(),
            counts: counts
                .into_iter()
                .map(|row| ((row.group_id, row.seq), row.messages))
                .collect(),
            answered: answered
                .into_iter()
                .map(|row| ((row.group_id, row.user_id, row.cid.clone()), row))
                .collect(),
            messages: messages
                .into_iter()
                .map(|row| ((row.group_id, row.seq), row))
                .collect(),
        })
    }

    /// Makes a change, or refuses it.
    pub fn decide(&mut self, change: &Change, logs: &mut Logs, toggles: &ToggleLimit) -> Outcome {
        if logs.head(change.group_id).is_none() {
            // Deleted since the author was looked up as a member.
            return Err(Refusal::GroupGone);
        }
        if let Some(seq) = change.what.read() {
            return self.read(change, seq, logs);
        }
        let role = match &change.author {
            None => Role::Owner,
            Some(author) => {
                let member = self.members.get(&(change.group_id, author.id));
                Role::parse(&member.ok_or(Refusal::NotMember)?.role)
            }
        };
        if let Some(key) = change.cid_key()
            && let Some(first) = self.answered.get(&key)
        {
            return first.again(&change.what);
        }
        self.permit(change, role)?;
        let reaction = Asked::by(change);
        let is_so = match &reaction {
            Some(reaction) => self.reacted.is_so(reaction)?,
            None => self.is_text_of(change),
        };
        if is_so {
            let (seq, at) = logs.head(change.group_id).ok_or(Refusal::NotFound)?;
            return Ok(Stored {
                seq,
                at,
                dup: true,
                event: None,
            });
        }
        if let Some(key) = ToggleLimit::key(change) {
            let pending = self.toggled.entry(key).or_default();
            if let Some(wait) = toggles.wait(&key, *pending) {
                return Err(Refusal::TooOften(wait));
            }
            *pending += 1;
        }
        let event = self.append(change, logs).ok_or(Refusal::NotFound)?;
        if let Some(reaction) = &reaction {
            self.reacted.set(reaction, event.seq);
        }
        Ok(Stored {
            seq: event.seq,
            at: event.at,
            dup: false,
            event: Some(event),
        })
    }

    /// Gives a change its event. What comes later in the same transaction finds it done.
    fn append(&mut self, change: &Change, logs: &mut Logs) -> Option<Event> {
        let key = change.cid_key();
        let target = change.what.target();
        let data = change.what.data().to_string();
        let event = logs.push(NewEvent {
            group_id: change.group_id,
            kind: change.what.kind(),
            author: change.author.clone(),
            cid: change.cid.clone(),
            target,
            data: data.clone(),
        })?;
        if let Some(target) = target
            && let Some(message) = self.messages.get_mut(&(change.group_id, target))
        {
            message.revision = Some(event.kind.to_string());
        }
        if let What::Edit { seq, text } = &change.what {
            self.texts.insert((change.group_id, *seq), text.clone());
        }
        // A reading of the same batch may go up to here.
        if let Some(messages) = logs.messages(change.group_id) {
            self.counts.insert((change.group_id, event.seq), messages);
        }
        if let Some(key) = key {
            let answered = Answered {
                group_id: key.0,
                user_id: key.1,
                cid: key.2.clone(),
                seq: event.seq,
                kind: event.kind.to_string(),
                data,
                created_at: event.at,
            };
            self.answered.insert(key, answered);
        }
        Some(event)
    }

    /// Writes down what is no part of the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        self.reacted.write(transaction).await
    }

    /// Returns whether an edit would change nothing: the message has this text already.
    fn is_text_of(&self, change: &Change) -> bool {
        let What::Edit { seq, text } = &change.what else {
            return false;
        };
        self.texts.get(&(change.group_id, *seq)) == Some(text)
    }

    /// Moves what a member has read on, never back, and never beyond what there is.
    fn read(&mut self, change: &Change, seq: i64, logs: &mut Logs) -> Outcome {
        let author = change.author.as_ref().ok_or(Refusal::NotMember)?;
        let member = self.members.get_mut(&(change.group_id, author.id));
        let member = member.ok_or(Refusal::NotMember)?;
        let count = self.counts.get(&(change.group_id, seq)).copied();
        let (seq, at) = logs
            .read(change.group_id, author.id, seq, count)
            .ok_or(Refusal::NotFound)?;
        let dup = seq <= member.read;
        member.read = member.read.max(seq);
        Ok(Stored {
            seq: member.read,
            at,
            dup,
            event: None,
        })
    }

    /// Whether the author may do this, and to what it is done is still there.
    fn permit(&self, change: &Change, role: Role) -> Result<(), Refusal> {
        let Some(mentioned) = change.what.mentioned() else {
            return Ok(());
        };
        let message = self.messages.get(&(change.group_id, mentioned));
        let is_own = |message: &Target| {
            change
                .author
                .as_ref()
                .is_none_or(|author| message.user_id == Some(author.id))
        };
        match (&change.what, message) {
            (What::Send { .. } | What::Read { .. }, Some(_)) => Ok(()),
            (What::Send { .. }, None) => Err(Refusal::NoSuchMessage { field: "reply_to" }),
            (_, None) => Err(Refusal::NotFound),
            // The operator is nobody who could be counted.
            (What::React { .. }, _) if change.author.is_none() => Err(Refusal::Forbidden),
            (What::Edit { .. }, Some(message)) if !is_own(message) => Err(Refusal::Forbidden),
            (What::Delete { .. }, Some(message)) if !is_own(message) && role < Role::Admin => {
                Err(Refusal::Forbidden)
            }
            (_, Some(message)) if message.revision.as_deref() == Some(kind::MESSAGE_DELETED) => {
                Err(Refusal::Gone)
            }
            // Each by name: who may do something new is asked by the compiler.
            (What::Edit { .. } | What::Delete { .. } | What::React { .. }, Some(_)) => Ok(()),
        }
    }
}

impl Answered {
    /// The first answer, to whoever asks the same again.
    fn again(&self, what: &What) -> Outcome {
        let first: Value = serde_json::from_str(&self.data).unwrap_or_default();
        // A text that was edited or deleted since cannot be compared.
        if self.kind != what.kind() || !(is_altered(&first) || first == what.data()) {
            return Err(Refusal::CidReused);
        }
        Ok(Stored {
            seq: self.seq,
            at: self.created_at,
            dup: true,
            event: None,
        })
    }
}
