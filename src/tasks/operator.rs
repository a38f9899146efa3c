//! Shared code of the operators' tasks: arguments, output, and messages to the servers.

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

/// The name and the example call of a task, for its error texts.
pub struct TaskUsage {
    /// The name of the task, such as `user:activate`.
    pub name: &'static str,
    /// An example call, such as `cargo loco task user:activate username:ann`.
    pub example: &'static str,
}

impl TaskUsage {
    /// Returns a required argument.
    ///
    /// # Errors
    /// When the argument is missing. The text shows how to call the task.
    pub fn required_argument<'a>(&self, vars: &'a task::Vars, name: &str) -> Result<&'a str> {
        self.optional_argument(vars, name)?.ok_or_else(|| {
            let example = self.example;
            self.error(&format!(
                "the argument `{name}` is missing; example: {example}"
            ))
        })
    }

    /// Returns an optional argument.
    ///
    /// # Errors
    /// When an argument is empty or not in the example. A task that ignores an argument may do more
    /// than the operator requested.
    pub fn optional_argument<'a>(
        &self,
        vars: &'a task::Vars,
        name: &str,
    ) -> Result<Option<&'a str>> {
        let example = self.example;
        for (key, value) in &vars.cli {
            if !self.argument_names().any(|name| name == key) {
                let message = format!("the argument `{key}` does not exist; example: {example}");
                return Err(self.error(&message));
            }
            if value.is_empty() {
                let message = format!("the argument `{key}` has no value; example: {example}");
                return Err(self.error(&message));
            }
        }
        Ok(vars.cli.get(name).map(String::as_str))
    }

    /// Checks that a task without arguments is called without arguments.
    ///
    /// # Errors
    /// When there is an argument.
    pub fn reject_arguments(&self, vars: &task::Vars) -> Result<()> {
        self.optional_argument(vars, "").map(drop)
    }

    /// Returns the names of the arguments in the example.
    fn argument_names(&self) -> impl Iterator<Item = &'static str> {
        let words = self.example.split_whitespace();
        words
            .skip_while(|word| *word != self.name)
            .skip(1)
            .filter_map(|word| word.trim_start_matches('[').split_once(':'))
            .map(|(name, _)| name)
    }

    /// Returns the user that the argument `username` names, in any letter case.
    ///
    /// # Errors
    /// When the argument is missing, the user does not exist, or the database fails.
    pub async fn find_user(&self, ctx: &AppContext, vars: &task::Vars) -> Result<users::Model> {
        let username = self.required_argument(vars, "username")?;
        users::Model::find_by_username(&ctx.db, username)
            .await?
            .ok_or_else(|| self.error(&format!("there is no user `{username}`")))
    }

    /// Returns an error that begins with the name of the task.
    #[must_use]
    pub fn error(&self, text: &str) -> Error {
        Error::Message(format!("{}: {text}", self.name))
    }
}

/// Makes the servers close the sockets of ended sessions. Returns the time within which they do.
///
/// # Errors
/// When the settings were not loaded.
pub async fn close_ended_sockets(ctx: &AppContext, user: &users::Model) -> Result<&'static str> {
    let settings = Settings::from_context(ctx)?;
    let message = NodeMessage::SessionsChanged {
        user: user.username.as_str().into(),
    };
    let publishing = async {
        let broker = channels::connect_broker(&settings, &ctx.db).await?;
        broker.publish(CLUSTER_TOPIC, message.encode()).await
    };
    Ok(match publishing.await {
        Ok(()) => "within a second",
        // The session monitor of each server finds the ended sessions.
        Err(_) => "within 30 seconds",
    })
}

/// Publishes events of groups to the servers. Returns `false` if Redis does not accept one: the servers find that event
/// in the log, at their next sweep.
///
/// # Errors
/// When the settings were not loaded.
pub async fn publish_events(ctx: &AppContext, groups: &[(String, Vec<Event>)]) -> Result<bool> {
    if groups.is_empty() {
        return Ok(true);
    }
    let settings = Settings::from_context(ctx)?;
    let Ok(broker) = channels::connect_broker(&settings, &ctx.db).await else {
        return Ok(false);
    };
    let mut is_published = true;
    for (group, events) in groups {
        for event in events {
            let payload = EncodedEvent::encode(group, event).frame().into();
            is_published &= broker.publish(group, payload).await.is_ok();
        }
    }
    Ok(is_published)
}

/// Prints a line on standard output.
///
/// # Errors
/// When standard output is closed.
pub fn print_line(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
