//! The public address of the server, and the check of a request's `Origin`.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts, uri::Authority},
};
use loco_rs::app::AppContext;
use url::Url;

use super::client::{ClientAddress, peer_address};
use crate::{
    errors::{Error, Result},
    limits::LogThrottle,
    settings::Settings,
};

/// The scheme and the host by which clients reach the server: those of the configured public URL, else of the request.
///
/// A proxy of `settings.door.trusted_proxies` that ends TLS sets `X-Forwarded-Proto`, and forwards the `Host`.
/// `X-Forwarded-Host` is not trusted.
pub struct PublicBase {
    https: bool,
    authority: String,
}

impl PublicBase {
    /// Returns the base URL of sockets, such as `wss://chat.example`.
    #[must_use]
    pub fn ws_base_url(&self) -> String {
        let scheme = if self.https { "wss" } else { "ws" };
        format!("{scheme}://{}", self.authority)
    }

    /// Returns the base URL of the API, such as `https://chat.example`.
    #[must_use]
    pub fn http_base_url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// Returns whether clients reach the server by HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }
}

impl FromRequestParts<AppContext> for PublicBase {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let settings = Settings::from_context(ctx)?;
        if let Some(url) = &settings.public_url {
            return Ok(Self {
                https: url.scheme() == "https",
                authority: url.authority().to_owned(),
            });
        }
        let https = is_https_request(parts, &settings);
        let authority = request_authority(parts).map_or_else(
            || format!("{}:{}", ctx.config.server.binding, ctx.config.server.port),
            |authority| authority.to_string(),
        );
        Ok(Self { https, authority })
    }
}

/// The proof that no foreign page opens a socket with the cookie of its visitor (cross-site WebSocket hijacking).
///
/// The request has no `Origin`, because programs send none, or the origin is allowed: the server's own, the origin of
/// the public URL, or one of the settings. The origin `null` is never allowed.
pub struct AllowedOrigin;

impl FromRequestParts<AppContext> for AllowedOrigin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, ctx: &AppContext) -> Result<Self> {
        let mut origins = parts.headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(Self);
        };
        let settings = Settings::from_context(ctx)?;
        let Some(origin) = origin.to_str().ok().and_then(parse_origin) else {
            return Err(reject_origin(origin, parts, &settings));
        };
        let mut allowed_urls = settings.allowed_origins.iter().chain(&settings.public_url);
        // Under its public name, the server is reached by the scheme of the public URL alone.
        let public_host = settings.public_url.as_ref().and_then(Url::host_str);
        let own = request_authority(parts).filter(|own| {
            !public_host.is_some_and(|public| public.eq_ignore_ascii_case(own.host()))
        });
        // An attacker on the network can forge a page of the same name over plain HTTP.
        let safe_scheme = origin.scheme() == "https" || !is_https_request(parts, &settings);
        let is_allowed = allowed_urls.any(|url| url.origin() == origin.origin())
            || own.is_some_and(|own| safe_scheme && is_same_authority(&origin, &own));
        // A browser sends one Origin. A request with more of them tries to be misread.
        if is_allowed && origins.next().is_none() {
            Ok(Self)
        } else {
            let origin = origin.origin().ascii_serialization();
            let origin = HeaderValue::try_from(origin).unwrap_or(HeaderValue::from_static("?"));
            Err(reject_origin(&origin, parts, &settings))
        }
    }
}

/// Returns the error for a foreign origin, and logs the received and the allowed origins, at most once in 10 s.
///
/// The client may not see the allowed origins, but an operator who forgot a setting must see them.
fn reject_origin(origin: &HeaderValue, parts: &Parts, settings: &Settings) -> Error {
    static THROTTLE: LogThrottle = LogThrottle::new();
    if let Some(suppressed) = THROTTLE.allow() {
        let allowed_urls = settings.allowed_origins.iter().chain(&settings.public_url);
        let allowed: Vec<_> = allowed_urls
            .map(|url| url.origin().ascii_serialization())
            .collect();
        let host = request_authority(parts).map(|own| own.to_string());
        let trusted = &settings.door.trusted_proxies;
        let client = ClientAddress::of_request(&parts.extensions, &parts.headers, trusted);
        tracing::warn!(
            client = client.map(|client| client.ip().to_string()),
            ?origin,
            host = host.as_deref().unwrap_or("none"),
            by_https = is_https_request(parts, settings),
            allowed = allowed.join(" "),
            suppressed,
            "socket of a foreign origin refused: see public_url, allowed_origins and door.trusted_proxies"
        );
    }
    Error::ForeignOrigin
}

/// Parses an origin in the only form that browsers send (RFC 6454, section 6.2).
///
/// Other texts, which a lenient parser would convert to an origin, are rejected.
fn parse_origin(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

fn is_same_authority(origin: &Url, own: &Authority) -> bool {
    let own_port = own
        .port_u16()
        .unwrap_or(if origin.scheme() == "https" { 443 } else { 80 });
    origin
        .host_str()
        .is_some_and(|host| host.eq_ignore_ascii_case(own.host()))
        && origin.port_or_known_default() == Some(own_port)
}

/// Returns whether a trusted proxy that ends TLS set `X-Forwarded-Proto` to `https`.
fn is_https_request(parts: &Parts, settings: &Settings) -> bool {
    let is_trusted = |peer| settings.door.trusted_proxies.contains(peer);
    peer_address(&parts.extensions).is_some_and(is_trusted)
        && header_text(&parts.headers, "x-forwarded-proto")
            .and_then(|schemes| schemes.split(',').next())
            .is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// Returns the authority of an absolute request target, else the `Host` header (RFC 9112, section 3.2.2).
fn request_authority(parts: &Parts) -> Option<Authority> {
    let host = || {
        header_text(&parts.headers, header::HOST.as_str())?
            .parse()
            .ok()
    };
    parts
        .uri
        .authority()
        .cloned()
        .or_else(host)
        .filter(|authority: &Authority| !authority.as_str().contains('@'))
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
