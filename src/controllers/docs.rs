//! The first page and the API's documents, all served from the binary.

use std::sync::{Arc, LazyLock};

use axum::{
    Json,
    extract::Path,
    http::header,
    response::{Html, IntoResponse},
};
use loco_rs::{controller::Routes, prelude::get};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::openapi;
use crate::errors::{Error, Result};

const DOCUMENT_PATH: &str = "/api-docs/openapi.json";

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(openapi::document);

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

pub fn routes() -> Routes {
    Routes::new()
        .add("/", get(index))
        .add("/swagger", get(swagger))
        .add("/swagger/{file}", get(swagger_file))
        .add(DOCUMENT_PATH, get(document))
}
