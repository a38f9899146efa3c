//! The documents of the API and their pages, all served from the binary.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use loco_rs::{
    controller::{Routes, extractor::shared_store::SharedStore},
    prelude::get,
};
use serde_json::Value;
use swagger_ui_dist::{ApiDefinition, OpenApiSource, generate_routes};
use tokio::sync::OnceCell;
use tower::ServiceExt;
use tower_http::{services::ServeDir, set_header::SetResponseHeader};
use utoipa::openapi::OpenApi;

use super::{asyncapi, extractors::PublicBase, openapi};
use crate::{
    assets::{SharedBytes, StaticFile},
    errors::{Error, Result},
    settings::Settings,
    views::reference,
};

const OPENAPI_PATH: &str = "/api-docs/openapi.json";

const ASYNCAPI_PATH: &str = "/api-docs/asyncapi.json";

/// The folder of the website that `bin/docs` builds from the documents.
const BOOK_FOLDER: &str = "target/docs";

/// The policy of that website: mdBook writes scripts and styles into its pages.
const BOOK_POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The highest number of server addresses for which the document is cached.
///
/// A server has one or two addresses, but a client may send any `Host`.
const MAX_OPENAPI_FILES: usize = 8;

/// The OpenAPI document that the server serves.
///
/// The shared store has one. An application on top of Salam replaces it by a document with its own endpoints.
#[derive(Default)]
pub struct OpenApiDocument {
    added: OpenApi,
    /// The files, by the address of the server that each file names.
    files: Mutex<HashMap<String, StaticFile>>,
}

impl OpenApiDocument {
    /// Returns the document of Salam with the endpoints, types and tags of `added`.
    #[must_use]
    pub fn extended_by(added: OpenApi) -> Self {
        Self {
            added,
            ..Self::default()
        }
    }

    /// Returns the file for clients that reach the server at this address.
    ///
    /// # Errors
    /// When the document cannot be written as JSON.
    fn file(&self, server: String) -> Result<StaticFile> {
        let files = || self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files().get(&server) {
            return Ok(file.clone());
        }
        let document = openapi::document(&server, self.added.clone());
        let file = json_file(&document.map_err(|error| Error::Internal(error.into()))?);
        let mut files = files();
        if files.len() >= MAX_OPENAPI_FILES {
            files.clear();
        }
        files.insert(server, file.clone());
        Ok(file)
    }
}

static ASYNCAPI_DOCUMENT: LazyLock<Value> = LazyLock::new(asyncapi::document);

static ASYNCAPI_FILE: LazyLock<StaticFile> =
    LazyLock::new(|| json_file(&asyncapi::for_clients(&ASYNCAPI_DOCUMENT)));

/// The files of Swagger UI that its page loads.
const SWAGGER_FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

static REFERENCE_PAGE: LazyLock<Result<String, String>> =
    LazyLock::new(|| reference::render_page(&ASYNCAPI_DOCUMENT).map_err(|error| error.to_string()));

/// The policy of a page without scripts: its style sheet, its empty icon, and the API, which a developer can call
/// from the console.
const REFERENCE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The policy of Swagger UI: its own files, the images in its style sheet, and the API to try out.
const SWAGGER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The caching of files that change only with the server, and are the same for all clients.
const CACHE_FOR_AN_HOUR: &str = "public, max-age=3600";

/// The caching of documents, which may change with the next version of the server.
const ALWAYS_REVALIDATE: &str = "no-cache";

