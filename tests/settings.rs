//! An invalid setting stops the server with an error that names the setting and the remedy.

use insta::assert_snapshot;
use loco_rs::{app::Hooks, environment::Environment};
use salam::{app::App, settings::Settings};
use serde_json::{Value, json};

/// Returns the error of loading the test settings with one change.
async fn load_with_change(environment: &Environment, pointer: &str, value: Value) -> String {
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
async fn unknown_or_out_of_range_settings_are_rejected() {
    let error = async |pointer: &str, value: Value| {
        load_with_change(&Environment::Test, pointer, value).await
    };
    assert_eq!(error("/time_zone", json!("Asia/Tehran")).await, "fine");
    assert_snapshot!(error("/time_zone", json!("Mars/Olympus")).await, @"configuration: settings.time_zone: failed to parse timezone: 'Mars/Olympus'");
    assert_snapshot!(error("/tokens/acess_lifetime", json!(5)).await, @"configuration: settings.tokens.acess_lifetime: unknown field `acess_lifetime`, expected one of `secret`, `accepted_secrets`, `issuer`, `audience`, `access_lifetime`, `refresh_lifetime`, `socket_lifetime`, `leeway`");
    assert_snapshot!(error("/tokens/access_lifetime", json!(0)).await, @"configuration: settings.tokens.access_lifetime is 0; it must be above 0");
    assert_snapshot!(error("/tokens/leeway", json!(31)).await, @"configuration: settings.tokens.leeway is 31; it must be 30 or less");
    assert_snapshot!(error("/tokens/secret", json!("short")).await, @"configuration: JWT_SECRET has 5 bytes and needs at least 32; generate a secret with `openssl rand -base64 48`");
    assert_snapshot!(error("/limits/sockets_per_user", json!(0)).await, @"configuration: settings.limits.sockets_per_user is 0; it must be above 0");
    assert_snapshot!(error("/limits/subs_per_10s", json!(511)).await, @"configuration: settings.limits.subs_per_10s is 511; it must be 512 or more, because a socket may have that many groups and subscribes to all of them when it reconnects");
    assert_snapshot!(error("/public_url", json!("chat.example")).await, @"configuration: settings.public_url: not a URL (relative URL without a base); begin it with a scheme, such as https://chat.example");
    assert_snapshot!(error("/allowed_origins", json!(["https://chat.example/page"])).await, @"configuration: settings.allowed_origins: `https://chat.example/page` has more than scheme, host and port; remove the rest");
    assert_snapshot!(error("/door/trusted_proxies", json!(["10.0.0.0/8", "proxy.example"])).await, @"configuration: settings.door.trusted_proxies[1]: `proxy.example` is not an address or a network: expected an address such as 203.0.113.7, or a network such as 10.0.0.0/8");
    assert_snapshot!(error("/door/trusted_proxies", json!(["10.0.0.0/33"])).await, @"configuration: settings.door.trusted_proxies[0]: `10.0.0.0/33` is not an address or a network: expected an address such as 203.0.113.7, or a network such as 10.0.0.0/8");
    assert_snapshot!(error("/door/allowed_hosts", json!(["chat.example:8000"])).await, @"configuration: settings.door.allowed_hosts[0]: `chat.example:8000` is not a host: expected a name such as chat.example, or an address, without scheme and port");
    assert_snapshot!(error("/door/allowed_hosts", json!(["https://chat.example"])).await, @"configuration: settings.door.allowed_hosts[0]: `https://chat.example` is not a host: expected a name such as chat.example, or an address, without scheme and port");
    assert_snapshot!(error("/door/connections_per_address", json!(0)).await, @"configuration: settings.door.connections_per_address is 0; it must be above 0");
    assert_snapshot!(error("/allowed_origins", json!(["chat.example"])).await, @"configuration: settings.allowed_origins: `chat.example` is not an origin (relative URL without a base): expected scheme://host[:port], such as https://chat.example");
}

#[tokio::test]
async fn redis_url_formats_are_validated() {
    let error = async |url: &str| {
        load_with_change(&Environment::Test, "/channels/redis_url", json!(url)).await
    };
    for url in [
        "",
        "redis://127.0.0.1",
        "redis://user:p%40ss@redis.example:6379/0",
        "rediss://[::1]:6380",
        "redis://one:6379,two,three:6379",
        "rediss://:secret@one:6379,two:6379",
        "redis+sentinel://one,two:26379/name",
        "rediss+sentinel://user:secret@one/name?sentinel_password=secret",
    ] {
        assert_eq!(error(url).await, "fine", "{url}");
    }
    assert_snapshot!(error("127.0.0.1:6379").await, @"configuration: settings.channels.redis_url: the URL must begin with redis://, rediss://, redis+sentinel:// or rediss+sentinel://");
    assert_snapshot!(error("http://127.0.0.1").await, @"configuration: settings.channels.redis_url: the URL must begin with redis://, rediss://, redis+sentinel:// or rediss+sentinel://");
    assert_snapshot!(error("redis://").await, @"configuration: settings.channels.redis_url: not a URL (empty host); an example is redis://user:password@host:6379");
    assert_snapshot!(error("redis://:secret@one:port").await, @"configuration: settings.channels.redis_url: not a URL (invalid port number); an example is redis://user:password@host:6379");
    assert_snapshot!(error("redis://one,,two").await, @"configuration: settings.channels.redis_url: not a URL (empty host); an example is redis://user:password@host:6379");
    assert_snapshot!(error("redis://one/name").await, @"configuration: settings.channels.redis_url: only the number of a database may follow the host, such as redis://host:6379/0");
    assert_snapshot!(error("rediss://one#insecure").await, @"configuration: settings.channels.redis_url: only the number of a database may follow the host, such as redis://host:6379/0");
    assert_snapshot!(error("redis+sentinel://one:26379").await, @"configuration: settings.channels.redis_url: the name of the master must follow the sentinels: redis+sentinel://host:26379/name");
}

#[tokio::test]
async fn redis_ca_file_is_validated_at_startup() {
    let folder = tempfile::tempdir().unwrap();
    let error = async |name: &str, url: &str| {
        let mut config = App::load_config(&Environment::Test).await.unwrap();
        let channels = &mut config.settings.as_mut().unwrap()["channels"];
        channels["redis_url"] = json!(url);
        channels["redis_ca_file"] = json!(folder.path().join(name));
        match Settings::load(&config, &Environment::Test) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error
                .to_string()
                .replace(folder.path().to_str().unwrap(), "[folder]"),
        }
    };
    std::fs::write(folder.path().join("ca.pem"), "-----BEGIN CERTIFICATE-----").unwrap();
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    assert_eq!(error("ca.pem", "rediss://one").await, "fine");
    assert_snapshot!(error("missing.pem", "rediss://one").await, @"configuration: settings.channels.redis_ca_file: `[folder]/missing.pem` cannot be read: No such file or directory (os error 2); set REDIS_CA_FILE to a PEM file, or unset it");
    assert_snapshot!(error("empty.pem", "rediss://one").await, @"configuration: settings.channels.redis_ca_file: `[folder]/empty.pem` contains no `-----BEGIN CERTIFICATE-----`; use a PEM file with certificates");
    assert_snapshot!(error("ca.pem", "redis://one").await, @"configuration: settings.channels.redis_ca_file needs a REDIS_URL with TLS: begin REDIS_URL with rediss:// or rediss+sentinel://, or unset REDIS_CA_FILE");
}
