//! The throttle of failed logins. It makes an attacker wait, and never locks an account.
//!
//! The first ten failures in a row cost no wait. After each further failure, the next attempt must wait twice as
//! long as before, up to a minute. An attempt counts as failed before its password is checked, so that a hundred
//! attempts at once are not a hundred guesses. A success resets the count.
//!
//! All attempts for an account count together, because an attacker may have many addresses. A network from which a
//! login to the account succeeded has a count of its own for a month, so that an attacker elsewhere does not make
//! the owner wait. An account that does not exist is treated in the same way.
//!
//! All nodes count together in Redis. While Redis is unreachable, slow or not configured, each node counts alone.

mod failure_count;
mod local_store;

use std::{
    fmt::Write,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

pub use self::failure_count::FailureCount;
use self::local_store::LocalStore;
use crate::{
    channels::broker::{RedisScript, RedisScripts},
    limits::RateLimited,
    metrics::METRICS,
    models::{
        hashing::{HashPriority, Requester},
        usernames,
    },
    settings::Secret,
};

/// The time for which a network is known after a login from it succeeded.
const KNOWN_NETWORK_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

static ATTEMPT_SCRIPT: LazyLock<RedisScript> =
    LazyLock::new(|| script(include_str!("attempt.lua")));
static SUCCESS_SCRIPT: LazyLock<RedisScript> =
    LazyLock::new(|| script(include_str!("success.lua")));
static UNDO_SCRIPT: LazyLock<RedisScript> = LazyLock::new(|| script(include_str!("undo.lua")));

/// The key of an account, or of a network of an account, in memory and in Redis.
///
/// It is a hash with the server's secret, so that the key does not reveal the account.
type HashedKey = [u8; 16];

/// The throttle of failed logins. Clones share the counts.
#[derive(Clone)]
pub struct LoginThrottle(Arc<LoginThrottleInner>);

struct LoginThrottleInner {
    /// The secret of the hashed keys.
    secret: Secret,
    scripts: RedisScripts,
    /// The counts of this node, which counts alone from there when Redis becomes unreachable.
    local: Mutex<LocalStore>,
}

/// One login attempt. It counts as failed until it succeeds or is taken back.
#[must_use = "a dropped attempt counts as failed"]
pub struct LoginAttempt {
    throttle: LoginThrottle,
    account_key: HashedKey,
    network_key: HashedKey,
    /// The network of the client.
    client_network: IpNet,
    scope: CountScope,
}

/// The count that an attempt belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountScope {
    /// The count of the account.
    Account,
    /// The count of a network from which a login to the account succeeded before.
    Network,
}

impl LoginThrottle {
    #[must_use]
    pub fn new(secret: &Secret, scripts: RedisScripts) -> Self {
        Self(Arc::new(LoginThrottleInner {
            secret: secret.clone(),
            scripts,
            local: Mutex::default(),
        }))
    }

    /// Counts an attempt to log in to an account, by any spelling of its username. The account need not exist.
    ///
    /// # Errors
    /// [`RateLimited`] when the attempt must wait. Then it does not count.
    pub async fn begin_attempt(
        &self,
        username: &str,
        network: IpNet,
    ) -> Result<LoginAttempt, RateLimited> {
        let username = usernames::username_key(username);
        let account = self.hashed_key(&username, "");
        let client_network = network;
        let network = self.hashed_key(&username, &network.to_string());
        let reply = self.run_script(&ATTEMPT_SCRIPT, &account, &network, &[]);
        let reply = reply.await;
        let now = Instant::now();
        let scope = match reply.as_deref() {
            Some([key_number, failures, wait]) => {
                let scope = CountScope::from_key_number(*key_number);
                let count = FailureCount::from_script_reply(*failures, *wait, now);
                let id = scope.select_key(&account, &network);
                self.lock_local().set_count(scope, id, count);
                match u64::try_from(*wait) {
                    Ok(wait @ 1..) => {
                        METRICS.logins.inc(["throttled"]);
                        return Err(RateLimited {
                            retry_after: Duration::from_millis(wait),
                        });
                    }
                    _ => scope,
                }
            }
            _ => {
                let counted = self.lock_local().record_attempt(&account, &network, now);
                counted.inspect_err(|_| METRICS.logins.inc(["throttled"]))?
            }
        };
        Ok(LoginAttempt {
            throttle: self.clone(),
            account_key: account,
            network_key: network,
            client_network,
            scope,
        })
    }

