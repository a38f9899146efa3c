//! Unsafe production settings, and the errors that an operator gets.

use insta::assert_snapshot;
use loco_rs::{app::Hooks, environment::Environment};
use proptest::prelude::*;
use salam::{app::App, settings::Settings};
use serde_json::{Value, json};

use super::command::CommandRun;

/// 32 random bytes that occur nowhere else.
const GOOD_SECRET: &str = "q3vT7Qm3yq1yQm0bq3H1nJ5y0aWvFqk0n8ZrUc4Lx2E=";

/// Returns the error of the production configuration with one change, at a JSON pointer.
async fn load_error(pointer: &str, value: Value) -> String {
    load_error_with(&[(pointer, value)]).await
}

async fn load_error_with(changes: &[(&str, Value)]) -> String {
    let config = App::load_config(&Environment::Test).await.unwrap();
    let mut config = serde_json::to_value(config).unwrap();
    let well = [
        ("/settings/tokens/secret", json!(GOOD_SECRET)),
        ("/database/uri", json!("sqlite://salam.sqlite?mode=rwc")),
        ("/database/dangerously_truncate", json!(false)),
        ("/logger/enable", json!(true)),
    ];
    for (pointer, value) in well.iter().chain(changes) {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    let config = serde_json::from_value(config).unwrap();
    match Settings::load(&config, &Environment::Production) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn secret_error(secret: &str) -> String {
    let error = load_error("/settings/tokens/secret", json!(secret)).await;
    assert!(!error.contains(secret), "{error}");
    error
}

#[tokio::test]
async fn missing_short_and_sample_secrets_are_rejected() {
    assert_snapshot!(load_error("/settings/tokens/secret", json!(" ")).await, @"configuration: JWT_SECRET has 1 bytes and needs at least 32; generate a secret with `openssl rand -base64 48`");
    assert_snapshot!(load_error("/settings/tokens/secret", json!("")).await, @"configuration: JWT_SECRET is not set; generate a secret with `openssl rand -base64 48`");
    assert_snapshot!(secret_error("Zm9vYmFyMTIzNDU2Nzg5MDEyMzQ1Njc").await, @"configuration: JWT_SECRET has 31 bytes and needs at least 32; generate a secret with `openssl rand -base64 48`");
    assert_snapshot!(secret_error("development-only-secret-that-production-refuses").await, @"configuration: JWT_SECRET is a public development value; generate a secret with `openssl rand -base64 48`");
    assert_snapshot!(secret_error("development-only-secret-of-the-tests").await, @"configuration: JWT_SECRET is a public development value; generate a secret with `openssl rand -base64 48`");
    assert_snapshot!(secret_error("django-insecure-v3l&s8$k2n!x0q@z7w#e5r%t1y^u4i*o6p").await, @"configuration: JWT_SECRET is a public development value; generate a secret with `openssl rand -base64 48`");
}

#[tokio::test]
async fn weak_secrets_are_rejected() {
    let expected = secret_error(&"x".repeat(48)).await;
    assert_snapshot!(expected, @"configuration: JWT_SECRET is a sample, or too easy to guess; generate a secret with `openssl rand -base64 48`");
    for secret in [
        &"0".repeat(32),
        &"ab".repeat(32),
        &"secret".repeat(8),
        &"changeme".repeat(4),
        &"correct horse ".repeat(4),
        "changeme-changeme-changeme-changeme",
        "changeme1234567890changeme1234567890",
        "change-this-to-a-long-random-string",
        "please-change-me-in-production-please",
        "your-256-bit-secret-your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
        "my-super-secret-jwt-signing-key-for-salam",
        "this is a very long secret for the chat server",
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "0123456789abcdef0123456789abcdef",
        "12345678901234567890123456789012",
        "qwertyuiopasdfghjklzxcvbnmqwertyuiop",
        "passwordpasswordpasswordpassword",
        "P@ssw0rdP@ssw0rdP@ssw0rdP@ssw0rd",
        "aaaaaaaabbbbbbbbccccccccdddddddd",
        "JWT_SECRET_JWT_SECRET_JWT_SECRET_JWT_SECRET",
        "00000000-0000-0000-0000-000000000000",
    ] {
        assert_eq!(secret_error(secret).await, expected, "{secret}");
    }
}

#[tokio::test]
async fn long_passphrases_are_accepted_as_secrets() {
    for secret in [
        GOOD_SECRET,
        "kestrel-ovoid-tundra-macaw-plinth-quorum-zephyr",
        "3f8a91c07be24d65a1f09c8e7d6b5a43",
    ] {
        assert_eq!(secret_error(secret).await, "fine", "{secret}");
    }
}

/// Returns the usual encodings of bytes.
fn encodings_of(bytes: &[u8]) -> [String; 4] {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64(bytes);
    let padded = format!("{base64}{}", "=".repeat((3 - bytes.len() % 3) % 3));
    [
        hex.to_uppercase(),
        hex,
        padded,
        base64.replace('+', "-").replace('/', "_"),
    ]
}

fn base64(bytes: &[u8]) -> String {
    let digit = |value: u8| match value {
        0..26 => char::from(b'A' + value),
        26..52 => char::from(b'a' + value - 26),
        52..62 => char::from(b'0' + value - 52),
        62 => '+',
        _ => '/',
    };
    let bits: Vec<bool> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .collect();
    let value = |bits: &[bool]| {
        (0..6).fold(0, |value, at| {
            value * 2 + u8::from(bits.get(at) == Some(&true))
        })
    };
    bits.chunks(6).map(|bits| digit(value(bits))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_are_accepted_as_secrets(bytes in proptest::collection::vec(any::<u8>().no_shrink(), 32..=48)) {
        // Only values that look random, without the edge cases that proptest prefers.
        prop_assume!(bytes.iter().collect::<std::collections::HashSet<_>>().len() > 20);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for secret in encodings_of(&bytes) {
            let error = runtime.block_on(secret_error(&secret));
            prop_assert_eq!(error, "fine", "{}", secret);
        }
    }
}

#[tokio::test]
async fn development_databases_are_rejected() {
    let error = async |uri: &str| load_error("/database/uri", json!(uri)).await;
    assert_snapshot!(error("").await, @"configuration: DATABASE_URL is not set; set it to the URL of a database, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc");
    assert_snapshot!(error("mysql://u:canary@host/name").await, @"configuration: DATABASE_URL must begin with postgres:// or sqlite://, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc");
    assert_snapshot!(error("postgres://u:can#ary@host/name").await, @"configuration: DATABASE_URL is not a URL (invalid port number); percent-encode special characters in the password");
    let in_memory = error("sqlite::memory:").await;
    assert_snapshot!(in_memory, @"configuration: DATABASE_URL is an in-memory database, which loses all data at a restart; use a file or a server, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc");
    for uri in [
        "sqlite://",
        "sqlite:",
        "sqlite://:memory:",
        "sqlite://x?mode=memory&cache=shared",
    ] {
        assert_eq!(error(uri).await, in_memory, "{uri}");
    }
    let development = error("sqlite://salam_development.sqlite?mode=rwc").await;
    assert_snapshot!(development, @"configuration: DATABASE_URL has the name of a development or test database; use a separate database with another name in production");
    for uri in [
        "sqlite://salam_test.sqlite",
        "sqlite:///srv/salam/test.db?mode=rwc",
        "sqlite:Development.sqlite3",
        "postgres://u:canary@host:5432/salam_development",
        "postgresql://u:canary@host/salam-test?sslmode=require",
        "postgres://host/dev",
    ] {
        assert_eq!(error(uri).await, development, "{uri}");
    }
    for uri in [
        "sqlite://salam.sqlite?mode=rwc",
        "sqlite:///srv/test/salam.sqlite",
        "sqlite://contest.sqlite",
        "postgres://test:canary@test.example/salam",
        "postgres://host/salam_test_2",
        "postgres://host/latest",
    ] {
        assert_eq!(error(uri).await, "fine", "{uri}");
    }
}

#[tokio::test]
async fn settings_that_empty_the_database_are_rejected() {
    assert_snapshot!(load_error("/database/dangerously_truncate", json!(true)).await, @"configuration: database.dangerously_truncate is true, which empties all tables at each start; remove it from the configuration");
    assert_snapshot!(load_error("/database/dangerously_recreate", json!(true)).await, @"configuration: database.dangerously_recreate is true, which drops all tables at each start; remove it from the configuration");
}

#[tokio::test]
async fn wildcard_and_insecure_origins_are_rejected() {
    let error = async |origin: &str| load_error("/settings/allowed_origins", json!([origin])).await;
    assert_snapshot!(error("*").await, @"configuration: settings.allowed_origins: `*` is a wildcard, so pages of other origins could act for their visitors; list each origin");
    assert_snapshot!(error("https://*.chat.example").await, @"configuration: settings.allowed_origins: `https://*.chat.example` is a wildcard, so pages of other origins could act for their visitors; list each origin");
    assert_snapshot!(error("null").await, @"configuration: settings.allowed_origins: `null` is the origin of every sandboxed page; list the origins of your own pages");
    assert_snapshot!(error("http://chat.example").await, @"configuration: settings.allowed_origins: `http://chat.example/` begins with http://, so its pages could be replaced in transit; serve them over https://");
    assert_snapshot!(error("https://user:canary@chat.example").await, @"configuration: settings.allowed_origins: an entry with `@` has more than scheme, host and port; remove the rest");
    assert_snapshot!(error("file:///srv/page.html").await, @"configuration: settings.allowed_origins: `file:///srv/page.html` is not an origin: it must begin with http:// or https://");
    for origin in [
        "https://chat.example",
        "https://chat.example:8443",
        "http://localhost:3000",
    ] {
        assert_eq!(error(origin).await, "fine", "{origin}");
    }
}

#[tokio::test]
async fn trusting_all_networks_as_proxies_is_rejected() {
    let error =
        async |network: &str| load_error("/settings/door/trusted_proxies", json!([network])).await;
    assert_snapshot!(error("0.0.0.0/0").await, @"configuration: settings.door.trusted_proxies contains all IPv4 or all IPv6 addresses, so any client could forge its address and evade the limits; list only the networks of your proxies");
    assert!(
        error("::/0")
            .await
            .contains("contains all IPv4 or all IPv6 addresses")
    );
    assert!(
        error("::ffff:0:0/96")
            .await
            .contains("contains all IPv4 or all IPv6 addresses")
    );
    for network in ["10.0.0.0/8", "fd00::/8", "127.0.0.1"] {
        assert_eq!(error(network).await, "fine", "{network}");
    }
}

#[tokio::test]
async fn a_public_url_without_tls_is_rejected_unless_local() {
    let error = async |url: &str| load_error("/settings/public_url", json!(url)).await;
    assert_snapshot!(error("http://chat.example").await, @"configuration: PUBLIC_URL begins with http://, so passwords and tokens could be read in transit; use a proxy with TLS and a PUBLIC_URL that begins with https://");
    assert_snapshot!(error("https://user:canary@chat.example").await, @"configuration: PUBLIC_URL has more than scheme, host and port; remove the rest");
    assert_snapshot!(error("https://chat.example/salam").await, @"configuration: PUBLIC_URL has more than scheme, host and port; remove the rest");
    for url in [
        "http://10.0.0.1",
        "http://[2001:db8::1]:8000",
        "http://localhost.example",
    ] {
        assert!(error(url).await.contains("begins with http://"), "{url}");
    }
    for url in [
        "",
        "https://chat.example/",
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://[::1]",
        "http://chat.localhost",
    ] {
        assert_eq!(error(url).await, "fine", "{url}");
    }
}

#[tokio::test]
async fn unsafe_loco_settings_are_rejected() {
    let cors = json!({"enable": true});
    assert_snapshot!(load_error("/server/middlewares/cors", cors).await, @"configuration: server.middlewares.cors.allow_origins contains a wildcard, which is the default, or `null`; list each origin");
    let cors = json!({"enable": true, "allow_origins": ["https://chat.example", "null"]});
    assert!(
        load_error("/server/middlewares/cors", cors)
            .await
            .contains("cors")
    );
    let cors = json!({"enable": true, "allow_origins": ["https://chat.example"]});
    assert_eq!(load_error("/server/middlewares/cors", cors).await, "fine");
    assert_snapshot!(load_error("/logger/enable", json!(false)).await, @"configuration: logger.enable is false, so no error would be logged; set it to true");
    assert_snapshot!(load_error("/logger/pretty_backtrace", json!(true)).await, @"configuration: logger.pretty_backtrace is true, which slows down each error and logs source paths; set it to false");
}

#[tokio::test]
async fn all_problems_are_reported_at_once() {
    let all = load_error_with(&[
        ("/settings/tokens/secret", json!("short")),
        ("/settings/tokens/leeway", json!(31)),
        ("/settings/public_url", json!("http://chat.example")),
        ("/settings/allowed_origins", json!(["*", "null"])),
        ("/database/uri", json!("sqlite::memory:")),
        ("/database/dangerously_recreate", json!(true)),
    ])
    .await;
    assert_snapshot!(all, @"
    configuration: settings.tokens.leeway is 31; it must be 30 or less
    configuration: JWT_SECRET has 5 bytes and needs at least 32; generate a secret with `openssl rand -base64 48`
    configuration: DATABASE_URL is an in-memory database, which loses all data at a restart; use a file or a server, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
    configuration: database.dangerously_recreate is true, which drops all tables at each start; remove it from the configuration
    configuration: settings.allowed_origins: `*` is a wildcard, so pages of other origins could act for their visitors; list each origin
    configuration: settings.allowed_origins: `null` is the origin of every sandboxed page; list the origins of your own pages
    configuration: PUBLIC_URL begins with http://, so passwords and tokens could be read in transit; use a proxy with TLS and a PUBLIC_URL that begins with https://
    ");
    // This also holds if the settings cannot be parsed.
    let all = load_error_with(&[
        ("/settings/tokens/secret", json!("short")),
        ("/settings/time_zone", json!("Mars/Olympus")),
    ])
    .await;
    assert_snapshot!(all, @"
    configuration: settings.time_zone: failed to parse timezone: 'Mars/Olympus'
    configuration: JWT_SECRET has 5 bytes and needs at least 32; generate a secret with `openssl rand -base64 48`
    ");
}

#[tokio::test]
async fn unknown_environments_count_as_production() {
    let mut config = App::load_config(&Environment::Test).await.unwrap();
    config.database.uri = "sqlite::memory:".to_owned();
    for (environment, is_fine) in [
        (Environment::Development, true),
        (Environment::Test, true),
        (Environment::Production, false),
        (Environment::Any("staging".to_owned()), false),
    ] {
        let loaded = Settings::load(&config, &environment);
        assert_eq!(loaded.is_ok(), is_fine, "{environment}");
    }
}

#[tokio::test]
async fn the_process_prints_all_problems_and_exits() {
    let run = CommandRun::start_in_production(&[]).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    error: configuration: JWT_SECRET is not set; generate a secret with `openssl rand -base64 48`
    error: configuration: DATABASE_URL is not set; set it to the URL of a database, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
    ");

    let canary = "canary-canary-canary-canary-canary";
    let run = CommandRun::start_in_production(&[
        ("JWT_SECRET", canary),
        ("DATABASE_URL", "postgres://canary:canary@host/salam_test"),
        ("REDIS_URL", "redis:canary@host"),
        ("PUBLIC_URL", "http://canary@chat.example"),
    ])
    .await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    error: configuration: settings.channels.redis_url: the URL must begin with redis://, rediss://, redis+sentinel:// or rediss+sentinel://
    error: configuration: JWT_SECRET is a sample, or too easy to guess; generate a secret with `openssl rand -base64 48`
    error: configuration: DATABASE_URL has the name of a development or test database; use a separate database with another name in production
    error: configuration: PUBLIC_URL has more than scheme, host and port; remove the rest
    error: configuration: PUBLIC_URL begins with http://, so passwords and tokens could be read in transit; use a proxy with TLS and a PUBLIC_URL that begins with https://
    ");
}

#[tokio::test]
async fn multiline_variables_cannot_inject_configuration() {
    let secret = format!("{GOOD_SECRET}\nsettings: canary\n  tokens: {{}}");
    let run = CommandRun::start_in_production(&[
        ("JWT_SECRET", &secret),
        ("DATABASE_URL", "mysql://\ncanary: canary\n- canary"),
        ("REDIS_URL", "canary\n: canary"),
    ])
    .await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    error: configuration: settings.channels.redis_url: the URL must begin with redis://, rediss://, redis+sentinel:// or rediss+sentinel://
    error: configuration: DATABASE_URL must begin with postgres:// or sqlite://, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
    ");
}
