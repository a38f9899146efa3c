//! Disk faults under a server on SQLite, in a process of its own. `tests/slow/diskfaults` has more
//! cases.

use std::{collections::BTreeSet, fs, process::Command};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::{Server, TestDatabase, skip_unless, wait_until};

/// A server on a SQLite file, and a client that writes in all ways of the API.
struct FaultFixture {
    base: String,
    client: Client,
    access: String,
    group: String,
    /// The acknowledged texts, names and titles.
    acknowledged: BTreeSet<String>,
    /// The number of rejected writes since the last check.
    rejected: usize,
    count: usize,
}

impl FaultFixture {
    async fn open(server: &mut Server) -> Self {
        let base = format!("http://{}", server.listen_address().await);
        let mut fixture = Self {
            base,
            client: Client::new(),
            access: String::new(),
            group: String::new(),
            acknowledged: BTreeSet::new(),
            rejected: 0,
            count: 0,
        };
        let account = json!({"name": "Ann", "username": "ann", "password": "the staple of ann"});
        // The name is taken if an earlier server registered it.
        fixture.post("/api/register/", &account).await;
        fixture.access = json_text(&fixture.post("/api/token/", &account).await.1["access"]);
        fixture.group =
            json_text(&fixture.post("/api/start-chat/", &json!({})).await.1["group_name"]);
        fixture
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        let response = request.bearer_auth(&self.access).send().await.unwrap();
        let (status, retry) = (
            response.status(),
            response.headers().contains_key("retry-after"),
        );
        assert!(status != 503 || retry, "a 503 has Retry-After");
        assert!(
            status == 503 || !status.is_server_error(),
            "{path}: {status}"
        );
        (status, response.json().await.unwrap())
    }

    /// Writes once in each way.
    async fn write_in_every_way(&mut self) {
        self.count += 1;
        let name = format!("n{}", self.count);
        // Larger than the free space in the last page of a file that cannot grow.
        let message = json!({"text": format!("{name} {}", "x".repeat(3000))});
        let group = format!("/api/groups/{}/", self.group);
        let account = json!({"name": name, "username": name, "password": "a staple of batteries"});
        for (path, body) in [
            (format!("{group}messages/"), message),
            ("/api/register/".to_owned(), account),
            ("/api/start-chat/".to_owned(), json!({"title": name})),
        ] {
            let (status, _) = self.post(&path, &body).await;
            if status.is_success() {
                self.acknowledged.insert(format!("{path} {name}"));
            } else {
                assert_eq!(status, 503, "{path}");
                self.rejected += 1;
            }
        }
    }

    async fn readiness(&self) -> (StatusCode, Value) {
        let request = self.client.get(format!("{}/_readiness", self.base));
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Returns the stored items, in the form of [`FaultScene::acknowledged`].
    async fn stored_items(&self, database: &TestDatabase) -> BTreeSet<String> {
        let db = sea_orm::Database::connect(&database.uri).await.unwrap();
        let group = format!("/api/groups/{}/", self.group);
        let mut stored = BTreeSet::new();
        for (path, sql) in [
            (format!("{group}messages/"), "SELECT data FROM events"),
            ("/api/register/".to_owned(), "SELECT username FROM users"),
            (
                "/api/start-chat/".to_owned(),
                "SELECT title FROM chat_groups WHERE title IS NOT NULL",
            ),
        ] {
            use sea_orm::{ConnectionTrait, DbBackend, Statement};
            let rows = db
                .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
                .await;
            for row in rows.unwrap() {
                let value: String = row.try_get_by_index(0).unwrap();
                let data: Option<Value> = serde_json::from_str(&value).ok();
                let value = data.map_or(value, |data| json_text(&data["text"]));
                let name = value.split(' ').next().unwrap();
                stored.insert(format!("{path} {name}"));
            }
        }
        stored
    }
}

fn json_text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_loses_no_acknowledged_writes() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    let mut server = Server::start(&database);
    let mut fixture = FaultFixture::open(&mut server).await;
    let limit = async |bytes: &str| {
        let limit = format!("--fsize={bytes}:unlimited");
        let pid = server.pid().to_string();
        let limited = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        assert!(limited.unwrap().success());
    };
    let log = salam::database::sqlite_file::companion_path(file, "-wal");
    for _ in 0..3 {
        fixture.write_in_every_way().await;
        // A write beyond the limit fails as on a full disk (EFBIG).
        let size = fs::metadata(&log).unwrap().len();
        limit(&size.to_string()).await;
        wait_until("every way to write to be refused", async || {
            fixture.rejected = 0;
            fixture.write_in_every_way().await;
            fixture.rejected == 3
        })
        .await;
        let (status, body) = fixture.readiness().await;
        assert_eq!(
            (status, &body["ok"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!(false))
        );
        for _ in 0..5 {
            fixture.write_in_every_way().await;
        }
        limit("unlimited").await;
        wait_until("every way to write to work again", async || {
            fixture.rejected = 0;
            fixture.write_in_every_way().await;
            fixture.rejected == 0
        })
        .await;
        wait_until("the node to be ready", async || {
            fixture.readiness().await.0 == StatusCode::OK
        })
        .await;
    }
    assert!(server.stop().await.success());
    let stored = fixture.stored_items(&database).await;
    let lost: Vec<_> = fixture.acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn writes_stop_when_the_wal_files_are_removed() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    for ending in ["-shm", "-wal"] {
        let mut server = Server::start(&database);
        let mut fixture = FaultFixture::open(&mut server).await;
        // Another process would create its own file, and the two processes would not see each other's
        // locks.
        fs::remove_file(salam::database::sqlite_file::companion_path(file, ending)).unwrap();
        wait_until("the node to be unready", async || {
            fixture.readiness().await.1["reasons"] == json!(["database_file_replaced"])
        })
        .await;
        fixture.write_in_every_way().await;
        assert_eq!(fixture.rejected, 3, "{ending}");
        assert!(server.stop().await.success());
        assert!(
            fixture
                .acknowledged
                .is_subset(&fixture.stored_items(&database).await)
        );
    }
}

#[tokio::test]
async fn writes_stop_when_the_database_file_is_moved() {
    skip_unless!(SQLite);
    let database = TestDatabase::create().await;
    let file = database.sqlite_file();
    let mut server = Server::start(&database);
    let mut fixture = FaultFixture::open(&mut server).await;
    let away = file.with_extension("away");
    fs::rename(file, &away).unwrap();
    wait_until("the node to be unready", async || {
        fixture.readiness().await.1["reasons"] == json!(["database_file_replaced"])
    })
    .await;
    fixture.write_in_every_way().await;
    assert_eq!(fixture.rejected, 3);
    fs::rename(&away, file).unwrap();
    wait_until("the node to be ready", async || {
        fixture.readiness().await.0 == StatusCode::OK
    })
    .await;
    fixture.rejected = 0;
    fixture.write_in_every_way().await;
    assert_eq!(fixture.rejected, 0);
    assert!(server.stop().await.success());
    assert!(
        fixture
            .acknowledged
            .is_subset(&fixture.stored_items(&database).await)
    );
}