    /// Runs a script. Returns `None` when Redis did not reply in time.
    async fn run_script(
        &self,
        script: &RedisScript,
        account: &HashedKey,
        network: &HashedKey,
        arguments: &[i64],
    ) -> Option<Vec<i64>> {
        // All keys of a script must be on one server of a cluster: the server of the text in braces.
        let account = format!("login:{{{}}}", hex(account));
        let network = format!("{account}:{}", hex(network));
        self.0
            .scripts
            .run(script, [&account, &network], arguments)
            .await
            .ok()
    }

    fn hashed_key(&self, username: &str, network: &str) -> HashedKey {
        let hash = Sha256::new()
            .chain_update(self.0.secret.expose())
            .chain_update(b"\0login\0")
            .chain_update(network)
            .chain_update(b"\0")
            .chain_update(username)
            .finalize();
        let mut id = HashedKey::default();
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        id
    }

    fn lock_local(&self) -> MutexGuard<'_, LocalStore> {
        self.0.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoginAttempt {
    /// Returns the attempt's place in the queue for hashing. A known network of the account comes first.
    #[must_use]
    pub const fn requester(&self) -> Requester {
        let priority = match self.scope {
            CountScope::Network => HashPriority::KnownNetwork,
            CountScope::Account => HashPriority::Login,
        };
        Requester::client(priority, self.client_network)
    }

    /// Checks the password, and counts the result: a login or a failure. An error of the check takes the attempt
    /// back.
    ///
    /// # Errors
    /// The error of the check.
    pub async fn finish<T, F, E>(
        self,
        check: impl Future<Output = Result<Result<T, F>, E>>,
    ) -> Result<Result<T, F>, E> {
        let result = check.await;
        METRICS.logins.inc([match &result {
            Ok(Ok(_)) => "success",
            Ok(Err(_)) => "failed",
            Err(_) => "error",
        }]);
        match &result {
            Ok(Ok(_)) => self.succeed().await,
            Ok(Err(_)) => {}
            Err(_) => self.undo().await,
        }
        result
    }

    /// Counts a success: the count is 0 again, and the network is known from now on.
    pub async fn succeed(self) {
        let now = Instant::now();
        self.throttle.lock_local().record_success(
            self.scope,
            &self.account_key,
            self.network_key,
            now,
        );
        self.run_script(&SUCCESS_SCRIPT).await;
    }

    /// Takes the attempt back, because its password was not checked.
    pub async fn undo(self) {
        self.throttle
            .lock_local()
            .undo(self.scope, &self.account_key, &self.network_key);
        self.run_script(&UNDO_SCRIPT).await;
    }

    async fn run_script(&self, script: &RedisScript) {
        let arguments = [self.scope.key_number()];
        self.throttle
            .run_script(script, &self.account_key, &self.network_key, &arguments)
            .await;
    }
}

impl CountScope {
    /// Returns the number of the scope's key among the keys of the scripts.
    const fn key_number(self) -> i64 {
        match self {
            Self::Account => 1,
            Self::Network => 2,
        }
    }

    const fn from_key_number(number: i64) -> Self {
        match number {
            2 => Self::Network,
            _ => Self::Account,
        }
    }

    const fn select_key<'a>(self, account: &'a HashedKey, network: &'a HashedKey) -> &'a HashedKey {
        match self {
            Self::Account => account,
            Self::Network => network,
        }
    }
}

/// Returns a script that begins with the constants of this module.
fn script(code: &str) -> RedisScript {
    RedisScript::new(&format!(
        "{}local KNOWN_NETWORK_TTL = {}\n{code}",
        failure_count::lua_constants(),
        millis(KNOWN_NETWORK_TTL)
    ))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn hex(id: &HashedKey) -> String {
    id.iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
