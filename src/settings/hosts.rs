//! Host names and addresses under which a server is reached.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use axum::http::uri::Authority;
use serde::Deserialize;
use url::Url;

/// The host of an authority (RFC 3986, section 3.2.2): a name or an address.
///
/// The letter case of a name, a dot at its end and the port are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Host {
    /// A host name in lower case.
    Name(String),
    /// An address. An IPv4 address in IPv6 form is stored as IPv4.
    Address(IpAddr),
}

/// The error for a text that is not a host.
#[derive(Debug, thiserror::Error)]
#[error("not a host name or address")]
pub struct HostParseError;

impl Host {
    /// Returns the host of a URL, if it has a valid one.
    #[must_use]
    pub fn from_url(url: &Url) -> Option<Self> {
        url.host_str()?.parse().ok()
    }

    /// Returns `true` for `localhost` and loopback addresses.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.is_loopback(),
        }
    }
}

impl FromStr for Host {
    type Err = HostParseError;

    fn from_str(text: &str) -> Result<Self, HostParseError> {
        let authority: Authority = text.parse().map_err(|_| HostParseError)?;
        let host = authority.host();
        let port = text.strip_prefix(host).ok_or(HostParseError)?;
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return Err(HostParseError);
        }
        if let Some(bare) = host.strip_prefix('[') {
            let bare = bare.strip_suffix(']').ok_or(HostParseError)?;
            let address: Ipv6Addr = bare.parse().map_err(|_| HostParseError)?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        if !is_host_name(name) {
            return Err(HostParseError);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let error = || {
            format!(
                "`{text}` is not a host: expected a name such as chat.example, or an address, \
                 without scheme and port"
            )
        };
        // A port is refused, because the server does not compare ports.
        let has_port = !text.ends_with(']') && text.contains(':');
        if has_port { None } else { text.parse().ok() }.ok_or_else(error)
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.is_empty() || text.parse::<u16>().is_ok())
}

/// Returns `true` for a valid DNS name, in which underscores are allowed too.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_allowed)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
