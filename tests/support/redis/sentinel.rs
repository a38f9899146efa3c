//! A master, its replica, and a sentinel that watches them.

use tempfile::TempDir;

use super::{super::until, RedisServer};

/// Milliseconds after which a master that says nothing is taken for dead.
const DOWN_AFTER: u16 = 300;

pub struct WatchedRedis {
    pub master: RedisServer,
    _replica: RedisServer,
    sentinel: RedisServer,
    _folder: TempDir,
}

impl WatchedRedis {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let master = RedisServer::start().await;
        master.command("CONFIG SET repl-diskless-sync-delay 0");
        let arguments = format!(
            "--replicaof 127.0.0.1 {} --dir {}",
            master.port,
            folder.path().display()
        );
        let mut replica = RedisServer::with(&arguments, None);
        replica.run().await;
        let file = folder.path().join("sentinel.conf");
        let conf = format!(
            "sentinel monitor salam 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds salam {DOWN_AFTER}\n\
             sentinel failover-timeout salam 2000\n",
            master.port
        );
        std::fs::write(&file, conf).unwrap();
        let arguments = format!("{} --sentinel", file.display());
        let mut sentinel = RedisServer::with(&arguments, None);
        // The master must know its replica before the sentinel asks, which it does once in 10 s.
        until("the replica to be in step", async || {
            master.ask("INFO replication").contains("state=online")
        })
        .await;
        sentinel.run().await;
        until("the sentinel to know the replica", async || {
            let told = sentinel.ask("SENTINEL REPLICAS salam");
            told.contains("master-link-status\r\n$2\r\nok")
        })
        .await;
        Self {
            master,
            _replica: replica,
            sentinel,
            _folder: folder,
        }
    }

    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/salam", self.sentinel.port)
    }
}
