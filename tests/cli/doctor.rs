//! `cargo loco doctor`: the checks, their faults and the remedies.

use insta::assert_snapshot;
use serde_json::Value;

use super::command::CommandRun;
use crate::support::{RedisServer, Server, TestDatabase, database_name};

/// The checks whose messages depend on this machine and on the database.
const MEASUREMENTS: [&str; 6] = [
    "encryption",
    "commit",
    "clock",
    "disk",
    "Redis clock",
    "open files",
];

const GOOD_SECRET: &str = "q3vT7Qm3yq1yQm0bq3H1nJ5y0aWvFqk0n8ZrUc4Lx2E=";

#[tokio::test]
async fn doctor_reports_everything_that_blocks_production() {
    let run = CommandRun::run(&["doctor", "-e", "production"], &[]).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(without_measurements(&run.output), @"
    Salam [version] in production

      passed  settings
      FAILED  JWT_SECRET    JWT_SECRET is not set; generate a secret with `openssl rand -base64 48`
      FAILED  DATABASE_URL  DATABASE_URL is not set; set it to the URL of a database, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
      passed  origins
      passed  framework
      warning host names    clients on other machines get 421, because PUBLIC_URL and settings.door.allowed_hosts are empty; set PUBLIC_URL to the URL at which clients reach the server
      FAILED  database      was not checked: see DATABASE_URL
      passed  Redis         is not configured, which is right for a single node
    ");
}

#[tokio::test]
async fn doctor_passes_in_development_and_test() {
    for environment in ["development", "test"] {
        let run = CommandRun::run(&["doctor", "--environment", environment], &[]).await;
        assert_eq!(run.code, Some(0), "{}", run.output);
        if environment == "development" {
            assert_snapshot!(without_measurements(&run.output), @"
            Salam [version] in development

              passed  settings
              passed  JWT_SECRET
              passed  DATABASE_URL
              passed  origins
              passed  framework
              passed  database      does not exist yet; the first start creates it
              passed  Redis         is not configured, which is right for a single node
            ");
        }
    }
}

#[tokio::test]
async fn doctor_connects_to_the_database_and_redis() {
    let database = TestDatabase::create().await;
    let redis = RedisServer::start().await;
    let variables = [
        ("JWT_SECRET", GOOD_SECRET),
        ("DATABASE_URL", database.uri.as_str()),
        ("REDIS_URL", &redis.url()),
    ];
    Server::start(&database).read_addresses().await;
    let run = CommandRun::run(&["-e", "production", "doctor"], &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert_snapshot!(without_measurements(&run.output), @"
    Salam [version] in production

      passed  settings
      passed  JWT_SECRET
      passed  DATABASE_URL
      passed  origins
      passed  framework
      warning host names    clients on other machines get 421, because PUBLIC_URL and settings.door.allowed_hosts are empty; set PUBLIC_URL to the URL at which clients reach the server
      passed  database      is reachable and migrated
      passed  Redis         is reachable
    ");
    let clock = "passed  Redis clock   the clock of Redis";
    assert!(run.output.contains(clock), "{}", run.output);
}

#[tokio::test]
async fn doctor_measures_the_database_and_this_machine() {
    let database = TestDatabase::create().await;
    Server::start(&database).read_addresses().await;
    let variables = [("DATABASE_URL", database.uri.as_str())];
    let run = CommandRun::run(&["doctor", "--json"], &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(report["environment"], "development");
    let message = |name: &str| {
        let mut checks = report["checks"].as_array().unwrap().iter();
        let check = checks.find(|check| check["name"] == name);
        check.map(|check| check["message"].as_str().unwrap().to_owned())
    };
    assert!(message("commit").unwrap().starts_with("a commit takes "));
    assert!(message("open files").unwrap().contains("connections"));
    if database_name() == "SQLite" {
        assert!(message("disk").unwrap().contains("GiB are free"));
        assert_eq!((message("encryption"), message("clock")), (None, None));
    } else {
        let encryption = message("encryption").unwrap();
        assert!(encryption.starts_with("the connection to PostgreSQL is "));
        assert!(
            message("clock")
                .unwrap()
                .ends_with("the clock of the database")
        );
        assert_eq!(message("disk"), None);
    }
}

/// A JSON report of a configuration that cannot be read.
#[tokio::test]
async fn doctor_reports_faults_as_json() {
    let run = CommandRun::run(&["doctor", "-e", "nowhere", "--json"], &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(report["passed"], false);
    assert_eq!(report["checks"][0]["status"], "failed");
}

/// Returns the output without the lines of [`MEASUREMENTS`].
fn without_measurements(output: &str) -> String {
    let is_measured = |line: &&str| {
        let name = line.get(10..).unwrap_or_default();
        MEASUREMENTS
            .iter()
            .any(|check| name.starts_with(&format!("{check} ")))
    };
    let lines = output.lines().filter(|line| !is_measured(line));
    lines.map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn doctor_reports_missing_redis_channel_permissions() {
    let redis = RedisServer::start().await;
    redis.run_command("ACL SETUSER limited on >word ~* +@all resetchannels &other:*");
    let url = redis.url().replace("redis://", "redis://limited:word@");
    let variables = [
        ("JWT_SECRET", GOOD_SECRET),
        ("DATABASE_URL", "sqlite://salam.sqlite?mode=rwc"),
        ("REDIS_URL", url.as_str()),
    ];
    let run = CommandRun::run(&["-e", "production", "doctor"], &variables).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    let line = run
        .output
        .lines()
        .find(|line| line.contains("Redis"))
        .unwrap();
    assert!(line.contains("FAILED"), "{line}");
    assert!(
        line.contains("must allow PUBLISH and SUBSCRIBE on the channels `salam"),
        "{line}"
    );
    redis.run_command("ACL SETUSER limited &salam*");
    let run = CommandRun::run(&["-e", "production", "doctor"], &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
}

#[tokio::test]
async fn doctor_reports_unreachable_services() {
    let run = CommandRun::run(
        &["doctor", "--production"],
        &[
            ("JWT_SECRET", GOOD_SECRET),
            ("DATABASE_URL", "postgres://canary:canary@127.0.0.1:1/salam"),
            ("REDIS_URL", "redis://canary:canary@127.0.0.1:1"),
        ],
    )
    .await;
    assert_eq!(run.code, Some(1));
    assert!(!run.output.contains("canary"), "{}", run.output);
    assert_snapshot!(without_measurements(&run.output), @"
    Salam [version] in production

      passed  settings
      passed  JWT_SECRET
      passed  DATABASE_URL
      passed  origins
      passed  framework
      warning host names    clients on other machines get 421, because PUBLIC_URL and settings.door.allowed_hosts are empty; set PUBLIC_URL to the URL at which clients reach the server
      FAILED  database      Connection Error: error communicating with database: Connection refused (os error 111); check that the database of DATABASE_URL runs and is reachable
      FAILED  Redis         Connection refused (os error 111); check that the Redis of REDIS_URL runs and is reachable
    ");
}

#[tokio::test]
async fn doctor_creates_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("salam.sqlite");
    let uri = format!("sqlite://{}?mode=rwc", file.display());
    let variables = [("JWT_SECRET", GOOD_SECRET), ("DATABASE_URL", uri.as_str())];
    let run = CommandRun::run(&["doctor", "-e", "production"], &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert!(
        run.output.contains("database      does not exist yet"),
        "{}",
        run.output
    );
    assert!(!file.exists());

    let nowhere = uri.replace("salam.sqlite", "nowhere/salam.sqlite");
    let variables = [
        ("JWT_SECRET", GOOD_SECRET),
        ("DATABASE_URL", nowhere.as_str()),
    ];
    let run = CommandRun::run(&["doctor", "-e", "production"], &variables).await;
    assert_eq!(run.code, Some(1));
    assert!(
        run.output.contains("nowhere does not exist; create it"),
        "{}",
        run.output
    );
}

#[tokio::test]
async fn doctor_reports_an_invalid_configuration() {
    let format = [("format: compact", "format: loud")];
    let run = CommandRun::run_with_config(&["doctor"], &[], &format).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    Salam [version] in development

      FAILED  configuration the configuration has a wrong value: logger.format: unknown variant `loud`, expected one of `compact`, `pretty`, `json`
    ");
    let run = CommandRun::run(&["doctor", "-e", "nowhere"], &[]).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    Salam [version] in nowhere

      FAILED  configuration LOCO_CONFIG_FOLDER names the folder [folder], which has no nowhere.yaml; create the file, or unset the variable
    ");
}

#[tokio::test]
async fn doctor_config_hides_secrets() {
    let variables = [
        ("JWT_SECRET", "sesame"),
        ("DATABASE_URL", "postgres://sesame:sesame@host/salam"),
        ("REDIS_URL", "redis://sesame:sesame@host"),
        ("PUBLIC_URL", "https://chat.example"),
    ];
    let run = CommandRun::run(&["doctor", "--config", "-e", "production"], &variables).await;
    assert_eq!(run.code, Some(0));
    assert!(!run.output.contains("sesame"), "{}", run.output);
    assert!(
        run.output.contains("https://chat.example"),
        "{}",
        run.output
    );
}

#[tokio::test]
async fn doctor_has_its_own_help_and_rejects_unknown_options() {
    let run = CommandRun::run(&["doctor", "--help"], &[]).await;
    assert_snapshot!(run.output, @"
    Check the configuration and its services, or check a deployment from outside.

    Without a URL, the command checks the configuration, the database, Redis and this machine. With a URL, the command tries the proxy and the server as a client does, and needs no configuration.

    The exit code is 1 if a check fails. The output contains no secret.

    Usage: cargo loco doctor [OPTIONS] [URL]

    Arguments:
      [URL]
              The URL at which clients reach the server, such as `https://chat.example`

    Options:
      -e, --environment <ENVIRONMENT>
              Specify the environment [default: development]

      -c, --config
              Show the configuration instead, with its secrets hidden

      -p, --production
              The same as `--environment production`

          --json
              Print one JSON object instead of lines

      -h, --help
              Print help (see a summary with '-h')

    Options with a URL:
          --address <IP>
              Connect to this IP address instead of the addresses of the name

          --ca-file <FILE>
              Also trust the authorities of this PEM file

          --username <NAME>
              Log in as this user instead of registering a temporary account

          --password-file <FILE>
              Read the password of --username from this file instead of SALAM_DOCTOR_PASSWORD

          --idle-seconds <SECONDS>
              Keep a socket idle for this number of seconds [default: 60]

          --no-idle
              Skip the check of an idle socket

          --timeout <SECONDS>
              Wait for each answer at most this number of seconds [default: 10]
    ");
    let run = CommandRun::run(&["--help"], &[]).await;
    assert!(
        run.output.contains("doctor") && run.output.contains("generate"),
        "{}",
        run.output
    );
    let run = CommandRun::run(&["doctor", "--nothing"], &[]).await;
    assert_eq!(run.code, Some(2));
    let run = CommandRun::run(&["task", "doctor"], &[]).await;
    assert_ne!(run.code, Some(0));
}
