//! The example users, the example groups, and the acts of the users in them.

use loco_rs::prelude::*;

use self::{
    Act::{Deletes, Edits, Reacts, Reads, Replies, Says},
    SeedUser::{Ann, Bob, Leyla},
};
use crate::models::{
    group_commands::CommandKind, memberships::Role, messages::check_text, reactions::Emoji,
};

/// An example user.
#[derive(Clone, Copy)]
pub enum SeedUser {
    Ann,
    Bob,
    Leyla,
}

/// An example group with the acts of its members.
pub struct Story {
    /// The name of the group. It is the same on every installation, because the next run finds the
    /// group by its name.
    pub name: &'static str,
    /// The title of the group.
    pub title: &'static str,
    /// The user who creates the group.
    pub owner: SeedUser,
    /// The other members, with their roles.
    pub others: &'static [(SeedUser, Role)],
    /// The acts in order. The last act must be a message, because the number of messages shows
    /// whether the group is complete.
    pub acts: &'static [(SeedUser, Act)],
}

/// One act of a user. An earlier message is identified by its beginning.
pub enum Act {
    /// Sends a message.
    Says(&'static str),
    /// Replies to an earlier message: its beginning, and the reply.
    Replies(&'static str, &'static str),
    /// Edits an earlier message: its beginning, and the new text.
    Edits(&'static str, &'static str),
    /// Deletes an earlier message.
    Deletes(&'static str),
    /// Reacts to an earlier message: its beginning, and the emoji.
    Reacts(&'static str, &'static str),
    /// Reads all messages up to and including a message. A user who sends a message has also read
    /// all messages before it.
    Reads(&'static str),
}

/// An example group in English and Persian.
pub static LUNCH: Story = Story {
    name: "chat_5eed0001",
    title: "Lunch",
    owner: Ann,
    others: &[(Bob, Role::Admin), (Leyla, Role::Member)],
    acts: &[
        (Ann, Says("Lunch on Friday, anybody?")),
        (Bob, Says("Yes please. Where?")),
        (
            Ann,
            Says("The Persian place on Mill Street? They have ghormeh sabzi again."),
        ),
        (Leyla, Says("عالیه! من هستم.")),
        (Bob, Reacts("عالیه", "👍")),
        (Bob, Says("Does that mean yes?")),
        (Leyla, Replies("Does that mean yes?", "It does 😄")),
        (Ann, Says("Half past twelve?")),
        (Bob, Says("I have a call until one.")),
        (
            Ann,
            Replies(
                "I have a call",
                "Quarter past one, then. I'll book for three.",
            ),
        ),
        (Leyla, Says("لطفاً برای چهار نفر، برادرم هم می‌آید.")),
        (Leyla, Says("For four, please: my brother comes too.")),
        (Ann, Says("Booked: four of us, 13:51, by the window.")),
        (Bob, Says("13:51? I admire the precision.")),
        (
            Ann,
            Edits("Booked", "Booked: four of us, 13:15, by the window."),
        ),
        (Leyla, Reacts("13:51?", "😂")),
        (Ann, Reacts("13:51?", "😂")),
        (Bob, Says("Did you send the slides for Monday?")),
        (Bob, Says("Sorry, wrong chat.")),
        (Bob, Deletes("Did you send")),
        (Leyla, Says("Who pays this time?")),
        (Ann, Says("Bob lost the bet, so Bob.")),
        (Bob, Says("I hoped that nobody remembered.")),
        (Leyla, Says("ما یادمان هست.")),
        (Bob, Reads("ما یادمان")),
        (Ann, Says("See you on Friday!")),
        (Leyla, Says("می‌بینمتان 👋")),
        (Ann, Says("Bring an appetite.")),
    ],
};

/// An example group in Persian.
pub static SALAM: Story = Story {
    name: "chat_5eed0002",
    title: "سلام",
    owner: Leyla,
    others: &[(Ann, Role::Member)],
    acts: &[
        (Leyla, Says("سلام! اینجا فقط فارسی.")),
        (Ann, Says("سلام لیلا! دارم یاد می‌گیرم، لطفاً آهسته.")),
        (Leyla, Reacts("سلام لیلا", "👏")),
        (Leyla, Says("چشم. امروز چطوری؟")),
        (Ann, Says("خوبم، مرسی. جمعه هم می‌آیی؟")),
        (Leyla, Says("بله! باب را هم دعوت کن.")),
    ],
};

impl SeedUser {
    /// All example users.
    pub const ALL: [Self; 3] = [Self::Ann, Self::Bob, Self::Leyla];

    /// Returns the username.
    pub const fn username(self) -> &'static str {
        match self {
            Self::Ann => "ann",
            Self::Bob => "bob",
            Self::Leyla => "leyla",
        }
    }

    /// Returns the display name.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Ann => "Ann Lee",
            Self::Bob => "Bob Ray",
            Self::Leyla => "لیلا",
        }
    }
}

impl Story {
    /// Returns the number of messages in the story.
    pub fn message_count(&self) -> usize {
        let texts = self.acts.iter().filter_map(|(_, act)| act.text());
        texts.count()
    }
}

impl Act {
    /// Returns the text of the message, if the act sends a message.
    pub const fn text(&self) -> Option<&'static str> {
        match *self {
            Self::Says(text) | Self::Replies(_, text) => Some(text),
            _ => None,
        }
    }

    /// Returns the command of the act. `messages` has the texts of the earlier messages with their
    /// seqs.
    ///
    /// # Errors
    /// When the act refers to a message that does not exist, or has an invalid text or emoji.
    pub fn command_kind(&self, messages: &[(&str, i64)]) -> Result<CommandKind> {
        let seq = |beginning: &str| {
            let mut messages = messages.iter();
            let message = messages.find(|(text, _)| text.starts_with(beginning));
            let seq = message.map(|(_, seq)| *seq);
            seq.ok_or_else(|| Error::Message(format!("no message begins with `{beginning}`")))
        };
        Ok(match *self {
            Self::Says(text) => CommandKind::Send {
                text: checked_text(text)?,
                reply_to: None,
            },
            Self::Replies(beginning, text) => CommandKind::Send {
                text: checked_text(text)?,
                reply_to: Some(seq(beginning)?),
            },
            Self::Edits(beginning, text) => CommandKind::Edit {
                seq: seq(beginning)?,
                text: checked_text(text)?,
            },
            Self::Deletes(beginning) => CommandKind::Delete {
                seq: seq(beginning)?,
            },
            Self::Reacts(beginning, emoji) => CommandKind::React {
                seq: seq(beginning)?,
                emoji: Emoji::parse(emoji)
                    .ok_or_else(|| Error::string(Emoji::INVALID_EMOJI_TEXT))?,
                on: true,
            },
            Self::Reads(beginning) => CommandKind::Read {
                seq: seq(beginning)?,
            },
        })
    }
}

fn checked_text(text: &str) -> Result<String> {
    check_text(text).map_err(Error::wrap)?;
    Ok(text.to_owned())
}
