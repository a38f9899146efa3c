//! Reads of the database by many tasks at the same time, as one query.
//!
//! When a node restarts, thousands of clients reconnect at once, and each of them needs a read. While a query runs,
//! the next requests gather. So at most one query of each kind runs, and requests do not wait for connections of the
//! pool. A result is never older than its request.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};

use crate::{database::with_db_timeout, supervisor::Supervisor};

/// The number of requests that may wait. A further request waits until the queue has room.
const MAX_QUEUED_REQUESTS: usize = 1024;

/// The number of keys at which a query accepts no further requests.
const MAX_BATCH_KEYS: usize = 256;

/// Values of the database, by their keys.
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
    /// Starts the task that runs `query`, which returns the values that exist, by their keys.
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
        let (queue, requests) = mpsc::channel(MAX_QUEUED_REQUESTS);
        supervisor.spawn(name, run_batches(name, requests, db.clone(), query));
        Self(queue)
    }

    /// Returns the values that exist for these keys, in the order of the keys.
    ///
    /// # Errors
    /// When the database fails, or does not answer in time.
    pub async fn load(&self, keys: Vec<K>) -> Result<Vec<V>, DbErr> {
        let (reply, values) = oneshot::channel();
        with_db_timeout(async {
            let failed = || DbErr::Conn(RuntimeErr::Internal("a batched query failed".to_owned()));
            let sent = self.0.send(LoadRequest { keys, reply }).await;
            sent.map_err(|_| failed())?;
            values.await.map_err(|_| failed())
        })
        .await
    }
}

async fn run_batches<K, V, Q, F>(
    loader: &'static str,
    mut queue: mpsc::Receiver<LoadRequest<K, V>>,
    db: DatabaseConnection,
    query: Q,
) where
    K: Clone + Eq + Hash,
    V: Clone,
    Q: Fn(DatabaseConnection, HashSet<K>) -> F,
    F: Future<Output = Result<HashMap<K, V>, DbErr>>,
{
    while let Some(first) = queue.recv().await {
        // Other tasks that are about to send a request run first.
        yield_now().await;
        let (mut keys, mut requests) = (HashSet::new(), Vec::new());
        let mut next = Some(first);
        while let Some(request) = next {
            // A request that was cancelled needs no read.
            if !request.reply.is_closed() {
                keys.extend(request.keys.iter().cloned());
                requests.push(request);
            }
            let is_full = keys.len() >= MAX_BATCH_KEYS;
            next = if is_full { None } else { queue.try_recv().ok() };
        }
        if requests.is_empty() {
            continue;
        }
        match with_db_timeout(query(db.clone(), keys)).await {
            Ok(found) => {
                for LoadRequest { keys, reply } in requests {
                    let values = keys.iter().filter_map(|key| found.get(key).cloned());
                    let _ = reply.send(values.collect());
                }
            }
            // The tasks that wait notice that their channels close.
            Err(error) => {
                tracing::warn!(%error, loader, requests = requests.len(), "a batched query failed");
            }
        }
    }
}
