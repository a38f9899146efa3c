//! A real cluster of three masters. The first master has a replica.

use tempfile::TempDir;

use super::{super::wait_until, Certificates, RedisServer};

/// The last slot of each master.
const LAST_SLOTS: [u16; 3] = [5460, 10922, 16383];

/// The time without a reply after which a node counts as dead, in milliseconds.
const NODE_TIMEOUT_MS: u16 = 500;

pub struct RedisCluster {
    pub masters: Vec<RedisServer>,
    /// The replica of the first master.
    pub replica: RedisServer,
    /// The configuration files that the nodes write.
    _folder: TempDir,
}

impl RedisCluster {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts a cluster with TLS.
    pub async fn start_tls(certificates: &Certificates) -> Self {
        Self::start_with(Some(certificates)).await
    }

    async fn start_with(certificates: Option<&Certificates>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        for number in 0..4 {
            let arguments = format!(
                "--cluster-enabled yes --cluster-node-timeout {NODE_TIMEOUT_MS} \
                 --repl-diskless-sync-delay 0 --dir {} --cluster-config-file {number}",
                folder.path().display()
            );
            let mut node = RedisServer::with_arguments(&arguments, certificates);
            if certificates.is_some() {
                // Without this option, the nodes do not announce their TLS ports.
                node.add_arguments("--tls-cluster yes --tls-replication yes");
            }
            node.start_process().await;
            nodes.push(node);
        }
        let replica = nodes.pop().unwrap();
        let cluster = Self {
            masters: nodes,
            replica,
            _folder: folder,
        };
        cluster.form_cluster().await;
        cluster
    }

    async fn form_cluster(&self) {
        let mut first = 0;
        for (number, (node, last)) in self.masters.iter().zip(LAST_SLOTS).enumerate() {
            node.run_command(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            node.run_command(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
            first = last.wrapping_add(1);
        }
        for node in self.nodes().skip(1) {
            let port = self.masters[0].tls_port.unwrap_or(self.masters[0].port);
            node.run_command(&format!("CLUSTER MEET 127.0.0.1 {port}"));
        }
        let replicate = format!("CLUSTER REPLICATE {}", node_id(&self.masters[0]));
        wait_until("the replica to know its master", async || {
            self.replica.query(&replicate).starts_with('+')
        })
        .await;
        self.wait_until_agreed("the cluster").await;
        wait_until("the replica to have all", async || {
            let reply = self.replica.query("INFO replication");
            reply.contains("master_link_status:up")
        })
        .await;
    }

    fn nodes(&self) -> impl Iterator<Item = &RedisServer> {
        self.masters.iter().chain([&self.replica])
    }

    async fn wait_until_agreed(&self, what: &str) {
        wait_until(what, async || {
            self.nodes().all(|node| {
                let reply = node.query("CLUSTER INFO");
                reply.contains("cluster_slots_assigned:16384")
                    && reply.contains("cluster_known_nodes:4")
                    && reply.contains("cluster_size:3")
            })
        })
        .await;
    }

    pub fn url(&self) -> String {
        self.masters[1].url()
    }

    /// Returns the index of the master that has a topic's slot at the start, and the slot.
    pub fn master_and_slot_of(&self, channel: &str) -> (usize, u16) {
        let slot = self.masters[1].query(&format!("CLUSTER KEYSLOT {channel}"));
        let slot = slot.trim().trim_start_matches(':').parse().unwrap();
        (
            LAST_SLOTS.iter().position(|end| slot <= *end).unwrap(),
            slot,
        )
    }

    /// Moves a slot, as `redis-cli --cluster reshard` does.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let (source, target) = (&self.masters[from], &self.masters[to]);
        let (source_id, target_id) = (node_id(source), node_id(target));
        target.run_command(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"));
        source.run_command(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"));
        for node in [target, source] {
            node.run_command(&format!("CLUSTER SETSLOT {slot} NODE {target_id}"));
        }
    }
}

fn node_id(node: &RedisServer) -> String {
    let reply = node.query("CLUSTER MYID");
    reply.lines().nth(1).unwrap().to_owned()
}
