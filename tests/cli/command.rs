//! A run of a command in a process of its own.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::support::with_timeout;

pub struct CommandRun {
    pub code: Option<i32>,
    /// The output, without details of this machine.
    pub output: String,
}

impl CommandRun {
    /// Runs `start` in production with only these variables.
    pub async fn start_in_production(variables: &[(&str, &str)]) -> Self {
        Self::run(&["start", "-e", "production"], variables).await
    }

    pub async fn run(args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::run_with_config(args, variables, &[]).await
    }

    /// Runs a command with some lines of its configuration changed.
    pub async fn run_with_config(
        args: &[&str],
        variables: &[(&str, &str)],
        changes: &[(&str, &str)],
    ) -> Self {
        // In a folder without a developer's `.env`, which would set missing variables.
        let folder = tempfile::tempdir().unwrap();
        write_config(&folder, changes);
        let config_folder = folder.path().to_str().unwrap();
        let variables = [variables, &[("LOCO_CONFIG_FOLDER", config_folder)]].concat();
        Self::run_in(folder.path(), args, &variables).await
    }

    /// Runs a command in a folder, with only these variables.
    pub async fn run_in(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salam-cli"));
        command.args(args).current_dir(folder);
        for name in [
            "LOCO_CONFIG_FOLDER",
            "LOCO_ENV",
            "METRICS_BINDING",
            "NODE_NAME",
            "DATABASE_URL",
            "JWT_SECRET",
            "PORT",
            "REDIS_URL",
            "RUST_LOG",
        ] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        let running = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = with_timeout("a command to end", running).await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        Self {
            code: output.status.code(),
            output: String::from_utf8(text)
                .unwrap()
                .replace(folder.to_str().unwrap(), "[folder]")
                .replace(
                    &format!("Salam {}", env!("CARGO_PKG_VERSION")),
                    "Salam [version]",
                ),
        }
    }
}

fn write_config(folder: &TempDir, changes: &[(&str, &str)]) {
    let configured = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for file in fs::read_dir(configured).unwrap() {
        let file = file.unwrap();
        let mut config = fs::read_to_string(file.path()).unwrap();
        for (line, changed) in changes {
            config = config.replace(line, changed);
        }
        fs::write(folder.path().join(file.file_name()), config).unwrap();
    }
}
