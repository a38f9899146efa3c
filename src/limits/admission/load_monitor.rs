//! The measurement of the load: the queue times of the runtime and of the database.

use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep};

use super::AdmissionControl;
use crate::{database, metrics::METRICS};

/// The time between two measurements while clients start.
const INTERVAL: Duration = Duration::from_millis(20);

/// The longest time that a measurement waits for a connection to the database.
const MAX_DATABASE_WAIT: Duration = Duration::from_millis(250);

/// Measures the load while clients start, and adapts the admission control. Sleeps while no client starts.
///
/// The queue time of the runtime is the delay with which a timer's task runs. The queue time of the database is the
/// time until the pool has a free connection.
pub async fn run_load_monitor(control: AdmissionControl, db: DatabaseConnection) {
    loop {
        control.0.activity.notified().await;
        while control.is_busy() {
            let started_at = Instant::now();
            sleep(INTERVAL).await;
            let lateness = started_at.elapsed().saturating_sub(INTERVAL);
            METRICS.runtime_lateness_seconds.observe(lateness);
            let database_wait = database::connection_wait(&db, MAX_DATABASE_WAIT).await;
            control.adapt(lateness.max(database_wait), started_at.elapsed());
        }
    }
}
