//! The origins of clients: the public URL and the allowed origins.

use serde::{Deserialize, Deserializer};
use url::{Host, Url};

/// Origins, in addition to the server's own, whose pages may open sockets with the cookie.
#[derive(Clone, Default)]
pub struct Origins {
    listed: Vec<Url>,
    /// The faults of the entries that are not origins.
    faults: Vec<String>,
}

impl Origins {
    /// Returns the valid origins.
    pub fn iter(&self) -> impl Iterator<Item = &Url> {
        self.listed.iter()
    }
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut origins = Self::default();
        for text in Vec::<String>::deserialize(deserializer)? {
            match parse_origin(&text) {
                Ok(url) => origins.listed.push(url),
                // The part before `@` may be a password.
                Err(fault) if text.contains('@') => {
                    origins.faults.push(format!("an entry with `@` {fault}"));
                }
                Err(fault) => origins.faults.push(format!("`{text}` {fault}")),
            }
        }
        Ok(origins)
    }
}

fn parse_origin(text: &str) -> Result<Url, String> {
    if text.contains('*') {
        return Err(
            "is a wildcard, so pages of other origins could act for their visitors; list each \
             origin"
                .to_owned(),
        );
    }
    if text == "null" {
        return Err(
            "is the origin of every sandboxed page; list the origins of your own pages".to_owned(),
        );
    }
    let url = Url::parse(text).map_err(|error| {
        format!(
            "is not an origin ({error}): expected scheme://host[:port], such as \
             https://chat.example"
        )
    })?;
    match origin_fault(&url) {
        None => Ok(url),
        Some(fault) => Err(fault.to_owned()),
    }
}

/// Returns the reason why a URL is not an origin.
fn origin_fault(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        Some("is not an origin: it must begin with http:// or https://")
    } else if url.as_str() != format!("{}/", url.origin().ascii_serialization()) {
        Some("has more than scheme, host and port; remove the rest")
    } else {
        None
    }
}

/// The part of the settings that has origins.
#[derive(Deserialize)]
pub(super) struct OriginSettings {
    #[serde(deserialize_with = "super::url_or_empty")]
    public_url: Option<Url>,
    allowed_origins: Origins,
}

/// Returns the faults of the origins, without parts that may be a password.
pub(super) fn faults(settings: &OriginSettings, in_production: bool) -> Vec<String> {
    let (public_url, allowed) = (settings.public_url.as_ref(), &settings.allowed_origins);
    let mut faults = Vec::new();
    if let Some(fault) = public_url.and_then(origin_fault) {
        faults.push(format!("PUBLIC_URL {fault}"));
    }
    let origin_fault_text = |fault: &str| format!("settings.allowed_origins: {fault}");
    faults.extend(
        allowed
            .faults
            .iter()
            .map(String::as_str)
            .map(origin_fault_text),
    );
    if !in_production {
        return faults;
    }
    if public_url.is_some_and(is_plain_http) {
        faults.push(
            "PUBLIC_URL begins with http://, so passwords and tokens could be read in transit; \
             use a proxy with TLS and a PUBLIC_URL that begins with https://"
                .to_owned(),
        );
    }
    for origin in allowed.iter().filter(|origin| is_plain_http(origin)) {
        faults.push(origin_fault_text(&format!(
            "`{origin}` begins with http://, so its pages could be replaced in transit; serve \
             them over https://"
        )));
    }
    faults
}

/// Returns `true` if the content of a page at this URL can be changed in transit.
fn is_plain_http(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !is_loopback
}
