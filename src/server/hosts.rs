//! The host names under which the server accepts requests.
//!
//! A page of another site can point its own name at this server (DNS rebinding). A forged `Host`
//! would also end up in links.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Uri, Version, header::HOST},
    middleware::Next,
    response::Response,
};
use loco_rs::environment::Environment;

use crate::{
    controllers::extractors::ClientAddress,
    errors::{Error, Result},
    limits::LogThrottle,
    settings::{Host, NetworkSet, Settings, is_production},
};

/// The paths of probes. Load balancers call them by address.
pub(super) const PROBE_PATHS: [&str; 3] = ["/_ping", "/_health", "/_readiness"];

/// The allowed host names. Loopback is always allowed.
pub(super) struct AllowedHosts {
    /// `None` allows every host.
    hosts: Option<Vec<Host>>,
    trusted_proxies: NetworkSet,
    foreign_log: LogThrottle,
}

impl AllowedHosts {
    /// Allows the host of the public URL and the hosts of the settings.
    ///
    /// Outside of production, every host is allowed as long as the settings name none.
    pub(super) fn new(settings: &Settings, environment: &Environment) -> Self {
        let names = &settings.door.allowed_hosts;
        let allows_any = names.is_empty() && !is_production(environment);
        let public = settings.public_url.as_ref().and_then(Host::from_url);
        Self {
            hosts: (!allows_any).then(|| names.iter().cloned().chain(public).collect()),
            trusted_proxies: settings.door.trusted_proxies.clone(),
            foreign_log: LogThrottle::default(),
        }
    }

    fn allows(&self, host: &Host) -> bool {
        let Some(listed) = &self.hosts else {
            return true;
        };
        host.is_loopback() || listed.contains(host)
    }
}

/// Refuses requests for other hosts, and requests without one unambiguous host.
pub(super) async fn check_host(
    State(allowed): State<Arc<AllowedHosts>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let authority = request_authority(request.uri(), request.headers(), request.version())?;
    if !PROBE_PATHS.contains(&request.uri().path().trim_end_matches('/')) {
        let host =
            match authority {
                Some(authority) => Some(authority.parse().map_err(|_| {
                    Error::invalid("The Host header is not a host name or address.")
                })?),
                None => None,
            };
        let is_allowed = host
            .as_ref()
            .map_or(allowed.hosts.is_none(), |host| allowed.allows(host));
        if !is_allowed {
            if let Some(suppressed) = allowed.foreign_log.allow() {
                let trusted = &allowed.trusted_proxies;
                let client =
                    ClientAddress::of_request(request.extensions(), request.headers(), trusted);
                tracing::warn!(
                    client = client.map(|client| client.ip().to_string()),
                    host = authority.unwrap_or_default(),
                    suppressed,
                    "request for an unknown host refused; if the host is yours, add it to PUBLIC_URL \
                     or settings.door.allowed_hosts"
                );
            }
            return Err(Error::ForeignHost);
        }
    }
    Ok(next.run(request).await)
}

/// Returns the host for which the request is.
///
/// HTTP/1.1 requires exactly one `Host` (RFC 9112, section 3.2). The authority of an absolute
/// target replaces `Host` (section 3.2.2).
fn request_authority<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
    version: Version,
) -> Result<Option<&'a str>> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && version == Version::HTTP_11) {
        return Err(Error::invalid("A request needs one Host header."));
    }
    if let Some(authority) = uri.authority() {
        return Ok(Some(authority.as_str()));
    }
    // A value that is not ASCII becomes an empty host, which the caller refuses.
    Ok(host.map(|host| host.to_str().unwrap_or_default()))
}
