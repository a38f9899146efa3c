//! Tasks, in processes of their own.

mod accounts;
mod cleanup;
mod epoch_begin;
mod group_send;

use std::process::Command;

use crate::support::{TestApp, with_timeout};

/// Runs a task. Returns whether it succeeded, and its output.
async fn run_task(app: &TestApp, redis: &str, task: &str, arguments: &[&str]) -> (bool, String) {
    run_task_with(app, &[("REDIS_URL", redis)], task, arguments).await
}

async fn run_task_with(
    app: &TestApp,
    variables: &[(&str, &str)],
    task: &str,
    arguments: &[&str],
) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_salam-cli"));
    command
        // In a folder without a developer's `.env`.
        .current_dir(folder.path())
        .env(
            "LOCO_CONFIG_FOLDER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
        )
        .args(["task", "-e", "development", task])
        .args(arguments)
        .env("DATABASE_URL", &app.database.uri)
        // Nodes accept messages that are signed with their own secret.
        .env("JWT_SECRET", app.secret())
        .envs(variables.iter().copied())
        .env("LOG_LEVEL", "error");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = with_timeout("the task", output).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}
