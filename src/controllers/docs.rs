//! The API's documents, all served from the binary.

use std::sync::{Arc, LazyLock};

use axum::{
    Json,
    extract::Path,
    http::{HeaderName, header},
    response::{Html, IntoResponse, Response},
};
use loco_rs::{controller::Routes, prelude::get};
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::{asyncapi, openapi};
use crate::{
    errors::{Error, Result},
    views::reference,
};

const DOCUMENT_PATH: &str = "/api-docs/openapi.json";

const SOCKETS_PATH: &str = "/api-docs/asyncapi.json";

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(openapi::document);

static SOCKETS: LazyLock<Value> = LazyLock::new(asyncapi::document);

static REFERENCE: LazyLock<Result<String, String>> =
    LazyLock::new(|| reference::page(&SOCKETS).map_err(|error| error.to_string()));

/// What a page that is only read may load: its style sheet, its empty icon, and from the console of
/// whoever looks into it, the API.
const READ_ONLY: &str = "default-src 'none'; style-src 'self'; img-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What Swagger UI needs: its own files, the images in its style sheet, the API to try it out, and the
/// one style sheet that it has inline, that of its logo.
const SWAGGER: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; \
     img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Files change with the server alone, and are the same for everybody.
const FOR_AN_HOUR: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=3600");

/// A page, and what a browser may load for it.
type Page = ([(HeaderName, &'static str); 1], Html<&'static str>);

fn page(policy: &'static str, html: &'static str) -> Page {
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(html))
}

/// Swagger UI over the OpenAPI document.
pub async fn swagger() -> Page {
    page(SWAGGER, include_str!("../../assets/views/swagger.html"))
}

/// A file of Swagger UI.
pub async fn swagger_file(Path(file): Path<String>) -> Result<Response> {
    let config = Arc::new(Config::from(DOCUMENT_PATH).persist_authorization(true));
    let file = utoipa_swagger_ui::serve(&file, config)
        .map_err(|error| Error::Internal(error.to_string().into()))?
        .ok_or(Error::NotFound)?;
    Ok((
        [
            (header::CONTENT_TYPE, file.content_type.as_str()),
            FOR_AN_HOUR,
        ],
        file.bytes.into_owned(),
    )
        .into_response())
}

/// The OpenAPI document.
pub async fn document() -> Json<&'static OpenApi> {
    Json(&DOCUMENT)
}

/// The AsyncAPI document, of the sockets.
pub async fn sockets() -> Json<&'static Value> {
    Json(&SOCKETS)
}

/// The same for people.
pub async fn sockets_page() -> Result<Page> {
    match &*REFERENCE {
        Ok(html) => Ok(page(READ_ONLY, html)),
        Err(error) => Err(Error::Internal(error.as_str().into())),
    }
}

pub fn routes() -> Routes {
    Routes::new()
        .add("/swagger", get(swagger))
        .add("/swagger/{file}", get(swagger_file))
        .add(DOCUMENT_PATH, get(document))
        .add(SOCKETS_PATH, get(sockets))
        .add("/api-docs", get(sockets_page))
}
