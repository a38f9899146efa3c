//! The checks of the configuration before the server starts. `cargo loco doctor` shows their
//! results.

use std::borrow::Cow;

use loco_rs::{
    config::{Config, QueueConfig},
    environment::Environment,
};
use serde_json::Value;

use super::{
    Settings, database,
    origins::{self, OriginSettings},
    secret,
    sources::plain_fault,
};

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigCheck {
    /// The name of the check.
    pub name: &'static str,
    /// The faults, each with a remedy. Empty when the check passed.
    pub faults: Vec<String>,
}

impl Settings {
    /// Checks the whole configuration. Returns the settings if they can be read, and all results.
    #[must_use]
    pub fn load_with_checks(
        config: &Config,
        environment: &Environment,
    ) -> (Option<Self>, Vec<ConfigCheck>) {
        let in_production = is_production(environment);
        let config = &decode_settings(config);
        let (settings, read_fault) = match read_settings(config) {
            Ok(settings) => (Some(settings), None),
            Err(fault) => (None, Some(fault)),
        };
        let range_faults = settings
            .as_ref()
            .map(Self::range_faults)
            .unwrap_or_default();
        let proxies_fault = settings.as_ref().filter(|_| in_production);
        let proxies_fault =
            proxies_fault.and_then(|settings| settings.door.trusted_proxies_fault());
        let checks = [
            (
                "settings",
                read_fault
                    .into_iter()
                    .chain(range_faults)
                    .chain(proxies_fault)
                    .collect(),
            ),
            // The other checks also run when the block as a whole cannot be read.
            (
                "JWT_SECRET",
                secret_faults(config, settings.as_ref(), in_production),
            ),
            ("DATABASE_URL", database::faults(config, in_production)),
            ("origins", origin_faults(config, in_production)),
            ("framework", loco_faults(config, in_production)),
        ];
        let checks = checks.map(|(name, faults)| ConfigCheck { name, faults });
        (settings, checks.into())
    }
}

/// Encodes the block `settings:` as one JSON text, which all readers here decode again.
///
/// The framework clones the configuration several times for each request. Cloning it as a tree
/// would cost more than the rest of most requests.
///
/// # Errors
/// When the block cannot be written as JSON.
pub fn encode_settings(config: &mut Config) -> serde_json::Result<()> {
    if let Some(block) = config.settings.as_mut().filter(|block| !block.is_string()) {
        *block = serde_json::to_string(block)?.into();
    }
    Ok(())
}

/// Returns the configuration with the block `settings:` as a tree.
pub(super) fn decode_settings(config: &Config) -> Cow<'_, Config> {
    let text = config.settings.as_ref().and_then(Value::as_str);
    match text.map(serde_json::from_str) {
        Some(Ok(block)) => {
            let mut config = config.clone();
            config.settings = Some(block);
            Cow::Owned(config)
        }
        // A text that is not a block is refused later, when it is read.
        Some(Err(_)) | None => Cow::Borrowed(config),
    }
}

/// Returns `true` if unsafe settings are refused: everywhere except in development and in tests.
///
/// An environment with another name, such as `staging`, is as exposed as production.
#[must_use]
pub const fn is_production(environment: &Environment) -> bool {
    !matches!(environment, Environment::Development | Environment::Test)
}

pub(super) fn read_settings(config: &Config) -> Result<Settings, String> {
    let mut block = config.settings.clone().unwrap_or_default();
    let database = database::DatabaseSettings::take_stashed(config, &mut block);
    let read = serde_path_to_error::deserialize(block).map(|settings: Settings| Settings {
        database,
        node_name: settings.node_name.or_default(config.server.port),
        ..settings
    });
    read.map_err(|error| match error.path().to_string().as_str() {
        "." => format!("the block `settings:`: {}", fault_of(&error)),
        path => format!("settings.{path}: {}", fault_of(&error)),
    })
}

fn fault_of(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    plain_fault(&error.inner().to_string())
}

/// Checks the secret although other settings may be unreadable, and the accepted secrets if the settings are readable.
fn secret_faults(config: &Config, settings: Option<&Settings>, in_production: bool) -> Vec<String> {
    let block = config.settings.as_ref();
    let secret = block.and_then(|block| block.pointer("/tokens/secret")?.as_str());
    // If the secret is missing or not a text, the check of the settings reports it.
    let secret = secret.map(|secret| ("JWT_SECRET", secret));
    let accepted = settings.map(|settings| settings.tokens.accepted_secrets.iter());
    let accepted = accepted
        .into_iter()
        .flatten()
        .map(|secret| ("JWT_ACCEPTED_SECRETS", secret.expose()));
    secret
        .into_iter()
        .chain(accepted)
        .filter_map(|(name, secret)| secret::secret_fault(name, secret, in_production))
        .collect()
}

fn origin_faults(config: &Config, in_production: bool) -> Vec<String> {
    let block = config.settings.clone().unwrap_or_default();
    // If the origins cannot be read, the check of the settings reports it.
    serde_json::from_value(block)
        .map(|settings: OriginSettings| origins::faults(&settings, in_production))
        .unwrap_or_default()
}

/// Returns the unsafe settings of the framework's own configuration, in production.
fn loco_faults(config: &Config, in_production: bool) -> Vec<String> {
    if !in_production {
        return Vec::new();
    }
    let cors = config.server.middlewares.cors.as_ref();
    let is_open = |origin: &String| origin.contains('*') || origin == "null";
    let has_open_cors =
        cors.is_some_and(|cors| cors.enable && cors.allow_origins.iter().any(is_open));
    let flushes = config
        .queue
        .as_ref()
        .is_some_and(QueueConfig::dangerously_flush);
    let rules = [
        (
            has_open_cors,
            "server.middlewares.cors.allow_origins contains a wildcard, which is the default, or \
             `null`; list each origin",
        ),
        (
            !config.logger.enable,
            "logger.enable is false, so no error would be logged; set it to true",
        ),
        (
            config.logger.pretty_backtrace,
            "logger.pretty_backtrace is true, which slows down each error and logs source paths; \
             set it to false",
        ),
        (
            flushes,
            "queue.dangerously_flush is true, which deletes all jobs at each start; remove it \
             from the configuration",
        ),
    ];
    let unsafe_settings = rules.into_iter().filter(|(is_set, _)| *is_set);
    unsafe_settings.map(|(_, fault)| fault.to_owned()).collect()
}
