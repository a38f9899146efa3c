//! What is looked at before the server starts; `cargo loco doctor` shows the same.

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
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigCheck {
    pub name: &'static str,
    /// What is wrong with it and how to mend it, a line each.
    pub faults: Vec<String>,
}

impl Settings {
    /// Looks at the whole configuration, and gives the settings if they can be read.
    #[must_use]
    pub fn load_with_checks(
        config: &Config,
        environment: &Environment,
    ) -> (Option<Self>, Vec<ConfigCheck>) {
        let in_production = is_production(environment);
        let config = &decode_settings(config);
        let (settings, read) = match read_settings(config) {
            Ok(settings) => (Some(settings), Vec::new()),
            Err(fault) => (None, vec![fault]),
        };
        let limits = settings
            .as_ref()
            .map(Self::range_faults)
            .unwrap_or_default();
        let trusting = settings.as_ref().filter(|_| in_production);
        let trusting = trusting.and_then(|settings| settings.door.trusted_proxies_fault());
        let checks = [
            (
                "settings",
                read.into_iter().chain(limits).chain(trusting).collect(),
            ),
            // The others look also where the block as a whole could not be read.
            ("JWT_SECRET", secret_faults(config, in_production)),
            ("DATABASE_URL", database::faults(config, in_production)),
            ("origins", origin_faults(config, in_production)),
            ("framework", loco_faults(config, in_production)),
        ];
        let checks = checks.map(|(name, faults)| ConfigCheck { name, faults });
        (settings, checks.into())
    }
}

/// Makes one text of the block `settings:`, as which it can be read all the same. The framework clones
/// the configuration several times for each request: as a tree that costs more than the rest of most.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn encode_settings(config: &mut Config) -> serde_json::Result<()> {
    if let Some(block) = config.settings.as_mut().filter(|block| !block.is_string()) {
        *block = serde_json::to_string(block)?.into();
    }
    Ok(())
}

pub(super) fn decode_settings(config: &Config) -> Cow<'_, Config> {
    let text = config.settings.as_ref().and_then(Value::as_str);
    match text.map(serde_json::from_str) {
        Some(Ok(block)) => {
            let mut config = config.clone();
            config.settings = Some(block);
            Cow::Owned(config)
        }
        // What is no block at all is refused as such.
        Some(Err(_)) | None => Cow::Borrowed(config),
    }
}

/// Whether what would be regretted in production is refused: everywhere but in development and in
/// tests, for one that has another name, such as `staging`, is as open to the world.
#[must_use]
pub const fn is_production(environment: &Environment) -> bool {
    !matches!(environment, Environment::Development | Environment::Test)
}

fn read_settings(config: &Config) -> Result<Settings, String> {
    let mut block = config.settings.clone().unwrap_or_default();
    let database = database::DatabaseSettings::take_stashed(config, &mut block);
    let read = serde_path_to_error::deserialize(block).map(|settings| Settings {
        database,
        ..settings
    });
    read.map_err(|error| match error.path().to_string().as_str() {
        "." => format!("the block `settings:`: {}", error.inner()),
        path => format!("settings.{path}: {}", error.inner()),
    })
}

fn secret_faults(config: &Config, in_production: bool) -> Vec<String> {
    let block = config.settings.as_ref();
    let secret = block.and_then(|block| block.pointer("/tokens/secret")?.as_str());
    // Where there is none, or it is no text, the check of the settings says so.
    secret
        .and_then(|secret| secret::secret_fault(secret, in_production))
        .into_iter()
        .collect()
}

fn origin_faults(config: &Config, in_production: bool) -> Vec<String> {
    let block = config.settings.clone().unwrap_or_default();
    // Where they cannot be read either, the check of the settings says so.
    serde_json::from_value(block)
        .map(|known: OriginSettings| origins::faults(&known, in_production))
        .unwrap_or_default()
}

/// What of the framework's own configuration would be regretted in production.
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
    let regretted = [
        (
            has_open_cors,
            "server.middlewares.cors.allow_origins has a wildcard or `null` in it, as it has by \
             default; name each origin",
        ),
        (
            !config.logger.enable,
            "logger.enable is false: nobody would see what goes wrong; make it true",
        ),
        (
            config.logger.pretty_backtrace,
            "logger.pretty_backtrace slows every error down and logs paths of the sources; make it \
             false",
        ),
        (
            flushes,
            "queue.dangerously_flush drops all jobs at each start; take it out of the \
             configuration",
        ),
    ];
    let regretted = regretted.into_iter().filter(|(is_set, _)| *is_set);
    regretted.map(|(_, told)| told.to_owned()).collect()
}
