//! Asks what kind of Redis there is, and which node of a cluster has which slots.

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

/// What one server says.
enum ServerReply {
    /// It is no node of a cluster.
    Single,
    Cluster(Vec<SlotRange>),
    /// It does not see the majority of the cluster, or the cluster has lost some slots.
    Degraded(Vec<SlotRange>),
}

impl RedisConfig {
    /// Asks the servers of the settings and all nodes that are known, at once. A node that is cut
    /// off from the others does not know what they have decided meanwhile: its answer counts only
    /// if there is no better one.
    ///
    /// # Errors
    /// Why there is no answer at all.
    pub async fn cluster_layout(
        &self,
        known: &[RedisServer],
    ) -> Result<Vec<SlotRange>, RedisSessionError> {
        if self.uses_sentinels() {
            return Ok(SlotMap::single_server_ranges());
        }
        let mut clients: Vec<_> = self.seed_clients().collect();
        for place in known {
            clients.push(self.client_for(place).await);
        }
        let mut answers: FuturesUnordered<_> = clients
            .into_iter()
            .map(async |client| query_server(&client?).await)
            .collect();
        let mut unsure: Vec<Vec<SlotRange>> = Vec::new();
        let mut failed = reply_error("there is no answer to CLUSTER SLOTS");
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(ServerReply::Cluster(ranges)) => return Ok(ranges),
                Ok(ServerReply::Degraded(ranges)) => unsure.push(ranges),
                // A cluster does not become a single server: one of its nodes was replaced.
                Ok(ServerReply::Single) if known.is_empty() => {
                    return Ok(SlotMap::single_server_ranges());
                }
                Ok(ServerReply::Single) => {}
                Err(error) => failed = error,
            }
        }
        let best = unsure
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
            let is_well = info.is_ok_and(|info| info.contains("cluster_state:ok"));
            Ok(if is_well {
                ServerReply::Cluster(ranges)
            } else {
                ServerReply::Degraded(ranges)
            })
        }
        // It knows no cluster, or does not let this user ask: what it takes then is the plain way,
        // which every kind of Redis has.
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

/// Reads the answer to CLUSTER SLOTS: first and last slot, and the nodes, of which the master is
/// the first.
fn parse_slot_ranges(slots: Value, asked: &str) -> Result<Vec<SlotRange>, RedisError> {
    let rows: Vec<Vec<Value>> = from_redis_value(slots)?;
    let mut ranges = Vec::new();
    for row in rows {
        let Ok([first, last, master]) =
            <[Value; 3]>::try_from(row.into_iter().take(3).collect::<Vec<_>>())
        else {
            return Err(reply_error("the answer to CLUSTER SLOTS cannot be read"));
        };
        let master: Vec<Value> = from_redis_value(master)?;
        let mut master = master.into_iter();
        let host: Option<String> = from_redis_value(master.next().unwrap_or(Value::Nil))?;
        let port: u16 = from_redis_value(master.next().unwrap_or(Value::Nil))?;
        let host = match host.as_deref() {
            // The node does not know where it is itself.
            Some("") | None => asked,
            // It does not know where the other one is.
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
