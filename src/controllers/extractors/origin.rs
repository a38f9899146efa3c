//! By which address a client reached the server, and from which page.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts, uri::Authority},
};
use loco_rs::app::AppContext;
use url::Url;

use super::client::peer_address;
use crate::{
    errors::{Error, Result},
    limits::LogThrottle,
    settings::Settings,
};

/// Scheme and host by which clients reach the server: the configured public URL, else what the
/// request says. A proxy of `settings.door.trusted_proxies` that ends TLS says so by
/// `X-Forwarded-Proto`, and passes on the `Host`: there is no believing `X-Forwarded-Host`.
pub struct PublicBase {
    https: bool,
    authority: String,
}

impl PublicBase {
    /// Such as `wss://chat.example`.
    #[must_use]
    pub fn ws_base_url(&self) -> String {
        let scheme = if self.https { "wss" } else { "ws" };
        format!("{scheme}://{}", self.authority)
    }

    /// Such as `https://chat.example`.
    #[must_use]
    pub fn http_base_url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

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

/// Proof that a socket is not opened by a page of somebody else, with the cookie of whoever looks
/// at it (cross-site WebSocket hijacking): there is no `Origin`, as programs send none, or it is
/// the server's own, that of the public URL, or one of the settings. `null` is nobody's.
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
        let mut listed = settings.allowed_origins.iter().chain(&settings.public_url);
        // By its public name the server is reached in the scheme of the public URL alone.
        let public_host = settings.public_url.as_ref().and_then(Url::host_str);
        let own = request_authority(parts).filter(|own| {
            !public_host.is_some_and(|public| public.eq_ignore_ascii_case(own.host()))
        });
        // A plain page of the same name may be anybody's who sits between.
        let safe_scheme = origin.scheme() == "https" || !is_https_request(parts, &settings);
        let allowed = listed.any(|url| url.origin() == origin.origin())
            || own.is_some_and(|own| safe_scheme && is_same_authority(&origin, &own));
        // A browser sends one Origin; more are an attempt to be misread.
        if allowed && origins.next().is_none() {
            Ok(Self)
        } else {
            let origin = origin.origin().ascii_serialization();
            let origin = HeaderValue::try_from(origin).unwrap_or(HeaderValue::from_static("?"));
            Err(reject_origin(&origin, parts, &settings))
        }
    }
}

/// Returns the refusal of a foreign origin, and logs what came and what was expected, at most once in 10 s: the
/// client may not see it, and an operator who forgot a setting must.
fn reject_origin(origin: &HeaderValue, parts: &Parts, settings: &Settings) -> Error {
    static THROTTLE: LogThrottle = LogThrottle::new();
    if let Some(suppressed) = THROTTLE.allow() {
        let listed = settings.allowed_origins.iter().chain(&settings.public_url);
        let listed: Vec<_> = listed
            .map(|url| url.origin().ascii_serialization())
            .collect();
        let host = request_authority(parts).map(|own| own.to_string());
        tracing::warn!(
            ?origin,
            host = host.as_deref().unwrap_or("none"),
            by_https = is_https_request(parts, settings),
            allowed = listed.join(" "),
            suppressed,
            "socket of a foreign origin refused: see public_url, allowed_origins and door.trusted_proxies"
        );
    }
    Error::ForeignOrigin
}

/// An origin in the one form in which browsers send it (RFC 6454, section 6.2); nothing that a
/// lenient parser would merely turn into one.
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

/// Whether a proxy that ends TLS says so, and is one of ours.
fn is_https_request(parts: &Parts, settings: &Settings) -> bool {
    let is_ours = |peer| settings.door.trusted_proxies.contains(peer);
    peer_address(&parts.extensions).is_some_and(is_ours)
        && header_text(&parts.headers, "x-forwarded-proto")
            .and_then(|schemes| schemes.split(',').next())
            .is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// The authority of an absolute request target, else the `Host` header (RFC 9112, section 3.2.2).
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
