//! Scripts on the connection of a session.

use redis::aio::MultiplexedConnection;

use super::RedisSessionError;

/// A script. Redis keeps scripts by their hash, so that a call need not carry the text.
pub struct RedisScript(redis::Script);

impl RedisScript {
    /// Returns the script with this text, in Lua.
    #[must_use]
    pub fn new(code: &str) -> Self {
        Self(redis::Script::new(code))
    }
}

/// Runs scripts on the connection of a session. Clones share the connection.
#[derive(Clone)]
pub struct ScriptClient(MultiplexedConnection);

impl ScriptClient {
    pub(super) fn new(redis: MultiplexedConnection) -> Self {
        Self(redis)
    }

    /// Runs a script that returns numbers. Safe to cancel.
    ///
    /// The call carries the hash of the script. If the server does not know the script, for example after a
    /// restart, a second call carries the text.
    ///
    /// # Errors
    /// The reason why the script failed or why no reply came.
    pub async fn run(
        mut self,
        script: &RedisScript,
        keys: &[String],
        arguments: &[i64],
    ) -> Result<Vec<i64>, RedisSessionError> {
        let mut call = script.0.prepare_invoke();
        keys.iter().for_each(|key| _ = call.key(key));
        arguments.iter().for_each(|argument| _ = call.arg(argument));
        Ok(call.invoke_async(&mut self.0).await?)
    }
}
