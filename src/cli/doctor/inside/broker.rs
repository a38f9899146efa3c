//! The checks of the broker, Redis: its reachability, its permissions and its clock.

use chrono::TimeDelta;
use tokio::time::timeout;

use super::{super::report::Finding, CHECK_TIMEOUT, CLIENT_NAME, database::describe_offset};
use crate::{channels::broker::probe_redis, settings::ChannelSettings};

/// The difference of the clocks of Redis and of the database above which the check warns.
const MAX_DIFFERENCE: TimeDelta = TimeDelta::seconds(2);

/// Checks Redis, and compares its clock with the clock of the database.
///
/// `database_offset` is the offset of the clock of this node from the clock of the database, if it is known.
pub async fn check(
    settings: &ChannelSettings,
    database_offset: Option<TimeDelta>,
) -> Vec<(&'static str, Finding)> {
    let (finding, redis_offset) = probe(settings).await;
    let mut findings = vec![("Redis", finding)];
    if let (Some(redis), Some(database)) = (redis_offset, database_offset) {
        findings.push(("Redis clock", judge_clock(database - redis)));
    }
    findings
}

async fn probe(settings: &ChannelSettings) -> (Finding, Option<TimeDelta>) {
    const REMEDY: &str = "check that the Redis of REDIS_URL runs and is reachable";
    let Some(url) = &settings.redis_url else {
        let finding = Finding::passed("is not configured, which is right for a single node");
        return (finding, None);
    };
    let finding = match timeout(CHECK_TIMEOUT, probe_redis(url, settings, CLIENT_NAME)).await {
        Ok(Ok(offset)) => return (Finding::passed("is reachable"), offset),
        // Redis is reachable, and the error itself states what to change.
        Ok(Err(error)) if error.to_string().contains("ACL") => {
            Finding::failed_with(error.to_string())
        }
        Ok(Err(error)) => Finding::failed(error.to_string(), REMEDY),
        Err(_) => Finding::failed(format!("did not respond within {CHECK_TIMEOUT:?}"), REMEDY),
    };
    (finding, None)
}

/// Judges the offset of the clock of Redis from the clock of the database.
fn judge_clock(offset: TimeDelta) -> Finding {
    let message = describe_offset("the clock of Redis", offset);
    if offset.abs() > MAX_DIFFERENCE {
        return Finding::warning(
            message,
            "run a time service such as chrony on both machines",
        );
    }
    Finding::passed(message)
}

#[cfg(test)]
mod tests {
    use super::{super::super::report::Status, *};

    #[test]
    fn a_clock_that_differs_by_more_than_two_seconds_is_a_warning() {
        let status = |millis| judge_clock(TimeDelta::milliseconds(millis)).status;
        assert_eq!(status(2_000), Status::Passed);
        assert_eq!(status(-2_001), Status::Warning);
    }
}
