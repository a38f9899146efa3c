//! Discovers whether Redis is a cluster, and which node of a cluster has which slots.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, RedisResult,
    ServerErrorKind, Value, from_redis_value,
};

use super::{
    super::slot_map::{self, RedisServer, SlotMap, SlotRange},
    REPLY_TIMEOUT, RedisSessionError,
    config::RedisConfig,
};

/// The reply of one server.
enum ServerReply {
    /// The server is not a node of a cluster.
    Single,
    /// The server is a node of a healthy cluster.
    Cluster(Vec<SlotRange>),
    /// The server does not see the majority of the cluster, or the cluster has lost some slots.
    Degraded(Vec<SlotRange>),
}

impl RedisConfig {
    /// Queries the servers of the settings and all discovered nodes at once. Returns the best
    /// layout.
    ///
    /// A node that is separated from the others does not know their later decisions. Its reply
    /// counts only if there is no better reply.
    ///
    /// # Errors
    /// The error of one of the servers, when no server replied.
    pub async fn cluster_layout(
        &self,
        discovered: &[RedisServer],
    ) -> Result<Vec<SlotRange>, RedisSessionError> {
        if self.uses_sentinels() {
            return Ok(SlotMap::single_server_ranges());
        }
        let mut clients: Vec<_> = self.seed_clients().collect();
        for server in discovered {
            clients.push(self.client_for(server).await);
        }
        let mut answers: FuturesUnordered<_> = clients
            .into_iter()
            .map(async |client| query_server(&client?).await)
            .collect();
        let mut degraded: Vec<Vec<SlotRange>> = Vec::new();
        let mut failed = reply_error("no server replied to CLUSTER SLOTS");
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(ServerReply::Cluster(ranges)) => return Ok(ranges),
                Ok(ServerReply::Degraded(ranges)) => degraded.push(ranges),
                // A cluster does not become a single server: a single server has replaced one of
                // its nodes.
                Ok(ServerReply::Single) if discovered.is_empty() => {
                    return Ok(SlotMap::single_server_ranges());
                }
                Ok(ServerReply::Single) => {}
                Err(error) => failed = error,
            }
        }
        let best = degraded
            .into_iter()
            .max_by_key(|ranges| slot_map::covered_slots(ranges));
        best.ok_or_else(|| failed.into())
    }
}

async fn query_server(client: &Client) -> Result<ServerReply, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REPLY_TIMEOUT))
        .set_response_timeout(Some(REPLY_TIMEOUT));
    let mut redis = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let (slots, info): (RedisResult<Value>, RedisResult<String>) = redis::pipe()
        .cmd("CLUSTER")
        .arg("SLOTS")
        .cmd("CLUSTER")
        .arg("INFO")
        .ignore_errors()
        .query_async(&mut redis)
        .await?;
    match slots {
        Ok(slots) => {
            let ranges = parse_slot_ranges(slots, host_of(client))?;
            let is_healthy = info.is_ok_and(|info| info.contains("cluster_state:ok"));
            Ok(if is_healthy {
                ServerReply::Cluster(ranges)
            } else {
                ServerReply::Degraded(ranges)
            })
        }
        // The server is not part of a cluster, or forbids this command to this user. Plain channels
        // then work, which every kind of Redis has.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
            ) =>
        {
            Ok(ServerReply::Single)
        }
        Err(error) => Err(error),
    }
}

/// Parses the reply to CLUSTER SLOTS: for each range its first slot, its last slot and its nodes.
///
/// The first node of a range is the master. A node without a host is the node at `queried_host`.
fn parse_slot_ranges(slots: Value, queried_host: &str) -> Result<Vec<SlotRange>, RedisError> {
    let rows: Vec<Vec<Value>> = from_redis_value(slots)?;
    let mut ranges = Vec::new();
    for row in rows {
        let Ok([first, last, master]) =
            <[Value; 3]>::try_from(row.into_iter().take(3).collect::<Vec<_>>())
        else {
            return Err(reply_error("unexpected reply to CLUSTER SLOTS"));
        };
        let master: Vec<Value> = from_redis_value(master)?;
        let mut master = master.into_iter();
        let host: Option<String> = from_redis_value(master.next().unwrap_or(Value::Nil))?;
        let port: u16 = from_redis_value(master.next().unwrap_or(Value::Nil))?;
        let host = match host.as_deref() {
            // The node does not know its own address.
            Some("") | None => queried_host,
            // The node does not know the address of that other node.
            Some("?") => continue,
            Some(host) => host,
        };
        ranges.push(SlotRange {
            slots: from_redis_value(first)?..=from_redis_value(last)?,
            server: RedisServer::Node {
                host: Arc::from(host),
                port,
            },
        });
    }
    ranges.sort_by_key(|range| *range.slots.start());
    Ok(ranges)
}

fn host_of(client: &Client) -> &str {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "",
    }
}

fn reply_error(text: &'static str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, text))
}
