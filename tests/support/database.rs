//! A database for one test.

use std::path::Path;

use loco_rs::{app::Hooks, environment::Environment};
use salam::{app::App, settings::DatabaseSettings};
use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

/// A SQLite file in a folder of its own, or a database on the PostgreSQL server of `DATABASE_URL`.
pub struct TestDatabase {
    pub uri: String,
    storage: Storage,
}

enum Storage {
    Folder(#[allow(dead_code, reason = "held for its drop")] TempDir),
    Server { admin: String, name: String },
}

impl TestDatabase {
    pub async fn create() -> Self {
        let config = App::load_config(&Environment::Test).await.unwrap();
        let configured = DatabaseSettings::from_config(&config).uri;
        if configured.starts_with("sqlite:") {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("salam.sqlite");
            return Self {
                uri: format!("sqlite://{}?mode=rwc", file.display()),
                storage: Storage::Folder(folder),
            };
        }
        let name = format!("salam_test_{}", Uuid::new_v4().simple());
        let admin = uri_with_database(&configured, "postgres");
        run_statement(&admin, &format!("CREATE DATABASE {name}")).await;
        Self {
            uri: uri_with_database(&configured, &name),
            storage: Storage::Server { admin, name },
        }
    }
}

impl TestDatabase {
    /// Returns the path of the SQLite file. Panics on PostgreSQL.
    pub fn sqlite_file(&self) -> &Path {
        Path::new(salam::settings::sqlite_file(&self.uri).expect("a SQLite database"))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Storage::Server { admin, name } = &self.storage {
            let (admin, name) = (admin.clone(), name.clone());
            // `drop` cannot await, and the test's runtime may be shutting down.
            let dropping = std::thread::spawn(move || {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on(run_statement(
                    &admin,
                    &format!("DROP DATABASE {name} WITH (FORCE)"),
                ));
            });
            dropping.join().unwrap();
        }
    }
}

fn uri_with_database(uri: &str, name: &str) -> String {
    let mut url = Url::parse(uri).unwrap();
    url.set_path(name);
    url.to_string()
}

async fn run_statement(uri: &str, statement: &str) {
    let db = Database::connect(uri).await.unwrap();
    db.execute_unprepared(statement).await.unwrap();
    db.close().await.unwrap();
}
