//! What members ask to change in the conversation, and when it is refused.

use std::collections::{HashMap, HashSet};

use loco_rs::prelude::*;
use sea_orm::{DatabaseTransaction, FromQueryResult};
use serde_json::{Value, json};

use super::{
    events::{Author, Event, NewEvent, kind},
    log::{Logs, begin, rows_of},
    memberships::Role,
    refusals::Refusal,
};

/// A change that somebody asks for.
#[derive(Debug, Clone)]
pub struct Change {
    pub group_id: i64,
    /// `None`: the operator, who may everything.
    pub author: Option<Author>,
    /// The client's own id of the request: a retry with the same gets the first answer.
    pub cid: Option<String>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Send {
        text: String,
        reply_to: Option<i64>,
    },
    Edit {
        seq: i64,
        text: String,
    },
    Delete {
        seq: i64,
    },
    /// Has read all up to and with an event. No event tells it.
    Read {
        seq: i64,
    },
}

/// A change that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The number of its event; of a reading, of the last event that is read now.
    pub seq: i64,
    pub at: DateTimeWithTimeZone,
    /// Whether it was stored before: this was a retry, or a reading of what was read already.
    pub dup: bool,
    /// What is to be told.
    pub event: Option<Event>,
}

/// What becomes of a change.
pub type Outcome = Result<Stored, Refusal>;

/// Why changes were not made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Nothing was stored.
    #[error(transparent)]
    NotMade(DbErr),
    /// The database broke off while it committed: nobody knows.
    #[error("it is not known whether it was stored: {0}")]
    Unknown(DbErr),
}

impl What {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Send { .. } => kind::MESSAGE_CREATED,
            Self::Edit { .. } => kind::MESSAGE_EDITED,
            Self::Delete { .. } => kind::MESSAGE_DELETED,
            // It makes no event.
            Self::Read { .. } => "",
        }
    }

    /// The message that it is about.
    const fn target(&self) -> Option<i64> {
        match self {
            Self::Send { .. } | Self::Read { .. } => None,
            Self::Edit { seq, .. } | Self::Delete { seq } => Some(*seq),
        }
    }

    /// The messages that must be there for it.
    const fn mentioned(&self) -> Option<i64> {
        match self {
            Self::Send { reply_to, .. } => *reply_to,
            Self::Edit { seq, .. } | Self::Delete { seq } => Some(*seq),
            Self::Read { .. } => None,
        }
    }

    /// The event up to which is read.
    const fn read(&self) -> Option<i64> {
        match self {
            Self::Read { seq } => Some(*seq),
            _ => None,
        }
    }

    fn data(&self) -> Value {
        match self {
            Self::Send {
                text,
                reply_to: None,
            } => json!({"text": text}),
            Self::Send { text, reply_to } => json!({"text": text, "reply_to": reply_to}),
            Self::Edit { seq, text } => json!({"seq": seq, "text": text}),
            Self::Delete { seq } | Self::Read { seq } => json!({"seq": seq}),
        }
    }
}

impl Change {
    /// Makes all changes in one transaction, in the order in which they stand here, each in its
    /// group. Each is stored or refused on its own.
    ///
    /// Who is a member, what was stored under a `cid` and what became of a message are looked at
    /// while the groups are locked, so no answer is out of date when it is given.
    ///
    /// # Errors
    /// [`MakeError`] when the database fails.
    pub async fn make(
        db: &DatabaseConnection,
        changes: Vec<Self>,
    ) -> Result<Vec<Outcome>, MakeError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let (transaction, outcomes) = Self::prepare(db, changes)
            .await
            .map_err(MakeError::NotMade)?;
        transaction.commit().await.map_err(MakeError::Unknown)?;
        Ok(outcomes)
    }

    async fn prepare(
        db: &DatabaseConnection,
        changes: Vec<Self>,
    ) -> Result<(DatabaseTransaction, Vec<Outcome>), DbErr> {
        let transaction = begin(db).await?;
        let groups = changes.iter().map(|change| change.group_id).collect();
        let mut logs = Logs::lock(&transaction, groups).await?;
        let mut known = Known::look_up(&transaction, &changes).await?;
        let outcomes = changes
            .into_iter()
            .map(|change| known.decide(change, &mut logs))
            .collect();
        logs.write(&transaction).await?;
        Ok((transaction, outcomes))
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`MakeError`] when the database fails.
    pub async fn make_alone(self, db: &DatabaseConnection) -> Result<Outcome, MakeError> {
        let mut outcomes = Self::make(db, vec![self]).await?;
        Ok(outcomes.pop().unwrap_or(Err(Refusal::NotFound)))
    }

    fn cid_key(&self) -> Option<(i64, i64, String)> {
        let author = self.author.as_ref()?.id;
        Some((self.group_id, author, self.cid.clone()?))
    }
}

