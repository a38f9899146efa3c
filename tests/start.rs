//! `cargo loco start`, as its user runs it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::support::{TestDatabase, soon};

struct Server(Child);

impl Server {
    fn start(database: &TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Command::new(env!("CARGO_BIN_EXE_salam-cli"))
            .args(["start", "-e", "development"])
            // Away from a developer's own .env, which tests must not see.
            .current_dir(folder.path())
            .env(
                "LOCO_CONFIG_FOLDER",
                concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
            )
            .env("DATABASE_URL", &database.uri)
            .env("PORT", "0")
            .env_remove("REDIS_URL")
            .stdout(Stdio::piped())
            .spawn();
        Self(server.unwrap())
    }

    /// What it says of where it is; nothing if it ends first.
    async fn addresses(&mut self) -> Vec<String> {
        let output = self.0.stdout.take().unwrap();
        let told = tokio::task::spawn_blocking(move || {
            let lines = BufReader::new(output).lines().map(Result::unwrap);
            lines
                .skip_while(|line| line != "Salam is ready")
                .skip(1)
                .take(3)
                .collect()
        });
        soon("the addresses", told).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In vain where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_migrates_serves_says_where_and_stops_when_told() {
    let database = TestDatabase::create().await;
    let mut server = Server::start(&database);
    let told = server.addresses().await;
    assert_eq!(told.len(), 3, "{told:?}");
    for line in &told {
        let url = line.split_whitespace().last().unwrap();
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{line}");
    }
    let pid = server.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let ended = tokio::task::spawn_blocking(move || server.0.wait().unwrap());
    assert!(soon("the server to stop", ended).await.unwrap().success());
}

#[tokio::test]
async fn nodes_that_start_together_migrate_one_after_the_other() {
    let database = TestDatabase::create().await;
    if database.uri.starts_with("sqlite:") {
        return; // SQLite has one node.
    }
    let mut servers = [(); 4].map(|()| Server::start(&database));
    for server in &mut servers {
        assert_eq!(server.addresses().await.len(), 3);
    }
}
