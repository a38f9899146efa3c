//! The first page and the API's documents, all served from the binary.

use std::sync::{Arc, LazyLock};

use axum::{
    Json,
    extract::Path,
    http::header,
    response::{Html, IntoResponse},
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

/// The first page.
pub async fn index() -> Html<&'static str> {
    Html(include_str!("../../assets/pages/index.html"))
}

/// Swagger UI over the OpenAPI document.
pub async fn swagger() -> Html<&'static str> {
    Html(include_str!("../../assets/pages/swagger.html"))
}

/// A file of Swagger UI.
pub async fn swagger_file(Path(file): Path<String>) -> Result<impl IntoResponse> {
    let config = Arc::new(Config::from(DOCUMENT_PATH).persist_authorization(true));
    let file = utoipa_swagger_ui::serve(&file, config)
        .map_err(|error| Error::Internal(error.to_string().into()))?
        .ok_or(Error::NotFound)?;
    Ok((
        [(header::CONTENT_TYPE, file.content_type)],
        file.bytes.into_owned(),
    ))
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
pub async fn sockets_page() -> Result<Html<&'static str>> {
    match &*REFERENCE {
        Ok(page) => Ok(Html(page)),
        Err(error) => Err(Error::Internal(error.as_str().into())),
    }
}

pub fn routes() -> Routes {
    Routes::new()
        .add("/", get(index))
        .add("/swagger", get(swagger))
        .add("/swagger/{file}", get(swagger_file))
        .add(DOCUMENT_PATH, get(document))
        .add(SOCKETS_PATH, get(sockets))
        .add("/api-docs", get(sockets_page))
}