/// What is stored that decides about changes.
struct Known {
    /// By group and user.
    members: HashMap<(i64, i64), MemberRow>,
    /// By group and number: how many messages there were with an event.
    counts: HashMap<(i64, i64), i64>,
    /// By group, author and `cid`.
    answered: HashMap<(i64, i64, String), Answered>,
    /// By group and number.
    messages: HashMap<(i64, i64), Target>,
}

#[derive(FromQueryResult)]
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
    async fn look_up(transaction: &DatabaseTransaction, changes: &[Change]) -> Result<Self, DbErr> {
        let authors: HashSet<_> = changes
            .iter()
            .filter_map(|change| Some((change.group_id, change.author.as_ref()?.id)))
            .collect();
        let members = rows_of::<MemberRow, 2>(
            transaction,
            "group_id, user_id",
            authors
                .into_iter()
                .map(|(group, user)| [group.into(), user.into()]),
            "SELECT memberships.group_id, memberships.user_id, role, read FROM asked \
             JOIN memberships ON memberships.group_id = asked.group_id \
             AND memberships.user_id = asked.user_id",
        );
        let members = members.await?;
        let cids: HashSet<_> = changes.iter().filter_map(Change::cid_key).collect();
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
        Ok(Self {
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

    fn decide(&mut self, change: Change, logs: &mut Logs) -> Outcome {
        if let Some(seq) = change.what.read() {
            return self.read(&change, seq, logs);
        }
        let role = match &change.author {
            None => Role::Owner,
            Some(author) => {
                let member = self.members.get(&(change.group_id, author.id));
                Role::parse(&member.ok_or(Refusal::NotMember)?.role)
            }
        };
        let key = change.cid_key();
        if let Some(first) = key.as_ref().and_then(|key| self.answered.get(key)) {
            return first.again(&change.what);
        }
        self.permit(&change, role)?;
        let data = change.what.data().to_string();
        let author_id = change.author.as_ref().map(|author| author.id);
        let event = logs
            .push(NewEvent {
                group_id: change.group_id,
                kind: change.what.kind(),
                author: change.author,
                cid: change.cid,
                target: change.what.target(),
                data: data.clone(),
            })
            .ok_or(Refusal::NotFound)?;
        // What comes later in the same transaction finds this one done.
        if let Some(target) = change.what.target()
            && let Some(message) = self.messages.get_mut(&(change.group_id, target))
        {
            message.revision = Some(event.kind.to_string());
        }
        if let (Some(key), Some(user_id)) = (key, author_id) {
            let answered = Answered {
                group_id: change.group_id,
                user_id,
                cid: key.2.clone(),
                seq: event.seq,
                kind: event.kind.to_string(),
                data,
                created_at: event.at,
            };
            self.answered.insert(key, answered);
        }
        Ok(Stored {
            seq: event.seq,
            at: event.at,
            dup: false,
            event: Some(event),
        })
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
            (What::Edit { .. }, Some(message)) if !is_own(message) => Err(Refusal::Forbidden),
            (What::Delete { .. }, Some(message)) if !is_own(message) && role < Role::Admin => {
                Err(Refusal::Forbidden)
            }
            (_, Some(message)) if message.revision.as_deref() == Some(kind::MESSAGE_DELETED) => {
                Err(Refusal::Gone)
            }
            _ => Ok(()),
        }
    }
}

impl Answered {
    /// The first answer, to whoever asks the same again.
    fn again(&self, what: &What) -> Outcome {
        let first: Value = serde_json::from_str(&self.data).unwrap_or_default();
        // What was said has been deleted since: there is nothing to compare with any more.
        let is_erased = first.get("deleted") == Some(&Value::Bool(true));
        if self.kind != what.kind() || !(is_erased || first == what.data()) {
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
