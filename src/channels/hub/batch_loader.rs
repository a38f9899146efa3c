//! What many ask of the database at the same time is asked in one query.
//!
//! When a node comes back, thousands come at once, each of whom the database has to be asked about.
//! While it answers, who comes next gathers; so there is one query on its way, and not one for each
//! that waits for a connection. An answer is never older than the question.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};

use super::with_db_timeout;
use crate::supervisor::Supervisor;

/// Who asks while so many are waiting waits for a place.
const MAX_QUEUED_REQUESTS: usize = 1024;

/// Keys from which on a query takes no more of those that wait.
const MAX_BATCH_KEYS: usize = 256;

/// Values of the database by their keys.
pub(super) struct BatchLoader<K, V>(mpsc::Sender<LoadRequest<K, V>>);

struct LoadRequest<K, V> {
    keys: Vec<K>,
    reply: oneshot::Sender<Vec<V>>,
}

impl<K, V> BatchLoader<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Answers by a query that gives the values of those keys that have one.
    pub fn start<Q, F>(
        db: &DatabaseConnection,
        supervisor: &Supervisor,
        name: &'static str,
        query: Q,
    ) -> Self
    where
        Q: Fn(DatabaseConnection, HashSet<K>) -> F + Send + 'static,
        F: Future<Output = Result<HashMap<K, V>, DbErr>> + Send + 'static,
    {
        let (queue, asked) = mpsc::channel(MAX_QUEUED_REQUESTS);
        supervisor.spawn(name, run_batches(asked, db.clone(), query));
        Self(queue)
    }

    /// The values of those of these keys that have one, in their order.
    ///
    /// # Errors
    /// When the database fails, or does not answer in time.
    pub async fn load(&self, keys: Vec<K>) -> Result<Vec<V>, DbErr> {
        let (answer, found) = oneshot::channel();
        let asked = LoadRequest {
            keys,
            reply: answer,
        };
        with_db_timeout(async {
            let failed = || RuntimeErr::Internal("a query of many failed".to_owned());
            let sent = self.0.send(asked).await;
            sent.map_err(|_| DbErr::Conn(failed()))?;
            found.await.map_err(|_| DbErr::Conn(failed()))
        })
        .await
    }
}

async fn run_batches<K, V, Q, F>(
    mut waiting: mpsc::Receiver<LoadRequest<K, V>>,
    db: DatabaseConnection,
    query: Q,
) where
    K: Clone + Eq + Hash,
    V: Clone,
    Q: Fn(DatabaseConnection, HashSet<K>) -> F,
    F: Future<Output = Result<HashMap<K, V>, DbErr>>,
{
    while let Some(first) = waiting.recv().await {
        // Whoever else is about to ask has its turn before.
        yield_now().await;
        let (mut keys, mut asked) = (HashSet::new(), Vec::new());
        let mut next = Some(first);
        while let Some(who) = next {
            // Who has given up meanwhile need not be asked about.
            if !who.reply.is_closed() {
                keys.extend(who.keys.iter().cloned());
                asked.push(who);
            }
            let is_full = keys.len() >= MAX_BATCH_KEYS;
            next = if is_full {
                None
            } else {
                waiting.try_recv().ok()
            };
        }
        if asked.is_empty() {
            continue;
        }
        match with_db_timeout(query(db.clone(), keys)).await {
            Ok(found) => {
                for LoadRequest {
                    keys,
                    reply: answer,
                } in asked
                {
                    let values = keys.iter().filter_map(|key| found.get(key).cloned());
                    let _ = answer.send(values.collect());
                }
            }
            // Those who wait hear of it by the end of their channels.
            Err(error) => {
                tracing::warn!(%error, askers = asked.len(), "who asks to come in could not be looked up")
            }
        }
    }
}
