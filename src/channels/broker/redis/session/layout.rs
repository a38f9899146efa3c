//! Asks what kind of Redis there is, and which node of a cluster has which slots.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, RedisResult,
    ServerErrorKind, Value, from_redis_value,
};

use super::{
    super::map::{Map, Place, Range},
    ANSWER_WITHIN,
    access::Access,
};

/// What one server says.
struct Told {
    /// `None`: it is no node of a cluster.
    ranges: Option<Vec<Range>>,
    /// Whether it belongs to the majority, as far as it knows.
    is_sure: bool,
}

impl Access {
    /// Asks all nodes that are known at once. A node that is cut off from the others does not know
    /// what they have decided meanwhile: its answer counts only if there is no better one.
    ///
    /// # Errors
    /// Why there is no answer at all.
    pub async fn layout(&self, known: &[Place]) -> Result<Vec<Range>, RedisError> {
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
        let (mut unsure, mut failed) = (None, None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(told) if told.is_sure => return Ok(told.ranges.unwrap_or_else(Map::of_one)),
                Ok(told) => unsure = unsure.or(told.ranges),
                Err(error) => failed = Some(error),
            }
        }
        unsure.ok_or_else(|| failed.unwrap_or_else(|| no_answer("no server was asked")))
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
        Ok(slots) => Ok(Told {
            ranges: Some(ranges(slots, host(client))?),
            is_sure: info.is_ok_and(|info| info.contains("cluster_state:ok")),
        }),
        // It knows no cluster, or does not let this user ask: what it takes then is the plain way,
        // which every kind of Redis has.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
            ) =>
        {
            Ok(Told {
                ranges: None,
                is_sure: true,
            })
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
