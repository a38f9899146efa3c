//! Who there is, and what is said and done in the groups.

use loco_rs::prelude::*;

use self::{
    Act::{Answers, Deletes, Edits, Reacts, Reads, Says},
    SeedUser::{Ann, Bob, Leyla},
};
use crate::models::{
    group_commands::CommandKind, memberships::Role, messages::check_text, reactions::Emoji,
};

#[derive(Clone, Copy)]
pub enum SeedUser {
    Ann,
    Bob,
    Leyla,
}

/// A group, and what is done in it.
pub struct Story {
    /// The same wherever it is told: the next run finds it by that, and an example may name it.
    pub name: &'static str,
    pub title: &'static str,
    pub owner: SeedUser,
    /// Who comes in, and as what.
    pub others: &'static [(SeedUser, Role)],
    /// The last must be a line: a group in which all are said has all of it.
    pub acts: &'static [(SeedUser, Act)],
}

/// What somebody does. A line that was said before is named by how it began.
pub enum Act {
    Says(&'static str),
    /// A line, and what is said to it.
    Answers(&'static str, &'static str),
    /// A line, and what it is from then on.
    Edits(&'static str, &'static str),
    Deletes(&'static str),
    /// A line, and the emoji.
    Reacts(&'static str, &'static str),
    /// Has read all up to and with a line. (Who says something has read what came before.)
    Reads(&'static str),
}

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
        (Leyla, Answers("Does that mean yes?", "It does 😄")),
        (Ann, Says("Half past twelve?")),
        (Bob, Says("I have a call until one.")),
        (
            Ann,
            Answers(
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
    pub const ALL: [Self; 3] = [Self::Ann, Self::Bob, Self::Leyla];

    pub const fn username(self) -> &'static str {
        match self {
            Self::Ann => "ann",
            Self::Bob => "bob",
            Self::Leyla => "leyla",
        }
    }

    /// The name that others see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ann => "Ann Lee",
            Self::Bob => "Bob Roy",
            Self::Leyla => "لیلا",
        }
    }
}

impl Story {
    /// How many lines it has.
    pub fn line_count(&self) -> usize {
        let lines = self.acts.iter().filter_map(|(_, act)| act.text());
        lines.count()
    }
}

impl Act {
    /// What is said, if it is that.
    pub const fn text(&self) -> Option<&'static str> {
        match *self {
            Self::Says(text) | Self::Answers(_, text) => Some(text),
            _ => None,
        }
    }

    /// What is asked for, where these lines were said, each with its number.
    ///
    /// # Errors
    /// Where the story is at fault.
    pub fn command_kind(&self, lines: &[(&str, i64)]) -> Result<CommandKind> {
        let seq = |beginning: &str| {
            let line = lines.iter().find(|(text, _)| text.starts_with(beginning));
            let seq = line.map(|(_, seq)| *seq);
            seq.ok_or_else(|| Error::Message(format!("nobody has said `{beginning}`")))
        };
        Ok(match *self {
            Self::Says(text) => CommandKind::Send {
                text: checked_text(text)?,
                reply_to: None,
            },
            Self::Answers(line, text) => CommandKind::Send {
                text: checked_text(text)?,
                reply_to: Some(seq(line)?),
            },
            Self::Edits(line, text) => CommandKind::Edit {
                seq: seq(line)?,
                text: checked_text(text)?,
            },
            Self::Deletes(line) => CommandKind::Delete { seq: seq(line)? },
            Self::Reacts(line, emoji) => CommandKind::React {
                seq: seq(line)?,
                emoji: Emoji::parse(emoji)
                    .ok_or_else(|| Error::string(Emoji::INVALID_EMOJI_TEXT))?,
                on: true,
            },
            Self::Reads(line) => CommandKind::Read { seq: seq(line)? },
        })
    }
}

fn checked_text(text: &str) -> Result<String> {
    check_text(text).map_err(Error::wrap)?;
    Ok(text.to_owned())
}
