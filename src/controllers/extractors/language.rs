//! The language of a page.

use axum::{RequestPartsExt, extract::FromRequestParts, http::header, http::request::Parts};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use loco_rs::{app::AppContext, controller::views::ViewEngine};
use time::Duration;

use super::{PublicBase, QueryParams};
use crate::{
    errors::{Error, Result},
    views::{pages::PageEngine, texts::Texts},
};

/// The name of the parameter of the query, and of the cookie that stores the choice.
const LANG_PARAM: &str = "lang";

/// The lifetime of that cookie.
const COOKIE_LIFETIME: Duration = Duration::days(365);

/// The language of `lang` in the query, else the last chosen language (a cookie), else the browser's most preferred
/// language that the pages support.
///
/// A language that the pages do not support is ignored.
pub struct Language {
    tag: String,
    is_chosen: bool,
}

impl Language {
    /// Returns the tag of the language.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Returns the cookie that stores the language, if the query chose it.
    pub fn cookie(&self, base: &PublicBase) -> CookieJar {
        if !self.is_chosen {
            return CookieJar::new();
        }
        let cookie = Cookie::build((LANG_PARAM, self.tag.clone()))
            .path("/")
            .same_site(SameSite::Lax)
            .max_age(COOKIE_LIFETIME)
            .secure(base.is_https());
        CookieJar::new().add(cookie)
    }
}

impl FromRequestParts<AppContext> for Language {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &AppContext) -> Result<Self> {
        let ViewEngine(pages) = parts.extract::<ViewEngine<PageEngine>>().await?;
        let texts = pages.texts();
        // An invalid query must not make a page fail.
        let params = parts.extract::<QueryParams>().await.ok();
        let chosen = params.and_then(|params| supported_tag(texts, params.text(LANG_PARAM).ok()??));
        let is_chosen = chosen.is_some();
        let tag = chosen
            .or_else(|| {
                supported_tag(
                    texts,
                    CookieJar::from_headers(&parts.headers)
                        .get(LANG_PARAM)?
                        .value(),
                )
            })
            .unwrap_or_else(|| texts.negotiate(&accept_language(parts)).tag.clone());
        Ok(Self { tag, is_chosen })
    }
}

fn supported_tag(texts: &Texts, tag: &str) -> Option<String> {
    texts.language(tag).map(|language| language.tag.clone())
}

/// Returns the preferences of the browser. Several such headers count as one (RFC 9110, section 5.3).
fn accept_language(parts: &Parts) -> String {
    let headers = parts.headers.get_all(header::ACCEPT_LANGUAGE).iter();
    let values: Vec<_> = headers.filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}
