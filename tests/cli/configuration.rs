//! The sources of the configuration: built-in files, files of a folder, variables, and files with secrets.

use std::{fs, path::Path};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::command::CommandRun;

const SECRET: &str = "vFqk0n3vT7Qm3yq1yQm0bq3H1nJ5y0aW";

/// Returns the configuration of an environment as the program reads it in a folder.
async fn read_config(folder: &Path, environment: &str, variables: &[(&str, &str)]) -> Value {
    let args = ["doctor", "--config", "-e", environment];
    let run = CommandRun::run_in(folder, &args, variables).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    let (json, _) = run.output.split_once("\nEnvironment: ").unwrap();
    serde_json::from_str(json).unwrap()
}

/// Returns the error of a command that cannot read its configuration.
async fn config_error(folder: &Path, environment: &str, variables: &[(&str, &str)]) -> String {
    let args = ["doctor", "--config", "-e", environment];
    let run = CommandRun::run_in(folder, &args, variables).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    run.output
}

fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

#[tokio::test]
async fn the_program_contains_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let development = read_config(folder.path(), "development", &[("PORT", "8765")]).await;
    assert_eq!(development["server"]["port"], 8765);
    assert_eq!(development["settings"]["channels"]["frame_limit"], 65536);
    let production = read_config(folder.path(), "production", &[]).await;
    assert_eq!(production["logger"]["format"], "json");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn files_override_single_keys_of_the_built_in_configuration() {
    let folder = folder_with(&[
        (
            "config/production.yaml",
            "settings: { drain_delay: 9, limits: { logins_per_minute: 7 } }",
        ),
        (
            "config/production.local.yaml",
            "settings: { drain_delay: 8, door: { trusted_proxies: [10.0.0.5] } }",
        ),
        ("config/staging.yaml", "settings: { drain_delay: 7 }"),
    ]);
    let settings = &read_config(folder.path(), "production", &[]).await["settings"];
    assert_eq!(settings["drain_delay"], 8);
    assert_eq!(settings["limits"]["logins_per_minute"], 7);
    assert_eq!(settings["limits"]["registrations_per_hour"], 60);
    assert_eq!(settings["door"]["trusted_proxies"], json!(["10.0.0.5"]));
    let staging = read_config(folder.path(), "staging", &[]).await;
    assert_eq!(staging["settings"]["drain_delay"], 7);
    assert_eq!(staging["logger"]["format"], "json");
}

#[tokio::test]
async fn every_key_has_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let config = read_config(folder.path(), "production", &[]).await;
    let mut values = Vec::new();
    collect_values(&config, "SALAM", &mut values);
    assert!(values.len() > 70, "{}", values.len());
    let variables: Vec<_> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        read_config(folder.path(), "production", &variables).await,
        config
    );
    let changed = [
        ("SALAM__SETTINGS__LIMITS__LOGINS_PER_MINUTE", "7"),
        (
            "SALAM__SETTINGS__DOOR__TRUSTED_PROXIES",
            "[10.0.0.5, \"::1\"]",
        ),
        ("SALAM__SETTINGS__API_DOCS", "false"),
        ("SALAM__SETTINGS__TIME_ZONE", "Asia/Tehran"),
        ("SALAM__SETTINGS__CHANNELS__TOPIC_PREFIX", "7"),
        ("SALAM__DATABASE__MAX_CONNECTIONS", "40"),
        (
            "SALAM__SERVER__MIDDLEWARES__LIMIT_PAYLOAD__BODY_LIMIT",
            "1kb",
        ),
    ];
    let config = read_config(folder.path(), "production", &changed).await;
    let settings = &config["settings"];
    assert_eq!(settings["limits"]["logins_per_minute"], 7);
    assert_eq!(
        settings["door"]["trusted_proxies"],
        json!(["10.0.0.5", "::1"])
    );
    assert_eq!(settings["api_docs"], false);
    assert_eq!(settings["time_zone"], "Asia/Tehran");
    assert_eq!(settings["channels"]["topic_prefix"], "7");
    assert_eq!(config["database"]["max_connections"], 40);
    // The key ends like the name of a variable for a file.
    let variable = ("SALAM__SETTINGS__CHANNELS__REDIS_CA_FILE", "/no/ca.pem");
    let error = config_error(folder.path(), "production", &[variable]).await;
    assert!(
        error.contains("settings.channels.redis_ca_file: `/no/ca.pem` cannot be read"),
        "{error}"
    );
}

/// Collects a variable with the current value for each key that is not hidden.
fn collect_values(tree: &Value, name: &str, values: &mut Vec<(String, String)>) {
    match tree {
        Value::Object(fields) => {
            for (key, value) in fields {
                collect_values(value, &format!("{name}__{}", key.to_uppercase()), values);
            }
        }
        // `Null` is the name of Loco's cache that stores nothing. A variable would be a YAML null.
        Value::String(text) if text == "(hidden)" || text == "Null" => {}
        Value::String(text) => values.push((name.to_owned(), text.clone())),
        Value::Null => {}
        value => values.push((name.to_owned(), value.to_string())),
    }
}

