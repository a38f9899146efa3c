//! A master, its replica, and a sentinel.

use tempfile::TempDir;

use super::{super::wait_until, RedisServer};

/// The time without a reply after which a master counts as dead, in milliseconds.
const DOWN_AFTER_MS: u16 = 300;

pub struct SentinelRedis {
    pub master: RedisServer,
    _replica: RedisServer,
    sentinel: RedisServer,
    _folder: TempDir,
}

impl SentinelRedis {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let master = RedisServer::start().await;
        master.run_command("CONFIG SET repl-diskless-sync-delay 0");
        let arguments = format!(
            "--replicaof 127.0.0.1 {} --dir {}",
            master.port,
            folder.path().display()
        );
        let mut replica = RedisServer::with_arguments(&arguments, None);
        replica.start_process().await;
        let file = folder.path().join("sentinel.conf");
        let conf = format!(
            "sentinel monitor salam 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds salam {DOWN_AFTER_MS}\n\
             sentinel failover-timeout salam 2000\n",
            master.port
        );
        std::fs::write(&file, conf).unwrap();
        let arguments = format!("{} --sentinel", file.display());
        let mut sentinel = RedisServer::with_arguments(&arguments, None);
        // The master must know its replica before the sentinel reads its replicas, every 10 s.
        wait_until("the replica to be in step", async || {
            master.query("INFO replication").contains("state=online")
        })
        .await;
        sentinel.start_process().await;
        wait_until("the sentinel to know the replica", async || {
            let reply = sentinel.query("SENTINEL REPLICAS salam");
            reply.contains("master-link-status\r\n$2\r\nok")
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
