//! `cargo loco doctor`: the checks, their faults and the remedies.

use insta::assert_snapshot;

use super::command::CommandRun;
use crate::support::{RedisServer, Server, TestDatabase};

const GOOD_SECRET: &str = "q3vT7Qm3yq1yQm0bq3H1nJ5y0aWvFqk0n8ZrUc4Lx2E=";

#[tokio::test]
async fn doctor_reports_everything_that_blocks_production() {
    let run = CommandRun::run(&["doctor", "-e", "production"], &[]).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    Salam 0.1.0 in production

      passed  settings
      FAILED  JWT_SECRET    JWT_SECRET is not set; generate a secret with `openssl rand -base64 48`
      FAILED  DATABASE_URL  DATABASE_URL is not set; set it to the URL of a database, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
      passed  origins
      passed  framework
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
            assert_snapshot!(run.output, @"
            Salam 0.1.0 in development

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
    assert_snapshot!(run.output, @"
    Salam 0.1.0 in production

      passed  settings
      passed  JWT_SECRET
      passed  DATABASE_URL
      passed  origins
      passed  framework
      passed  database      is reachable and migrated
      passed  Redis         is reachable
    ");
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
    assert_snapshot!(run.output, @"
    Salam 0.1.0 in production

      passed  settings
      passed  JWT_SECRET
      passed  DATABASE_URL
      passed  origins
      passed  framework
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
    let port = [("server:\n  port:", "server:\n  prot:")];
    let run = CommandRun::run_with_config(&["doctor"], &[], &port).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    Salam 0.1.0 in development

      FAILED  configuration cannot parse `[folder]/development.yaml`: missing field `port`
    ");
    let run = CommandRun::run(&["doctor", "-e", "nowhere"], &[]).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    Salam 0.1.0 in nowhere

      FAILED  configuration no configuration file found in folder: [folder]; run the command in the project's folder, with LOCO_ENV set to development, test or production
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
    Check the configuration, the database and Redis, and name each problem.

    The exit code is 1 if a check fails. The output contains no secret.

    Usage: cargo loco doctor [OPTIONS]

    Options:
      -e, --environment <ENVIRONMENT>
              Specify the environment [default: development]

      -c, --config
              Show the configuration instead, with its secrets hidden

      -p, --production
              The same as `--environment production`

      -h, --help
              Print help (see a summary with '-h')
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
