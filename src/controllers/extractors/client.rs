//! The address of a client, also behind proxies.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Extensions, HeaderMap, request::Parts},
};
use ipnet::{IpNet, Ipv6Net};
use loco_rs::app::AppContext;

use crate::{
    errors::{Error, Result},
    settings::{NetworkSet, Settings},
};

/// The length of the prefix of an IPv6 network that limits count as one client.
///
/// A household has a whole /64 of addresses (RFC 6177).
const IPV6_PREFIX: u8 = 64;

/// The address of a client. An IPv4 address is never in its IPv6 form.
///
/// The address of the connection's peer counts, unless the peer is a proxy of `settings.door.trusted_proxies`. Then
/// the right-most address of `X-Forwarded-For` counts that is not such a proxy. Any client may have written the
/// addresses to the left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Returns the address of the client that sent a request with these headers.
    #[must_use]
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &NetworkSet) -> Self {
        let mut client = Self::from(peer);
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while trusted.contains(client.0) {
            // An address that cannot be parsed ends the list: nothing to its left can be trusted.
            match hops.next().and_then(parse_address) {
                Some(hop) => client = Self::from(hop),
                None => break,
            }
        }
        client
    }

    /// Returns the address of the client that sent a request. `None` for a request without a connection.
    #[must_use]
    pub fn of_request(
        extensions: &Extensions,
        headers: &HeaderMap,
        trusted: &NetworkSet,
    ) -> Option<Self> {
        let peer = peer_address(extensions)?;
        Some(Self::resolve(peer, headers, trusted))
    }

    /// Returns the IP address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// Returns the network by which limits count: the IPv4 address itself, or the /64 of an IPv6 address.
    #[must_use]
    pub fn network(self) -> IpNet {
        match self.0 {
            IpAddr::V4(address) => IpAddr::V4(address).into(),
            IpAddr::V6(address) => Ipv6Net::new_assert(address, IPV6_PREFIX).trunc().into(),
        }
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }
}

impl FromRequestParts<AppContext> for ClientAddress {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let settings = Settings::from_context(ctx)?;
        let trusted = &settings.door.trusted_proxies;
        let peer = peer_address(&parts.extensions).ok_or_else(|| {
            loco_rs::Error::string("the accept loop did not set the address of the peer")
        })?;
        if parts.headers.contains_key("x-forwarded-for") && !trusted.contains(peer) {
            warn_untrusted_proxy(peer);
        }
        Ok(Self::resolve(peer, &parts.headers, trusted))
    }
}

/// Warns once that a proxy of a private network is not trusted, so that all its clients count as one.
///
/// A client on the Internet may send the header too, so a public address is not a sign of a proxy.
fn warn_untrusted_proxy(peer: IpAddr) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let is_private = match peer.to_canonical() {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    };
    if is_private && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %peer,
            "X-Forwarded-For from an untrusted peer; if the peer is your proxy, add it to \
             settings.door.trusted_proxies, or all its clients share the limits of one client"
        );
    }
}

/// Returns the address of the other end of the connection.
pub(super) fn peer_address(extensions: &Extensions) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(peer.ip())
}

/// Parses an address as proxies write it. Some proxies add the port, and brackets for IPv6.
fn parse_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    bare.unwrap_or(hop)
        .parse()
        .or_else(|_| hop.parse().map(|with_port: SocketAddr| with_port.ip()))
        .ok()
}
