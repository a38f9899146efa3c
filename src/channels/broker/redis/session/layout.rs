//! Asks what kind of Redis there is, and which node of a cluster has which slots.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, RedisResult,
    ServerErrorKind, Value, from_redis_value,
};

use super::{
    super::map::{self, Map, Place, Range},
    ANSWER_WITHIN, Unreachable,
    access::Access,
};

/// What one server says.
enum Told {
    /// It is no node of a cluster.
    Single,
    Cluster(Vec<Range>),
    /// It does not see the majority of the cluster, or the cluster has lost some slots.
    Minority(Vec<Range>),
}

impl Access {
    /// Asks the servers of the settings and all nodes that are known, at once. A node that is cut
    /// off from the others does not know what they have decided meanwhile: its answer counts only
    /// if there is no better one.
    ///
    /// # Errors
    /// Why there is no answer at all.
    pub async fn layout(&self, known: &[Place]) -> Result<Vec<Range>, Unreachable> {
        if self.is_by_sentinels() {
            return Ok(Map::of_one());
        }
        let mut clients: Vec<_> = self.seeds().collect();
        for place in known {
            clients.push(self.client(place).await);
        }
        let mut answers: FuturesUnordered<_> = clients
            .into_iter()
            .map(async |client| ask(&client?).await)
            .collect();
        let mut unsure: Vec<Vec<Range>> = Vec::new();
        let mut failed = no_answer("there is no answer to CLUSTER SLOTS");
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Told::Cluster(ranges)) => return Ok(ranges),
                Ok(Told::Minority(ranges)) => unsure.push(ranges),
                // A cluster does not become a single server: one of its nodes was replaced.
                Ok(Told::Single) if known.is_empty() => return Ok(Map::of_one()),
                Ok(Told::Single) => {}
                Err(error) => failed = error,
            }
        }
        let best = unsure.into_iter().max_by_key(|ranges| map::covered(ranges));
        best.ok_or_else(|| failed.into())
    }
}

async fn ask(client: &Client) -> Result<Told, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
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
            let ranges = ranges(slots, host(client))?;
            let is_well = info.is_ok_and(|info| info.contains("cluster_state:ok"));
            Ok(if is_well {
                Told::Cluster(ranges)
            } else {
                Told::Minority(ranges)
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
            Ok(Told::Single)
        }
        Err(error) => Err(error),
    }
}

/// Reads the answer to CLUSTER SLOTS: first and last slot, and the nodes, of which the master is
/// the first.
fn ranges(slots: Value, asked: &str) -> Result<Vec<Range>, RedisError> {
    let rows: Vec<Vec<Value>> = from_redis_value(slots)?;
    let mut ranges = Vec::new();
    for row in rows {
        let Ok([first, last, master]) =
            <[Value; 3]>::try_from(row.into_iter().take(3).collect::<Vec<_>>())
        else {
            return Err(no_answer("the answer to CLUSTER SLOTS cannot be read"));
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
        ranges.push(Range {
            slots: from_redis_value(first)?..=from_redis_value(last)?,
            place: Place::Node {
                host: Arc::from(host),
                port,
            },
        });
    }
    ranges.sort_by_key(|range| *range.slots.start());
    Ok(ranges)
}

fn host(client: &Client) -> &str {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "",
    }
}

fn no_answer(text: &'static str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, text))
}
