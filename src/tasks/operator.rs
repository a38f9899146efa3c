//! What the tasks of operators have in common: their arguments, and the word to the servers.

use std::io::Write;

use loco_rs::prelude::*;

use crate::{
    channels::{
        self,
        protocol::{
            event::EncodedEvent,
            node_message::{CLUSTER_TOPIC, NodeMessage},
        },
    },
    models::{events::Event, users},
    settings::Settings,
};

/// A task as its errors name it.
pub struct TaskUsage {
    pub name: &'static str,
    /// Such as `cargo loco task user:activate username:ann`.
    pub example: &'static str,
}

impl TaskUsage {
    /// An argument that must be there.
    ///
    /// # Errors
    /// When it is not; the text says how to call the task.
    pub fn required_argument<'a>(&self, vars: &'a task::Vars, name: &str) -> Result<&'a str> {
        self.optional_argument(vars, name)?.ok_or_else(|| {
            let example = self.example;
            self.error(&format!("`{name}` is missing; like this: {example}"))
        })
    }

    /// Returns an argument that may be left out.
    ///
    /// # Errors
    /// When an argument is empty, or is not one of those in the example: a task that goes on without an argument
    /// may do more than was asked for.
    pub fn optional_argument<'a>(
        &self,
        vars: &'a task::Vars,
        name: &str,
    ) -> Result<Option<&'a str>> {
        let example = self.example;
        for (key, value) in &vars.cli {
            if !self.argument_names().any(|known| known == key) {
                let told = format!("`{key}` is not an argument; like this: {example}");
                return Err(self.error(&told));
            }
            if value.is_empty() {
                let told = format!("`{key}` is missing its value; like this: {example}");
                return Err(self.error(&told));
            }
        }
        Ok(vars.cli.get(name).map(String::as_str))
    }

    /// Returns the names of the arguments, which are those of the example.
    fn argument_names(&self) -> impl Iterator<Item = &'static str> {
        let words = self.example.split_whitespace();
        words
            .skip_while(|word| *word != self.name)
            .skip(1)
            .filter_map(|word| word.trim_start_matches('[').split_once(':'))
            .map(|(name, _)| name)
    }

    /// The user that the argument `username` names, in whatever letter case.
    ///
    /// # Errors
    /// When it is missing, there is no such user, or the database fails.
    pub async fn find_user(&self, ctx: &AppContext, vars: &task::Vars) -> Result<users::Model> {
        let username = self.required_argument(vars, "username")?;
        users::Model::find_by_username(&ctx.db, username)
            .await?
            .ok_or_else(|| self.error(&format!("there is no user `{username}`")))
    }

    #[must_use]
    pub fn error(&self, text: &str) -> Error {
        Error::Message(format!("{}: {text}", self.name))
    }
}

/// Has the servers close the sockets of sessions that were ended. Says when they will have.
///
/// # Errors
/// When the settings were not loaded.
pub async fn close_ended_sockets(ctx: &AppContext, user: &users::Model) -> Result<&'static str> {
    let settings = Settings::from_context(ctx)?;
    let word = NodeMessage::Sessions {
        user: user.username.as_str().into(),
    };
    let telling = async {
        let broker = channels::connect_broker(&settings, &ctx.db).await?;
        broker.publish(CLUSTER_TOPIC, word.encode()).await
    };
    Ok(match telling.await {
        Ok(()) => "within a second",
        // They look by themselves.
        Err(_) => "within 30 seconds",
    })
}

/// Announces events of groups to the servers. Without Redis they find the events by themselves.
///
/// # Errors
/// When the settings were not loaded.
pub async fn publish_events(ctx: &AppContext, groups: &[(String, Vec<Event>)]) -> Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let settings = Settings::from_context(ctx)?;
    let Ok(broker) = channels::connect_broker(&settings, &ctx.db).await else {
        return Ok(());
    };
    for (group, events) in groups {
        for event in events {
            // The servers find an event in the log that Redis does not take.
            let payload = EncodedEvent::encode(group, event).frame().into();
            let _ = broker.publish(group, payload).await;
        }
    }
    Ok(())
}

/// Says what was done.
///
/// # Errors
/// When standard output is closed.
pub fn print_line(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