#[tokio::test]
async fn a_variable_with_an_unknown_key_or_a_wrong_value_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = async |name: &str, value: &str| {
        config_error(folder.path(), "production", &[(name, value)]).await
    };
    assert_snapshot!(error("SALAM__LOGER__LEVEL", "warn").await, @"error: SALAM__LOGER__LEVEL: the key loger.level is unknown");
    assert_snapshot!(error("SALAM__DATABASE__MAX_CONNECTIONS", "many").await, @r#"error: the configuration has a wrong value: database.max_connections: invalid type: string, expected u32; check the environment variable SALAM__DATABASE__MAX_CONNECTIONS: set it to a valid value, or unset it"#);
    assert_snapshot!(error("SALAM__DATABASE__MAX_CONNECTIONS", "").await, @"error: the configuration has a wrong value: database.max_connections: invalid type: null, expected u32; check the environment variable SALAM__DATABASE__MAX_CONNECTIONS: set it to a valid value, or unset it");
    assert_snapshot!(error("SALAM__DATABASE__MAX_CONNECTIONS", "[").await, @r#"error: SALAM__DATABASE__MAX_CONNECTIONS: did not find expected node content at line 2 column 1, while parsing a flow node; write a number or true or false as it is, and a list in brackets: [10.0.0.5, "::1"]"#);
    assert_snapshot!(error("SALAM__SETTINGS__LIMITS__LOGINS_PER_MINUTE", "many").await, @r#"error: SALAM__SETTINGS__LIMITS__LOGINS_PER_MINUTE: settings.limits.logins_per_minute: invalid type: string, expected u32; write a number or true or false as it is, and a list in brackets: [10.0.0.5, "::1"]"#);
    assert_snapshot!(error("SALAM__SETTINGS__DOOR__TRUSTED_PROXIES", "10.0.0.5").await, @r#"error: SALAM__SETTINGS__DOOR__TRUSTED_PROXIES: settings.door.trusted_proxies: invalid type: string, expected a list; write a number or true or false as it is, and a list in brackets: [10.0.0.5, "::1"]"#);
    assert_snapshot!(error("SALAM__SETTINGS__DOOR__TRUSTED_PROXIES", "[::1]").await, @r#"error: SALAM__SETTINGS__DOOR__TRUSTED_PROXIES: did not find expected node content at line 1 column 2, while parsing a flow node; write a number or true or false as it is, and a list in brackets: [10.0.0.5, "::1"]"#);
    assert_snapshot!(error("SALAM__SETTINGS__TIME_ZONE", "Mars/Base").await, @"error: SALAM__SETTINGS__TIME_ZONE: settings.time_zone: failed to parse timezone: 'Mars/Base'");
    assert_snapshot!(error("SALAM__SETTINGS__TOKENS", "a-secret-at-a-wrong-place").await, @r#"error: SALAM__SETTINGS__TOKENS: settings.tokens: invalid type: string, expected a block of keys; write a number or true or false as it is, and a list in brackets: [10.0.0.5, "::1"]"#);
    assert_snapshot!(error("SALAM__SERVER/PORT", "1").await, @"error: SALAM__SERVER/PORT: the name of a key has only letters, digits and underscores");
    let twice = [("SALAM__SERVER__PORT", "1"), ("SALAM__server__port", "2")];
    assert_snapshot!(config_error(folder.path(), "production", &twice).await, @"error: two variables set the key server.port, one of them is SALAM__SERVER__PORT; unset one of them");
    let unknown = error("SALAM__SETTINGS__LIMITS__LOGINS_PER_MINUT", "7").await;
    assert!(
        unknown.starts_with(
            "error: SALAM__SETTINGS__LIMITS__LOGINS_PER_MINUT: settings.limits.logins_per_minut: unknown field"
        ),
        "{unknown}"
    );
}

#[tokio::test]
async fn secrets_come_from_files() {
    let folder = folder_with(&[
        ("secret", &format!("{SECRET}\n")),
        ("windows", &format!("{SECRET}\r\n")),
        ("short", "short\n"),
        ("large", &"x".repeat(70_000)),
        ("url", "sqlite:salam.sqlite?mode=rwc"),
        ("empty", "\n"),
    ]);
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let check = async |variables: &[(&str, &str)]| {
        let run =
            CommandRun::run_in(folder.path(), &["doctor", "-e", "production"], variables).await;
        let lines = run.output.lines().filter(|line| {
            ["JWT_SECRET", "DATABASE_URL", "configuration"]
                .iter()
                .any(|check| line.contains(check))
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    for variables in [
        [
            ("JWT_SECRET_FILE", "secret"),
            ("DATABASE_URL_FILE", "url"),
            ("JWT_SECRET", ""),
        ],
        [
            ("JWT_SECRET_FILE", "windows"),
            ("DATABASE_URL_FILE", "url"),
            ("DATABASE_URL", ""),
        ],
        [
            ("SALAM__SETTINGS__TOKENS__SECRET_FILE", "secret"),
            ("SALAM__DATABASE__URI_FILE", "url"),
            ("JWT_SECRET", "replaced"),
        ],
    ] {
        assert_eq!(
            check(&variables).await,
            "  passed  JWT_SECRET\n  passed  DATABASE_URL"
        );
    }
    assert_snapshot!(check(&[("JWT_SECRET_FILE", "short")]).await, @"
    FAILED  JWT_SECRET    JWT_SECRET has 5 bytes and needs at least 32; generate a secret with `openssl rand -base64 48`
    FAILED  DATABASE_URL  DATABASE_URL is not set; set it to the URL of a database, such as postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
    FAILED  database      was not checked: see DATABASE_URL
    ");
    assert_snapshot!(check(&[("JWT_SECRET_FILE", "missing")]).await, @"  FAILED  configuration JWT_SECRET_FILE: cannot read missing: No such file or directory (os error 2)");
    assert_snapshot!(check(&[("JWT_SECRET_FILE", "large")]).await, @"  FAILED  configuration JWT_SECRET_FILE: cannot read large: the file is larger than 65536 bytes");
    assert_snapshot!(check(&[("JWT_SECRET_FILE", "empty")]).await, @"  FAILED  configuration JWT_SECRET_FILE: cannot read empty: the file is empty; write the value into the file, or unset the variable");
    assert_snapshot!(check(&[("JWT_SECRET_FILE", "pipe")]).await, @"  FAILED  configuration JWT_SECRET_FILE: pipe is a named pipe; name a file");
    assert_snapshot!(check(&[("JWT_SECRET_FILE", ".")]).await, @"  FAILED  configuration JWT_SECRET_FILE: cannot read .: Is a directory (os error 21)");
    assert_snapshot!(check(&[("JWT_SECRET_FILE", "secret"), ("JWT_SECRET", "x")]).await, @"  FAILED  configuration both JWT_SECRET and JWT_SECRET_FILE are set; unset one of them");
}

#[tokio::test]
async fn a_missing_or_faulty_file_is_named() {
    let folder = folder_with(&[
        ("config/development.yaml", "server: { port: <%= port }"),
        ("config/list.yaml", "[a, b]"),
        ("config/twice.yaml", "server: { port: 1, port: 2 }"),
        ("empty/other.yaml", ""),
    ]);
    let error = async |environment: &str, variables: &[(&str, &str)]| {
        config_error(folder.path(), environment, variables).await
    };
    assert_snapshot!(error("development", &[]).await, @"error: cannot read `config/development.yaml`: a tag that begins with `<%` has no `%>`");
    assert_snapshot!(error("list", &[]).await, @"error: `config/list.yaml` is not a mapping of keys");
    assert_snapshot!(error("twice", &[]).await, @r#"error: cannot parse `config/twice.yaml`: server: duplicate entry with key "port" at line 1 column 9"#);
    assert_snapshot!(error("nowhere", &[]).await, @"error: the environment nowhere has no file config/nowhere.yaml; create the file, or set LOCO_ENV to development or production");
    assert_snapshot!(error("test", &[]).await, @"error: the environment test has no file config/test.yaml; create the file, or set LOCO_ENV to development or production");
    assert_snapshot!(error("production", &[("LOCO_CONFIG_FOLDER", "empty")]).await, @"error: LOCO_CONFIG_FOLDER names the folder empty, which has no production.yaml; create the file, or unset the variable");
    assert_snapshot!(error("production", &[("PORT", "x")]).await, @r#"error: the configuration has a wrong value: server.port: invalid type: string, expected i32; check the environment variable PORT: set it to a valid value, or unset it"#);
}

#[tokio::test]
async fn accepted_secrets_are_checked_and_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("JWT_SECRET", SECRET),
        (
            "JWT_ACCEPTED_SECRETS",
            "short development-only-secret-that-production-refuses",
        ),
        ("DATABASE_URL", "sqlite:salam.sqlite?mode=rwc"),
    ];
    let config = read_config(folder.path(), "production", &variables).await;
    assert_eq!(config["settings"]["tokens"]["accepted_secrets"], "(hidden)");
    let start = ["start", "-e", "production"];
    let run = CommandRun::run_in(folder.path(), &start, &variables).await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"
    error: configuration: JWT_ACCEPTED_SECRETS has 5 bytes and needs at least 32; generate a secret with `openssl rand -base64 48`
    error: configuration: JWT_ACCEPTED_SECRETS is a public development value; generate a secret with `openssl rand -base64 48`
    ");
}
