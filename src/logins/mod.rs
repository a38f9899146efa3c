//! Who guesses at the password of an account is made to wait, and no account is ever locked.
//!
//! The first ten failures in a row cost nothing; after each further one the next attempt must wait
//! twice as long as before, up to a minute. An attempt counts as failed before the password is looked
//! at, so that a hundred at once are no hundred guesses; a success takes it back.
//!
//! All attempts for an account count together, wherever they come from, for whoever guesses may have
//! many addresses. A network from which somebody has logged in to the account has a count of its own
//! for a month, so that who guesses elsewhere does not keep the owner waiting. An account that does
//! not exist is treated in the same way.
//!
//! All nodes count together in Redis. While it is away, slow, or not configured, each counts alone.

mod failure_count;
mod local_store;

use std::{
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

pub use self::failure_count::FailureCount;
use self::local_store::LocalStore;
use crate::{
    channels::broker::RedisScripts,
    limits::RateLimited,
    models::{
        hashing::{HashPriority, Requester},
        usernames,
    },
    settings::Secret,
};

/// So long is a network remembered from which somebody has logged in.
const KNOWN_NETWORK_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const ATTEMPT_SCRIPT: &str = include_str!("attempt.lua");
const SUCCESS_SCRIPT: &str = include_str!("success.lua");
const UNDO_SCRIPT: &str = include_str!("undo.lua");

/// What an account, or an account and a network, are called here and in Redis: nobody sees which
/// they are without the server's secret.
type HashedKey = [u8; 16];

/// Failed attempts to log in, by account. Clones share it.
#[derive(Clone)]
pub struct LoginThrottle(Arc<LoginThrottleInner>);

struct LoginThrottleInner {
    /// Names are hashed with it.
    secret: Secret,
    scripts: RedisScripts,
    /// What this node has seen: it counts alone from there when Redis goes.
    local: Mutex<LocalStore>,
}

/// One attempt, which counts as failed unless it is said to be something else.
#[must_use = "an attempt that is dropped has failed"]
pub struct LoginAttempt {
    throttle: LoginThrottle,
    account_key: HashedKey,
    network_key: HashedKey,
    /// The network that the attempt came from.
    client_network: IpNet,
    /// In which count it stands.
    scope: CountScope,
}

/// Which count an attempt stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountScope {
    /// That of the whole account.
    Account,
    /// That of a network from which somebody has logged in before.
    Network,
}

impl LoginThrottle {
    #[must_use]
    pub fn new(secret: &Secret, shared: RedisScripts) -> Self {
        Self(Arc::new(LoginThrottleInner {
            secret: secret.clone(),
            scripts: shared,
            local: Mutex::default(),
        }))
    }

    /// Begins an attempt to show that one knows the password of an account, by whatever spelling of
    /// its username, be there such an account or not.
    ///
    /// # Errors
    /// [`RateLimited`] when it must wait. That is no failure.
    pub async fn begin_attempt(
        &self,
        username: &str,
        network: IpNet,
    ) -> Result<LoginAttempt, RateLimited> {
        let username = usernames::username_key(username);
        let account = self.hashed_key(&username, "");
        let from = network;
        let network = self.hashed_key(&username, &network.to_string());
        let answer = self
            .run_script(
                ATTEMPT_SCRIPT,
                &account,
                &network,
                &failure_count::script_parameters(),
            )
            .await;
        let now = Instant::now();
        let kind = match answer.as_deref() {
            Some([kind, failures, wait]) => {
                let kind = CountScope::from_key_number(*kind);
                let count = FailureCount::from_script_reply(*failures, *wait, now);
                let id = kind.select_key(&account, &network);
                self.lock_local().set_count(kind, id, count);
                match u64::try_from(*wait) {
                    Ok(wait @ 1..) => return Err(RateLimited(Duration::from_millis(wait))),
                    _ => kind,
                }
            }
            _ => self.lock_local().record_attempt(&account, &network, now)?,
        };
        Ok(LoginAttempt {
            throttle: self.clone(),
            account_key: account,
            network_key: network,
            client_network: from,
            scope: kind,
        })
    }

    /// `None` when nobody answers in time.
    async fn run_script(
        &self,
        script: &str,
        account: &HashedKey,
        network: &HashedKey,
        arguments: &[i64],
    ) -> Option<Vec<i64>> {
        // In a cluster what one script touches must be at one node: where the braces say.
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
    /// Returns the attempt's place in the queue for hashing. A network that is known to the account comes
    /// first.
    #[must_use]
    pub const fn requester(&self) -> Requester {
        let priority = match self.scope {
            CountScope::Network => HashPriority::KnownNetwork,
            CountScope::Account => HashPriority::Login,
        };
        Requester::client(priority, self.client_network)
    }

    /// Looks at the password, and counts by what is found: somebody, nobody, or that nobody could
    /// look.
    ///
    /// # Errors
    /// What looking at it gives.
    pub async fn finish<T, E>(
        self,
        looking: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<Option<T>, E> {
        let found = looking.await;
        match &found {
            Ok(Some(_)) => self.succeed().await,
            Ok(None) => {}
            Err(_) => self.undo().await,
        }
        found
    }

    /// It was the right password: the count begins anew, and the network is known from now on.
    pub async fn succeed(self) {
        let Self {
            throttle: logins,
            account_key: account,
            network_key: network,
            scope: kind,
            ..
        } = self;
        logins
            .lock_local()
            .record_success(kind, &account, network, Instant::now());
        let arguments = [kind.key_number(), millis(KNOWN_NETWORK_TTL)];
        logins
            .run_script(SUCCESS_SCRIPT, &account, &network, &arguments)
            .await;
    }

    /// Nobody has looked at the password: it counts for nothing.
    pub async fn undo(self) {
        let Self {
            throttle: logins,
            account_key: account,
            network_key: network,
            scope: kind,
            ..
        } = self;
        logins.lock_local().undo(kind, &account, &network);
        let arguments = [kind.key_number(), failure_count::max_wait_ms()];
        logins
            .run_script(UNDO_SCRIPT, &account, &network, &arguments)
            .await;
    }
}

impl CountScope {
    /// As the scripts number them: by the place among their keys.
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

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn hex(id: &HashedKey) -> String {
    id.iter().fold(String::with_capacity(32), |mut text, byte| {
        // A text takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
