//! Questions to the server of a session beside what the session itself is for.

use redis::aio::MultiplexedConnection;

use super::RedisSessionError;

/// Asks on the connection of a session. Clones share it.
#[derive(Clone)]
pub struct ScriptClient(MultiplexedConnection);

impl ScriptClient {
    pub(super) fn new(redis: MultiplexedConnection) -> Self {
        Self(redis)
    }

    /// Has the server run a script that returns numbers. Safe to be cancelled.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn run(
        mut self,
        script: &str,
        keys: &[String],
        arguments: &[i64],
    ) -> Result<Vec<i64>, RedisSessionError> {
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
        Ok(command.query_async(&mut self.0).await?)
    }
}
