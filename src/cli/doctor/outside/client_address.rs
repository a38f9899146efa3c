//! The check whether the server believes a forged `X-Forwarded-For`.
//!
//! No answer of the API has the address of the client. But the server counts failed logins by network. A network from
//! which a login to the account succeeded has a count of its own. So the check sends wrong passwords with a forged
//! address until the server makes the client wait. The check then logs in without the forged address. If this login
//! has to wait too, the server counted the failures for the real network, and ignored the forged address.

use std::time::Duration;

use reqwest::RequestBuilder;
use tokio::time::sleep;

use super::{
    super::report::Finding,
    account::Account,
    connection::Connector,
    http::{Http, Reply},
};

/// An address of documentation (RFC 5737), which no client has.
const FORGED_ADDRESS: &str = "203.0.113.7";

/// The number of logins until the server must have ended a wait, which is a few seconds after a few failures too many.
const MAX_RETRIES: usize = 8;

/// The time between these logins.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The highest number of failed logins. The server lets a client wait after 10.
const MAX_FAILURES: usize = 14;

/// Checks the address of the client, with a temporary account only.
pub async fn check(
    http: &Http,
    connector: &Connector,
    account: &Account<'_>,
    ping: &Reply,
) -> Finding {
    if !account.credentials.is_temporary {
        return Finding::skipped(
            "the check fails to log in ten times, so it needs a temporary account",
        );
    }
    match observe(http, account).await {
        Ok(Observation::Ignored) => Finding::passed(
            "a forged X-Forwarded-For is ignored; the API does not show the address that the server sees",
        ),
        Ok(Observation::Believed) if is_direct(connector, ping) => {
            Finding::skipped("no proxy is in use, and the server trusts this machine as a proxy")
        }
        Ok(Observation::Believed) => Finding::failed(
            "the server believes an address that a client forged in X-Forwarded-For",
            "let the proxy replace X-Forwarded-For (nginx: proxy_set_header X-Forwarded-For \
             $remote_addr), and list only proxies in settings.door.trusted_proxies",
        ),
        Ok(Observation::Unclear) => Finding::skipped(
            "cannot be seen from outside: the nodes count failed logins separately, or by another rule",
        ),
        Err(error) => Finding::skipped(error),
    }
}

/// The conclusion from the waits after failed logins.
enum Observation {
    Ignored,
    Believed,
    Unclear,
}

async fn observe(http: &Http, account: &Account<'_>) -> Result<Observation, String> {
    // Failures may also be on another node, where they make no client wait. And a slow answer may outlast a wait. So
    // the forged address has to differ from the own address, twice.
    for is_second in [false, true] {
        match has_to_wait_after(http, account, Some(FORGED_ADDRESS)).await? {
            Some(true) => return Ok(Observation::Ignored),
            Some(false) if is_second => return Ok(Observation::Believed),
            Some(false) => {}
            None => return Ok(Observation::Unclear),
        }
        if has_to_wait_after(http, account, None).await? != Some(true)
            || !is_allowed_again(http, account).await?
        {
            return Ok(Observation::Unclear);
        }
    }
    Ok(Observation::Unclear)
}

/// Waits until a login succeeds, which resets the count of failures of this network.
async fn is_allowed_again(http: &Http, account: &Account<'_>) -> Result<bool, String> {
    let credentials = account.credentials;
    for _ in 0..MAX_RETRIES {
        sleep(RETRY_INTERVAL).await;
        let request = credentials.login_request(http, &credentials.password);
        if http.fetch(request).await?.status == 200 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns `true` if the answers show no proxy between this machine and the server.
fn is_direct(connector: &Connector, ping: &Reply) -> bool {
    let is_loopback = connector
        .addresses
        .iter()
        .all(|address| address.ip().to_canonical().is_loopback());
    is_loopback && ping.header("server").is_none() && ping.header("via").is_none()
}

/// Fails to log in until the client has to wait. Returns whether a login with the right password, without a forged
/// address, then has to wait too. Returns `None` if the client never had to wait.
async fn has_to_wait_after(
    http: &Http,
    account: &Account<'_>,
    forged: Option<&str>,
) -> Result<Option<bool>, String> {
    let forge = |request: RequestBuilder| match forged {
        Some(address) => request.header("x-forwarded-for", address),
        None => request,
    };
    let credentials = &account.credentials;
    for _ in 0..MAX_FAILURES {
        let request = credentials.login_request(http, "not the password");
        let reply = http.fetch(forge(request)).await?;
        match reply.status {
            401 => {}
            429 => {
                let request = credentials.login_request(http, &credentials.password);
                let reply = http.fetch(request).await?;
                return match reply.status {
                    429 => Ok(Some(true)),
                    200 => Ok(Some(false)),
                    _ => Err(format!("a login was answered with {}", reply.summary())),
                };
            }
            _ => return Err(format!("a login was answered with {}", reply.summary())),
        }
    }
    Ok(None)
}
