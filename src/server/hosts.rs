//! By which names the server may be called.
//!
//! A page of somebody else can have its own name lead here (DNS rebinding), and what goes by a
//! forged `Host` ends up in links.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Uri, Version, header::HOST},
    middleware::Next,
    response::Response,
};
use loco_rs::environment::Environment;

use crate::{
    errors::{Error, Result},
    limits::LogThrottle,
    settings::{Host, Settings, is_production},
};

/// Load balancers ask by address whether the server is well.
pub(super) const PROBE_PATHS: [&str; 3] = ["/_ping", "/_health", "/_readiness"];

/// The names; loopback is always one.
pub(super) struct AllowedHosts {
    /// `None`: any.
    hosts: Option<Vec<Host>>,
    foreign_log: LogThrottle,
}

impl AllowedHosts {
    /// That of the public URL and those of the settings; outside of production any, as long as the
    /// settings name none.
    pub(super) fn new(settings: &Settings, environment: &Environment) -> Self {
        let names = &settings.door.allowed_hosts;
        let any = names.is_empty() && !is_production(environment);
        let public = settings.public_url.as_ref().and_then(Host::from_url);
        Self {
            hosts: (!any).then(|| names.iter().cloned().chain(public).collect()),
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

/// Refuses requests for others, and those that do not say in one way for whom they are.
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
            if let Some(unheard) = allowed.foreign_log.allow() {
                tracing::warn!(
                    host = authority.unwrap_or_default(),
                    unheard,
                    "a request for another host was refused; \
                     PUBLIC_URL or settings.door.allowed_hosts must have it if it is ours"
                );
            }
            return Err(Error::ForeignHost);
        }
    }
    Ok(next.run(request).await)
}

/// For whom the request is. HTTP/1.1 wants exactly one `Host` (RFC 9112, section 3.2), and an
/// absolute target says it in its stead (section 3.2.2).
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
    // What is not ASCII is no host either, and told so.
    Ok(host.map(|host| host.to_str().unwrap_or_default()))
}
