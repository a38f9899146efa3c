//! The overview of the command line, and the outputs of commands.

use std::process::Command;

use insta::assert_snapshot;
use serde_json::Value;

use super::command::CommandRun;
use crate::support::{TestApp, with_timeout};

#[tokio::test]
async fn help_and_version_describe_salam() {
    let version = CommandRun::run(&["--version"], &[]).await;
    let own = format!("salam-cli {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (version.code, version.output.as_str()),
        (Some(0), own.as_str())
    );
    assert_eq!(CommandRun::run(&["-V"], &[]).await.output, own);
    assert_eq!(CommandRun::run(&["version"], &[]).await.output, own);
    let help = CommandRun::run(&["--help"], &[]).await;
    assert_eq!(help.code, Some(0));
    assert!(!help.output.contains("oco"), "{}", help.output);
    assert_snapshot!(help.output, @"
    Salam: accounts, chat groups, and a WebSocket that delivers each message once and in order

    Usage: salam-cli [OPTIONS] <COMMAND>

    Commands:
      start       Start the server
      doctor      Check the configuration and its services, or check a deployment from outside
      health      Ask the node on this machine whether it serves
      db          Migrate, seed or reset the database
      task        Run an operator task, or list the tasks if no name is given
      routes      List the endpoints
      middleware  List the middlewares
      generate    Generate a model, a controller, a scaffold or a task
      watch       Restart the server when a file changes
      version     Print the version
      help        Print this message or the help of the given subcommand(s)

    Options:
      -e, --environment <ENVIRONMENT>  Specify the environment [default: development]
      -h, --help                       Print help
      -V, --version                    Print version
    ");
    assert_eq!(CommandRun::run(&["help"], &[]).await.output, help.output);
    assert_eq!(CommandRun::run(&[], &[]).await.output, help.output);
    let start = CommandRun::run(&["start", "--help"], &[]).await;
    assert!(start.output.contains("Usage"), "{}", start.output);
}

#[tokio::test]
async fn an_invalid_environment_variable_is_named() {
    for value in ["", "abc", "  ", "1e3", "8000\nfoo: bar"] {
        let run = CommandRun::run(&["start"], &[("PORT", value)]).await;
        assert_eq!(run.code, Some(1), "{value:?}: {}", run.output);
        let hint = "check the environment variable PORT";
        assert!(run.output.contains(hint), "{value:?}: {}", run.output);
    }
    for value in ["70000", "-1"] {
        let run = CommandRun::run(&["start"], &[("PORT", value)]).await;
        assert_eq!(run.code, Some(1), "{value:?}: {}", run.output);
        let expected = "is not a number from 0 to 65535";
        assert!(run.output.contains(expected), "{value:?}: {}", run.output);
        assert!(!run.output.contains("migrat"), "{value:?}: {}", run.output);
    }
}

/// Standard output contains the output of the task and nothing else.
#[tokio::test]
async fn a_task_writes_its_log_to_standard_error() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_salam-cli"));
    command
        .current_dir(folder.path())
        .env(
            "LOCO_CONFIG_FOLDER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
        )
        .args(["task", "-e", "development", "user:reset-password"])
        .arg("username:ann")
        .env("DATABASE_URL", &app.database.uri)
        .env("JWT_SECRET", app.secret())
        .env("LOG_LEVEL", "trace");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = with_timeout("the task", output).await.unwrap();
    let output_text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{output_text}");
    assert!(
        output_text.starts_with("the password of ann is now "),
        "{output_text}"
    );
}

/// In production, programs read standard output.
#[tokio::test]
async fn the_output_of_production_is_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("salam.sqlite");
    let mut command = Command::new(env!("CARGO_BIN_EXE_salam-cli"));
    let mut server = command
        .current_dir(folder.path())
        .env(
            "LOCO_CONFIG_FOLDER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
        )
        .args(["start", "-e", "production"])
        .env(
            "DATABASE_URL",
            format!("sqlite://{}?mode=rwc", database.display()),
        )
        .env(
            "JWT_SECRET",
            "Zm9ydHktdHdvIGJ5dGVzIG9mIGEgc2VjcmV0IHRoYXQgaXMgbm90",
        )
        .env("PUBLIC_URL", "https://chat.example")
        .env("PORT", "0")
        .env_remove("REDIS_URL")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let output = server.stdout.take().unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        use std::io::BufRead as _;
        let mut lines = Vec::new();
        for line in std::io::BufReader::new(output).lines() {
            let line = line.unwrap();
            let parsed: Result<Value, _> = serde_json::from_str(&line);
            assert!(parsed.is_ok_and(|line| line.is_object()), "{line}");
            let is_ready = line.contains("Salam is ready");
            lines.push(line);
            if is_ready {
                return lines;
            }
        }
        panic!("it did not start: {lines:?}");
    });
    let lines = with_timeout("the server to be ready", reading).await;
    server.kill().unwrap();
    server.wait().unwrap();
    let lines = lines.unwrap();
    let ready: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let page = ready["fields"]["page"].as_str().unwrap();
    assert!(page.starts_with("http://127.0.0.1:"), "{page}");
}
