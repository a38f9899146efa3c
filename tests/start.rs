//! `cargo loco start`, as its user runs it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::support::{TestDatabase, soon};

struct Server(Child);

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
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_salam-cli"))
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
        .spawn()
        .map(Server)
        .unwrap();
    let output = server.0.stdout.take().unwrap();
    let told = tokio::task::spawn_blocking(move || -> Vec<String> {
        let lines = BufReader::new(output).lines().map(Result::unwrap);
        lines
            .skip_while(|line| line != "Salam is ready")
            .take(4)
            .collect()
    });
    let told = soon("the addresses", told).await.unwrap();
    assert_eq!(told.len(), 4, "{told:?}");
    for line in &told[1..] {
        let url = line.split_whitespace().last().unwrap();
        if line.contains("API") {
            let url = format!("{url}token/");
            assert_eq!(reqwest::get(url).await.unwrap().status(), 405);
        } else {
            assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{line}");
        }
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
