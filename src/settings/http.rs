//! Who may come in, from where, and who is believed about where others come from.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;

use super::Host;

/// Prefix bits of `::ffff:0:0/96`, in which IPv6 writes addresses of IPv4 (RFC 4291, section
/// 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// The proxies in front of the server, which are believed about the addresses and schemes by
    /// which clients reached them.
    pub trusted_proxies: NetworkSet,
    /// Names, besides that of the public URL, by which clients may call the server. None: in
    /// production only those of the machine itself, else any.
    pub allowed_hosts: Vec<Host>,
    /// Open at once; fewer where the system gives fewer files.
    pub max_connections: u32,
    /// Open at once of one address, or of one /64 of IPv6.
    pub connections_per_address: u32,
    /// Bytes of answers that wait for slow clients, on this node. A user may have an eighth of them, a
    /// network half of them.
    pub answer_bytes: u64,
}

/// With less, one answer could not be sent.
const MIN_ANSWER_BYTES: u64 = 8 * 1024 * 1024;

impl HttpSettings {
    /// The fault of a bound of answers that is too small for one answer.
    pub(super) fn answer_bytes_fault(&self) -> Option<String> {
        (self.answer_bytes < MIN_ANSWER_BYTES).then(|| {
            format!(
                "settings.door.answer_bytes must be {MIN_ANSWER_BYTES} or more: a user may have an \
                 eighth of it, which one page of history needs"
            )
        })
    }

    /// What would be regretted in production, if anything would.
    pub(super) fn trusted_proxies_fault(&self) -> Option<String> {
        let trusts_all = self
            .trusted_proxies
            .0
            .iter()
            .any(|it| it.0.prefix_len() == 0);
        trusts_all.then(|| {
            "settings.door.trusted_proxies has everybody in it, so that everybody could say that they \
             come from anywhere, past every limit; name the networks of your proxies"
                .to_owned()
        })
    }
}

/// Some addresses and networks.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NetworkSet(Vec<Network>);

impl NetworkSet {
    /// Whether an address is one of them; one of IPv4 that IPv6 wraps counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }
}

/// `203.0.113.7`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

/// Why a text is none.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
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

/// Peers are looked up by what they are, so networks must stand as what they are too.
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
