//! The URL of a deployment, as the command line names it.

use std::{net::IpAddr, str::FromStr};

use url::{Host, Url};

/// A URL of scheme, host and port, such as `https://chat.example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Url);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "such as https://chat.example";
        let url = Url::parse(text).map_err(|error| format!("not a URL ({error}), {EXAMPLE}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!(
                "the URL must begin with https:// or http://, {EXAMPLE}"
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "the URL must not contain a username or a password, {EXAMPLE}"
            ));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "the URL must consist of scheme, host and port, {EXAMPLE}"
            ));
        }
        Ok(Self(url))
    }
}

impl Target {
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns the host. An IPv6 address has brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Returns the address, if the host is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Returns whether the port is the default port of the scheme.
    pub fn has_default_port(&self) -> bool {
        self.0.port().is_none()
    }

    /// Returns whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        self.host().eq_ignore_ascii_case("localhost")
            || self.ip().is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    /// Returns the value of the header `Host`.
    pub fn authority(&self) -> &str {
        self.0.authority()
    }

    /// Returns the value of the header `Origin` that a page of this URL sends.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Returns the URL of a path, which begins with a slash.
    pub fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// Returns the URL of a socket with this path.
    pub fn socket_url_of(&self, path: &str) -> String {
        let scheme = if self.is_https() { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_reduced_to_scheme_host_and_port() {
        let target: Target = "https://Chat.example:443/".parse().expect("a URL");
        assert_eq!(target.origin(), "https://chat.example");
        assert_eq!((target.authority(), target.port()), ("chat.example", 443));
        assert_eq!(target.socket_url_of("/ws/"), "wss://chat.example/ws/");
        let target: Target = "http://[::1]:8000".parse().expect("a URL");
        assert!(target.is_loopback() && !target.has_default_port());
        assert_eq!(target.authority(), "[::1]:8000");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "chat.example",
            "ftp://chat.example",
            "https://",
            "https://ann:word@chat.example",
            "https://chat.example/app",
            "https://chat.example?x=1",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
