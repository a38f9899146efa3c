//! Names by which a server is called.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use axum::http::uri::Authority;
use serde::Deserialize;
use url::Url;

/// The host of an authority (RFC 3986, section 3.2.2): a name without regard to letter case, to a
/// dot at its end and to the port; or an address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

/// Why a text is none.
#[derive(Debug, thiserror::Error)]
#[error("not a host name or address")]
pub struct HostParseError;

impl Host {
    #[must_use]
    pub fn from_url(url: &Url) -> Option<Self> {
        url.host_str()?.parse().ok()
    }

    /// Whether it is this machine, to itself.
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
        let told =
            || format!("`{text}` is neither a host name such as chat.example nor an address");
        // A port would promise what is not looked at.
        let has_port = !text.ends_with(']') && text.contains(':');
        if has_port { None } else { text.parse().ok() }.ok_or_else(told)
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.is_empty() || text.parse::<u16>().is_ok())
}

/// What the system of names knows, and the underscore that some use.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
