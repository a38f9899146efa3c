//! Where a request comes from, whatever stands between.

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

/// Who has one address of a network of IPv6 has them all: this much is given to a household
/// (RFC 6177).
const IPV6_PREFIX: u8 = 64;

/// The address of a client; never one of IPv4 that IPv6 wraps.
///
/// It is that of the peer, unless the peer is a proxy of `settings.door.trusted_proxies`: then it is
/// the right-most of `X-Forwarded-For` that is no such proxy. What stands left of that anybody may
/// have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Who has sent a request with these headers.
    #[must_use]
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &NetworkSet) -> Self {
        let mut client = Self::from(peer);
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while trusted.contains(client.0) {
            // Beyond what cannot be read nothing is to be believed.
            match hops.next().and_then(parse_address) {
                Some(hop) => client = Self::from(hop),
                None => break,
            }
        }
        client
    }

    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// What limits count by: the address itself, of IPv6 its /64.
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
            loco_rs::Error::string("the accept loop has not said who the peer is")
        })?;
        if parts.headers.contains_key("x-forwarded-for") && !trusted.contains(peer) {
            warn_untrusted_proxy(peer);
        }
        Ok(Self::resolve(peer, &parts.headers, trusted))
    }
}

/// Warns once that a proxy of the own network is not trusted: all its clients count as one. Anybody on the
/// Internet may send the header, so that an address out there says nothing.
fn warn_untrusted_proxy(peer: IpAddr) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let is_near = match peer.to_canonical() {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    };
    if is_near && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %peer,
            "X-Forwarded-For of a peer that is not in settings.door.trusted_proxies: if it is your proxy, list it, \
             or all its clients share the limits of one"
        );
    }
}

/// Who is at the other end of the connection.
pub(super) fn peer_address(extensions: &Extensions) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(peer.ip())
}

/// An address as proxies write it: some add the port, and brackets for IPv6.
fn parse_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    bare.unwrap_or(hop)
        .parse()
        .or_else(|_| hop.parse().map(|with_port: SocketAddr| with_port.ip()))
        .ok()
}
