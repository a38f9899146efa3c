//! Scripts on the connection of a session.

use redis::aio::MultiplexedConnection;

use super::RedisSessionError;

/// Runs scripts on the connection of a session. Clones share the connection.
#[derive(Clone)]
pub struct ScriptClient(MultiplexedConnection);

impl ScriptClient {
    pub(super) fn new(redis: MultiplexedConnection) -> Self {
        Self(redis)
    }

    /// Runs a script that returns numbers. Safe to cancel.
    ///
    /// # Errors
    /// The reason why the script failed or why no reply came.
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
