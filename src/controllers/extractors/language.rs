//! In which language somebody is answered.

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

/// The parameter of the query, and the cookie that remembers it.
const LANG_PARAM: &str = "lang";

const COOKIE_LIFETIME: Duration = Duration::days(365);

/// The language that the query chooses by `lang`, else the one that it chose last (a cookie), else
/// what the browser wants most of those that there are. One that there is not counts for nothing.
pub struct Language {
    tag: String,
    is_chosen: bool,
}

impl Language {
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Has the browser remember what was just chosen.
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
        // A page is no place to complain of a query.
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

/// What the browser wants; several such headers are as good as one (RFC 9110, section 5.3).
fn accept_language(parts: &Parts) -> String {
    let headers = parts.headers.get_all(header::ACCEPT_LANGUAGE).iter();
    let wishes: Vec<_> = headers.filter_map(|wish| wish.to_str().ok()).collect();
    wishes.join(",")
}
