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

mod count;
mod memory;

use std::{
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

pub use self::count::Count;
use self::memory::Memory;
use crate::{
    channels::broker::Counters,
    limits::TooFast,
    models::{
        hashing::{Priority, Requester},
        usernames,
    },
    settings::Secret,
};

/// So long is a network remembered from which somebody has logged in.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const ATTEMPT: &str = include_str!("attempt.lua");
const SUCCESS: &str = include_str!("success.lua");
const UNDO: &str = include_str!("undo.lua");

/// What an account, or an account and a network, are called here and in Redis: nobody sees which
/// they are without the server's secret.
type Id = [u8; 16];

/// Failed attempts to log in, by account. Clones share it.
#[derive(Clone)]
pub struct Logins(Arc<Book>);

struct Book {
    /// Names are hashed with it.
    secret: Secret,
    shared: Counters,
    /// What this node has seen: it counts alone from there when Redis goes.
    memory: Mutex<Memory>,
}

/// One attempt, which counts as failed unless it is said to be something else.
#[must_use = "an attempt that is dropped has failed"]
pub struct Attempt {
    logins: Logins,
    account: Id,
    network: Id,
    /// The network that the attempt came from.
    from: IpNet,
    /// In which count it stands.
    kind: Kind,
}

/// Which count an attempt stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// That of the whole account.
    Account,
    /// That of a network from which somebody has logged in before.
    Network,
}

impl Logins {
    #[must_use]
    pub fn new(secret: &Secret, shared: Counters) -> Self {
        Self(Arc::new(Book {
            secret: secret.clone(),
            shared,
            memory: Mutex::default(),
        }))
    }

    /// Begins an attempt to show that one knows the password of an account, by whatever spelling of
    /// its username, be there such an account or not.
    ///
    /// # Errors
    /// [`TooFast`] when it must wait. That is no failure.
    pub async fn attempt(&self, username: &str, network: IpNet) -> Result<Attempt, TooFast> {
        let username = usernames::key(username);
        let account = self.id(&username, "");
        let from = network;
        let network = self.id(&username, &network.to_string());
        let answer = self.ask(ATTEMPT, &account, &network, &count::rule()).await;
        let now = Instant::now();
        let kind = match answer.as_deref() {
            Some([kind, failures, wait]) => {
                let kind = Kind::of(*kind);
                let count = Count::told(*failures, *wait, now);
                let id = kind.id(&account, &network);
                self.memory().note(kind, id, count);
                match u64::try_from(*wait) {
                    Ok(wait @ 1..) => return Err(TooFast(Duration::from_millis(wait))),
                    _ => kind,
                }
            }
            _ => self.memory().attempt(&account, &network, now)?,
        };
        Ok(Attempt {
            logins: self.clone(),
            account,
            network,
            from,
            kind,
        })
    }

    /// `None` when nobody answers in time.
    async fn ask(
        &self,
        script: &str,
        account: &Id,
        network: &Id,
        arguments: &[i64],
    ) -> Option<Vec<i64>> {
        // In a cluster what one script touches must be at one node: where the braces say.
        let account = format!("login:{{{}}}", hex(account));
        let network = format!("{account}:{}", hex(network));
        self.0
            .shared
            .run(script, [&account, &network], arguments)
            .await
            .ok()
    }

    fn id(&self, username: &str, network: &str) -> Id {
        let hash = Sha256::new()
            .chain_update(self.0.secret.expose())
            .chain_update(b"\0login\0")
            .chain_update(network)
            .chain_update(b"\0")
            .chain_update(username)
            .finalize();
        let mut id = Id::default();
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        id
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// Returns the attempt's place in the queue for hashing. A network that is known to the account comes
    /// first.
    #[must_use]
    pub const fn requester(&self) -> Requester {
        let priority = match self.kind {
            Kind::Network => Priority::Known,
            Kind::Account => Priority::Login,
        };
        Requester::client(priority, self.from)
    }

    /// Looks at the password, and counts by what is found: somebody, nobody, or that nobody could
    /// look.
    ///
    /// # Errors
    /// What looking at it gives.
    pub async fn settle<T, E>(
        self,
        looking: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<Option<T>, E> {
        let found = looking.await;
        match &found {
            Ok(Some(_)) => self.succeeded().await,
            Ok(None) => {}
            Err(_) => self.undone().await,
        }
        found
    }

    /// It was the right password: the count begins anew, and the network is known from now on.
    pub async fn succeeded(self) {
        let Self {
            logins,
            account,
            network,
            kind,
            ..
        } = self;
        logins
            .memory()
            .succeeded(kind, &account, network, Instant::now());
        let arguments = [kind.number(), millis(KNOWN_FOR)];
        logins.ask(SUCCESS, &account, &network, &arguments).await;
    }

    /// Nobody has looked at the password: it counts for nothing.
    pub async fn undone(self) {
        let Self {
            logins,
            account,
            network,
            kind,
            ..
        } = self;
        logins.memory().undo(kind, &account, &network);
        let arguments = [kind.number(), count::longest_wait()];
        logins.ask(UNDO, &account, &network, &arguments).await;
    }
}

impl Kind {
    /// As the scripts number them: by the place among their keys.
    const fn number(self) -> i64 {
        match self {
            Self::Account => 1,
            Self::Network => 2,
        }
    }

    const fn of(number: i64) -> Self {
        match number {
            2 => Self::Network,
            _ => Self::Account,
        }
    }

    const fn id<'a>(self, account: &'a Id, network: &'a Id) -> &'a Id {
        match self {
            Self::Account => account,
            Self::Network => network,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn hex(id: &Id) -> String {
    id.iter().fold(String::with_capacity(32), |mut text, byte| {
        // A text takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