/// A page, and the policy for its browser.
type PageResponse = (
    Extension<SharedBytes>,
    [(HeaderName, &'static str); 1],
    Html<&'static str>,
);

fn page_response(policy: &'static str, html: &'static str) -> PageResponse {
    let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
    (Extension(SharedBytes), policy, Html(html))
}

fn json_file(document: &impl serde::Serialize) -> StaticFile {
    // The keys of a document are strings, so serde_json cannot fail.
    let json = serde_json::to_vec(document).unwrap_or_default();
    StaticFile::from_bytes("document.json", json.into())
}

/// The page of Swagger UI for the OpenAPI document.
pub async fn swagger_page() -> PageResponse {
    page_response(
        SWAGGER_POLICY,
        include_str!("../../assets/views/swagger.html"),
    )
}

/// A file of Swagger UI, or the script that starts it.
pub async fn swagger_file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response> {
    static FILES: OnceCell<Vec<(&str, StaticFile)>> = OnceCell::const_new();
    let files = FILES.get_or_try_init(load_swagger_files).await?;
    let file = match files.iter().find(|(file_name, _)| *file_name == name) {
        Some((_, file)) => file.clone(),
        None if name == "swagger-initializer.js" => {
            StaticFile::find("swagger-initializer.js", false).ok_or(Error::NotFound)?
        }
        None => return Err(Error::NotFound),
    };
    Ok(file.respond(&headers, CACHE_FOR_AN_HOUR))
}

/// Reads the files by the routes of the crate that embeds them.
async fn load_swagger_files() -> Result<Vec<(&'static str, StaticFile)>> {
    let routes: Router = generate_routes(ApiDefinition {
        uri_prefix: "/swagger",
        api_definition: OpenApiSource::Uri(OPENAPI_PATH),
        title: None,
    });
    let mut files = Vec::new();
    for name in SWAGGER_FILES {
        let request = Request::get(format!("/swagger/{name}"))
            .body(Body::empty())
            .map_err(|error| Error::Internal(error.into()))?;
        let Ok(response) = routes.clone().oneshot(request).await;
        // The body is one part of the binary, so no bytes are copied.
        let bytes: Bytes = to_bytes(response.into_body(), usize::MAX)
            .await
            .map_err(|error| Error::Internal(error.into()))?;
        files.push((name, StaticFile::from_bytes(name, bytes)));
    }
    Ok(files)
}

/// The OpenAPI document, with the address that the client used for the server.
pub async fn openapi_document(
    SharedStore(document): SharedStore<Arc<OpenApiDocument>>,
    base: PublicBase,
    headers: HeaderMap,
) -> Result<Response> {
    let file = document.file(base.http_base_url())?;
    Ok(file.respond(&headers, ALWAYS_REVALIDATE))
}

/// The AsyncAPI document of the sockets.
pub async fn asyncapi_document(headers: HeaderMap) -> Response {
    ASYNCAPI_FILE.respond(&headers, ALWAYS_REVALIDATE)
}

/// The AsyncAPI document as a page for people.
pub async fn asyncapi_page() -> Result<PageResponse> {
    match &*REFERENCE_PAGE {
        Ok(html) => Ok(page_response(REFERENCE_POLICY, html)),
        Err(error) => Err(Error::Internal(error.as_str().into())),
    }
}

/// The routes, unless the settings switch the documents off.
pub fn routes(settings: Option<&Settings>) -> Routes {
    if settings.is_some_and(|settings| !settings.api_docs) {
        return Routes::new();
    }
    Routes::new()
        .add("/swagger", get(swagger_page))
        .add("/swagger/{file}", get(swagger_file))
        .add(OPENAPI_PATH, get(openapi_document))
        .add(ASYNCAPI_PATH, get(asyncapi_document))
        .add("/api-docs", get(asyncapi_page))
}

/// Adds the website of the documents at `/docs/`, for a server of development.
pub fn add_book(router: Router) -> Router {
    let files = ServeDir::new(BOOK_FOLDER).fallback(get(book_page_missing));
    let policy = SetResponseHeader::if_not_present(
        files,
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(BOOK_POLICY),
    );
    router.nest_service("/docs", policy)
}

async fn book_page_missing() -> Response {
    if std::path::Path::new(BOOK_FOLDER).exists() {
        return Error::NotFound.into_response();
    }
    // With an error status, this response would become JSON.
    "The website of the documents is not built. Run `bin/docs`, and load this page again.\n"
        .into_response()
}
