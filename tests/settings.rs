//! A wrong setting stops the server, and says which and what to do.

use std::process::{Command, Output};

use insta::assert_snapshot;
use loco_rs::{app::Hooks, environment::Environment};
use salam::{app::App, settings::Settings};
use serde_json::{Value, json};

use crate::support::soon;

/// What loading says of the test settings with one change.
async fn load(environment: &Environment, pointer: &str, value: Value) -> String {
    let mut config = App::load_config(&Environment::Test).await.unwrap();
    let settings = config.settings.as_mut().unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    settings.pointer_mut(parent).unwrap()[key] = value;
    match Settings::load(&config, environment) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn what_is_misspelt_or_out_of_bounds_is_refused() {
    let told = async |pointer: &str, value: Value| load(&Environment::Test, pointer, value).await;
    assert_eq!(told("/time_zone", json!("Asia/Tehran")).await, "fine");
    assert_snapshot!(told("/time_zone", json!("Mars/Olympus")).await, @"configuration: settings.time_zone: failed to parse timezone: 'Mars/Olympus'");
    assert_snapshot!(told("/tokens/acess_lifetime", json!(5)).await, @"configuration: settings.tokens.acess_lifetime: unknown field `acess_lifetime`, expected one of `secret`, `issuer`, `audience`, `access_lifetime`, `refresh_lifetime`, `leeway`");
    assert_snapshot!(told("/tokens/access_lifetime", json!(0)).await, @"configuration: settings.tokens.access_lifetime must be above 0");
    assert_snapshot!(told("/tokens/leeway", json!(31)).await, @"configuration: settings.tokens.leeway is 31 and may be 30 at most");
    assert_snapshot!(told("/tokens/secret", json!("short")).await, @"configuration: JWT_SECRET has 5 bytes and needs at least 32; `openssl rand -base64 48` makes a good one");
    assert_snapshot!(told("/channels/redis_url", json!("127.0.0.1:6379")).await, @"configuration: settings.channels.redis_url: not a URL (relative URL without a base); it begins with its scheme, such as https:// or redis://");
    assert_snapshot!(told("/channels/redis_url", json!("http://127.0.0.1")).await, @"configuration: REDIS_URL must be a URL that begins with redis://");
    assert_snapshot!(told("/public_url", json!("chat.example")).await, @"configuration: settings.public_url: not a URL (relative URL without a base); it begins with its scheme, such as https:// or redis://");
    assert_snapshot!(told("/allowed_origins", json!(["https://chat.example/page"])).await, @"configuration: settings.allowed_origins: `https://chat.example/page` is more than scheme, host and port");
    assert_snapshot!(told("/allowed_origins", json!(["chat.example"])).await, @r#"configuration: settings.allowed_origins[0]: relative URL without a base: "chat.example""#);
}

#[tokio::test]
async fn production_refuses_development_secrets() {
    let told =
        async |secret: &str| load(&Environment::Production, "/tokens/secret", json!(secret)).await;
    assert_eq!(told("vFqk0n3vT7Qm3yq1yQm0bq3H1nJ5y0aW").await, "fine");
    assert_snapshot!(told("development-only-secret-of-the-tests").await, @"configuration: JWT_SECRET is the public development value; `openssl rand -base64 48` makes one of your own");
}

#[tokio::test]
async fn production_names_the_variable_that_is_missing() {
    let database = ("DATABASE_URL", "sqlite::memory:");
    let secret = ("JWT_SECRET", "vFqk0n3vT7Qm3yq1yQm0bq3H1nJ5y0aW");
    for (variables, missing) in [
        (vec![database], "JWT_SECRET"),
        (vec![secret], "DATABASE_URL"),
    ] {
        let output = start_in_production(variables).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            told.starts_with("error: ") && told.contains(missing),
            "{told}"
        );
    }
    let public = (
        "JWT_SECRET",
        "development-only-secret-that-production-refuses",
    );
    let told = String::from_utf8(start_in_production(vec![database, public]).await.stderr).unwrap();
    assert!(
        told.contains("JWT_SECRET is the public development value"),
        "{told}"
    );
}

#[test]
fn a_postgres_is_told_how_long_locks_may_be_held() {
    let limited = "postgres://u:p@host:5432/name?sslmode=require&options%5Block_timeout%5D=3s\
                   &options%5Bidle_in_transaction_session_timeout%5D=15s";
    for (given, expected) in [
        ("postgres://u:p@host:5432/name?sslmode=require", limited),
        (
            "postgres://host/name?options=-c%20x%3D1",
            "postgres://host/name?options=-c+x%3D1",
        ),
        ("postgres://host/name?options=", "postgres://host/name"),
        ("sqlite://x.sqlite?mode=rwc", "sqlite://x.sqlite?mode=rwc"),
    ] {
        assert_eq!(salam::settings::with_lock_limits(given), expected);
    }
}

async fn start_in_production(variables: Vec<(&'static str, &'static str)>) -> Output {
    let starting = tokio::task::spawn_blocking(move || {
        // Away from a developer's own .env, which would fill the gap.
        let folder = tempfile::tempdir().unwrap();
        Command::new(env!("CARGO_BIN_EXE_salam-cli"))
            .args(["start", "-e", "production"])
            .current_dir(folder.path())
            .env(
                "LOCO_CONFIG_FOLDER",
                concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
            )
            .env_remove("DATABASE_URL")
            .env_remove("JWT_SECRET")
            .envs(variables)
            .output()
            .unwrap()
    });
    soon("the refusal", starting).await.unwrap()
}
