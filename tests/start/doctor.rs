//! `cargo loco doctor`: what is well, what is not, and how to mend it.

use insta::assert_snapshot;

use super::command::Run;
use crate::support::{RedisServer, Server, TestDatabase};

const GOOD: &str = "q3vT7Qm3yq1yQm0bq3H1nJ5y0aWvFqk0n8ZrUc4Lx2E=";

#[tokio::test]
async fn it_finds_all_that_keeps_production_from_starting() {
    let run = Run::of(&["doctor", "-e", "production"], &[]).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.told, @"
    Salam 0.1.0 in production

      passed  settings
      FAILED  JWT_SECRET    JWT_SECRET is not set; `openssl rand -base64 48` makes a good one
      FAILED  DATABASE_URL  DATABASE_URL is not set; it names one, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
      passed  origins
      passed  framework
      FAILED  database      was not tried: see DATABASE_URL
      passed  Redis         is not configured: there is one node
    ");
}

#[tokio::test]
async fn it_finds_nothing_in_what_a_developer_has() {
    for environment in ["development", "test"] {
        let run = Run::of(&["doctor", "--environment", environment], &[]).await;
        assert_eq!(run.code, Some(0), "{}", run.told);
        if environment == "development" {
            assert_snapshot!(run.told, @"
            Salam 0.1.0 in development

              passed  settings
              passed  JWT_SECRET
              passed  DATABASE_URL
              passed  origins
              passed  framework
              passed  database      is not there yet; the first start creates it
              passed  Redis         is not configured: there is one node
            ");
        }
    }
}

#[tokio::test]
async fn it_reaches_the_database_and_redis() {
    let database = TestDatabase::create().await;
    let redis = RedisServer::start().await;
    let variables = [
        ("JWT_SECRET", GOOD),
        ("DATABASE_URL", database.uri.as_str()),
        ("REDIS_URL", &redis.url()),
    ];
    Server::start(&database).addresses().await;
    let run = Run::of(&["-e", "production", "doctor"], &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.told);
    assert_snapshot!(run.told, @"
    Salam 0.1.0 in production

      passed  settings
      passed  JWT_SECRET
      passed  DATABASE_URL
      passed  origins
      passed  framework
      passed  database      answers, and is migrated
      passed  Redis         answers
    ");
}

#[tokio::test]
async fn it_finds_a_redis_that_denies_the_channels() {
    let redis = RedisServer::start().await;
    redis.command("ACL SETUSER limited on >word ~* +@all resetchannels &other:*");
    let url = redis.url().replace("redis://", "redis://limited:word@");
    let variables = [
        ("JWT_SECRET", GOOD),
        ("DATABASE_URL", "sqlite://salam.sqlite?mode=rwc"),
        ("REDIS_URL", url.as_str()),
    ];
    let run = Run::of(&["-e", "production", "doctor"], &variables).await;
    assert_eq!(run.code, Some(1), "{}", run.told);
    let line = run
        .told
        .lines()
        .find(|line| line.contains("Redis"))
        .unwrap();
    assert!(line.contains("FAILED"), "{line}");
    assert!(
        line.contains("must allow PUBLISH and SUBSCRIBE on the channels `salam"),
        "{line}"
    );
    redis.command("ACL SETUSER limited &salam*");
    let run = Run::of(&["-e", "production", "doctor"], &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.told);
}

#[tokio::test]
async fn it_says_what_is_out_of_reach() {
    let run = Run::of(
        &["doctor", "--production"],
        &[
            ("JWT_SECRET", GOOD),
            ("DATABASE_URL", "postgres://canary:canary@127.0.0.1:1/salam"),
            ("REDIS_URL", "redis://canary:canary@127.0.0.1:1"),
        ],
    )
    .await;
    assert_eq!(run.code, Some(1));
    assert!(!run.told.contains("canary"), "{}", run.told);
    assert_snapshot!(run.told, @"
    Salam 0.1.0 in production

      passed  settings
      passed  JWT_SECRET
      passed  DATABASE_URL
      passed  origins
      passed  framework
      FAILED  database      Connection Error: error communicating with database: Connection refused (os error 111); is the one of DATABASE_URL there, and reachable?
      FAILED  Redis         Connection refused (os error 111); is the one of REDIS_URL there, and reachable?
    ");
}

#[tokio::test]
async fn it_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("salam.sqlite");
    let uri = format!("sqlite://{}?mode=rwc", file.display());
    let variables = [("JWT_SECRET", GOOD), ("DATABASE_URL", uri.as_str())];
    let run = Run::of(&["doctor", "-e", "production"], &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.told);
    assert!(
        run.told.contains("database      is not there yet"),
        "{}",
        run.told
    );
    assert!(!file.exists());

    let nowhere = uri.replace("salam.sqlite", "nowhere/salam.sqlite");
    let variables = [("JWT_SECRET", GOOD), ("DATABASE_URL", nowhere.as_str())];
    let run = Run::of(&["doctor", "-e", "production"], &variables).await;
    assert_eq!(run.code, Some(1));
    assert!(run.told.contains("its folder is not there"), "{}", run.told);
}

#[tokio::test]
async fn it_takes_a_configuration_that_cannot_be_read() {
    let port = [("server:\n  port:", "server:\n  prot:")];
    let run = Run::configured(&["doctor"], &[], &port).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.told, @"
    Salam 0.1.0 in development

      FAILED  configuration cannot parse `[folder]/development.yaml`: missing field `port`
    ");
    let run = Run::of(&["doctor", "-e", "nowhere"], &[]).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.told, @"
    Salam 0.1.0 in nowhere

      FAILED  configuration no configuration file found in folder: [folder]; run this in the project's folder, with LOCO_ENV development, test or production
    ");
}

#[tokio::test]
async fn it_shows_the_configuration_without_its_secrets() {
    let variables = [
        ("JWT_SECRET", "canary"),
        ("DATABASE_URL", "postgres://canary:canary@host/salam"),
        ("REDIS_URL", "redis://canary:canary@host"),
        ("PUBLIC_URL", "https://chat.example"),
    ];
    let run = Run::of(&["doctor", "--config", "-e", "production"], &variables).await;
    assert_eq!(run.code, Some(0));
    assert!(!run.told.contains("canary"), "{}", run.told);
    assert!(run.told.contains("https://chat.example"), "{}", run.told);
}

#[tokio::test]
async fn it_tells_its_options_and_leaves_the_others_to_loco() {
    let run = Run::of(&["doctor", "--help"], &[]).await;
    assert_snapshot!(run.told, @"
    Look at the configuration, the database and Redis, and say what to mend.

    Ends with 1 where something is to be mended. No secret is shown.

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
    let run = Run::of(&["--help"], &[]).await;
    assert!(
        run.told.contains("doctor") && run.told.contains("generate"),
        "{}",
        run.told
    );
    let run = Run::of(&["doctor", "--nothing"], &[]).await;
    assert_eq!(run.code, Some(2));
    let run = Run::of(&["task", "doctor"], &[]).await;
    assert_ne!(run.code, Some(0));
}
