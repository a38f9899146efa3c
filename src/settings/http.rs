//! The settings of the HTTP server: connections, hosts and trusted proxies.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;

use super::Host;

/// The length of the prefix `::ffff:0:0/96`, under which IPv6 contains IPv4 addresses (RFC 4291,
/// section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// The settings of the HTTP server.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// The proxies in front of the server. The server trusts their headers with the client's
    /// address and scheme.
    pub trusted_proxies: NetworkSet,
    /// The allowed host names, in addition to the host of the public URL.
    ///
    /// With an empty list, production allows only that host and loopback. Other environments then
    /// allow every host.
    pub allowed_hosts: Vec<Host>,
    /// The largest number of open connections. A low limit of open files lowers it.
    pub max_connections: u32,
    /// The largest number of open connections of one IPv4 address or one IPv6 /64 network.
    pub connections_per_address: u32,
    /// The bytes of responses that may wait for slow clients of this node. A user may use an
    /// eighth, a network half.
    pub answer_bytes: u64,
}

/// The least value of `answer_bytes`. With a smaller value, one response might not fit.
const MIN_ANSWER_BYTES: u64 = 8 * 1024 * 1024;

impl HttpSettings {
    /// Returns a fault if `answer_bytes` is too small for one response.
    pub(super) fn answer_bytes_fault(&self) -> Option<String> {
        (self.answer_bytes < MIN_ANSWER_BYTES).then(|| {
            format!(
                "settings.door.answer_bytes is {}; it must be {MIN_ANSWER_BYTES} or more, because \
                 a user may use an eighth of it, and a page of history must fit into that",
                self.answer_bytes
            )
        })
    }

    /// Returns a fault if every address is a trusted proxy, which is unsafe in production.
    pub(super) fn trusted_proxies_fault(&self) -> Option<String> {
        let trusts_all = self
            .trusted_proxies
            .0
            .iter()
            .any(|network| network.0.prefix_len() == 0);
        trusts_all.then(|| {
            "settings.door.trusted_proxies contains all IPv4 or all IPv6 addresses, so any client \
             could forge its address and evade the limits; list only the networks of your proxies"
                .to_owned()
        })
    }
}

/// A set of addresses and networks.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NetworkSet(Vec<Network>);

impl NetworkSet {
    /// Returns `true` if an address is in the set. An IPv4 address in IPv6 form counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }
}

/// A network such as `10.0.0.0/8` or `2001:db8::/32`, or one address such as `203.0.113.7`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

/// The error for a text that is not a network.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not an address or a network: expected an address such as 203.0.113.7, or a network \
     such as 10.0.0.0/8"
)]
struct NetworkParseError(String);

impl TryFrom<String> for Network {
    type Error = NetworkParseError;

    fn try_from(text: String) -> Result<Self, NetworkParseError> {
        let parsed = match text.parse::<IpAddr>() {
            Ok(address) => Some(IpNet::from(address)),
            Err(_) => text.parse::<IpNet>().ok(),
        };
        parsed
            .map(|network| Self(unmap_ipv4(network)))
            .ok_or(NetworkParseError(text))
    }
}

/// Converts a network of IPv4 addresses in IPv6 form to IPv4.
///
/// Peers are compared in their canonical form, so the networks need it too.
fn unmap_ipv4(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else {
        return network;
    };
    let bits = wide.prefix_len().checked_sub(MAPPED_PREFIX);
    match (bits, wide.addr().to_ipv4_mapped()) {
        (Some(bits), Some(address)) => Ipv4Net::new(address, bits).map_or(network, IpNet::V4),
        _ => network,
    }
}
