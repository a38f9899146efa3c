//! The help and the version of the program. The help is also the output without arguments.
//!
//! Loco parses its own commands, and its help would introduce Loco. Debug builds also list commands
//! for development.

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};

/// Salam: accounts, chat groups, and a WebSocket that delivers each message once and in order.
#[derive(Parser)]
#[command(name = "salam-cli", version, arg_required_else_help = true)]
struct Overview {
    #[command(subcommand)]
    command: Command,
    /// Specify the environment [default: development]
    #[arg(short, long, global = true)]
    environment: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server
    Start,
    /// Check the configuration and its services, or check a deployment from outside
    Doctor,
    /// Ask the node on this machine whether it serves
    Health,
    /// Migrate, seed or reset the database
    Db,
    /// Run an operator task, or list the tasks if no name is given
    Task,
    /// List the endpoints
    #[command(hide = cfg!(not(debug_assertions)))]
    Routes,
    /// List the middlewares
    #[command(hide = cfg!(not(debug_assertions)))]
    Middleware,
    /// Generate a model, a controller, a scaffold or a task
    #[command(hide = cfg!(not(debug_assertions)))]
    Generate,
    /// Restart the server when a file changes
    #[command(hide = cfg!(not(debug_assertions)))]
    Watch,
    /// Print the version
    Version,
}

/// The text that a command line requests.
enum OverviewText {
    Help,
    Version,
}

/// Returns the help or the version, if the arguments request it. No arguments request the help.
///
/// The help of a single command comes from the command itself.
#[must_use]
pub fn requested_text(args: impl Iterator<Item = OsString>) -> Option<String> {
    let args: Vec<OsString> = args.skip(1).collect();
    let texts: Vec<&str> = args.iter().map(|arg| arg.to_str()).collect::<Option<_>>()?;
    let requested = match texts.as_slice() {
        [] | ["-h" | "--help" | "help"] => OverviewText::Help,
        ["-V" | "--version" | "version"] => OverviewText::Version,
        _ => return None,
    };
    let mut command = Overview::command();
    Some(match requested {
        OverviewText::Help => command.render_help().to_string(),
        OverviewText::Version => command.render_version(),
    })
}
