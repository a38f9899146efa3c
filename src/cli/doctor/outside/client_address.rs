//! The check whether the server believes a forged `X-Forwarded-For`.
//!
//! No answer of the API has the address of the client. But the server counts failed logins by network: a network from
//! which a login to the account succeeded has a count of its own. So the check fails to log in until it has to wait,
//! with a forged address. If the same network without a forged address has to wait too, then the server counted the
//! failures for this network, and did not believe the forged address.

use reqwest::RequestBuilder;

use super::{
    super::report::Finding,
    account::Account,
    connection::Connector,
    http::{Http, Reply},
};

/// An address of documentation (RFC 5737), which no client has.
const FORGED_ADDRESS: &str = "203.0.113.7";

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
    match has_to_wait_after(http, account, Some(FORGED_ADDRESS)).await {
        Ok(Some(true)) => return passed(),
        Ok(Some(false)) => {}
        Ok(None) => return unobservable(),
        Err(error) => return Finding::skipped(error),
    }
    // The failures may also be on another node. Then a client has never to wait.
    match has_to_wait_after(http, account, None).await {
        Ok(Some(true)) if is_direct(connector, ping) => {
            Finding::skipped("there is no proxy, and the server trusts this machine as a proxy")
        }
        Ok(Some(true)) => Finding::failed(
            "the server believes an address that a client forged in X-Forwarded-For",
            "let the proxy replace X-Forwarded-For (nginx: proxy_set_header X-Forwarded-For \
             $remote_addr), and list only proxies in settings.door.trusted_proxies",
        ),
        Ok(_) => unobservable(),
        Err(error) => Finding::skipped(error),
    }
}

fn passed() -> Finding {
    Finding::passed(
        "a forged X-Forwarded-For is ignored; the API does not show the address that the server sees",
    )
}

fn unobservable() -> Finding {
    Finding::skipped(
        "cannot be seen from outside: the nodes count failed logins separately, or by another rule",
    )
}

/// Returns whether no proxy is in the way, as far as the answers show it.
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
