//! HTTP requests whose answers may be anything.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, header::HeaderMap, redirect::Policy};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    connection::Connector,
    text::{foreign, root_cause},
};

/// The bytes of an answer that are read. Each answer of the API to this command is shorter.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The time after which an idle connection is not used again. Salam closes one after 5 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// The name of this program, which the list of sessions shows.
const USER_AGENT: &str = concat!("salam-doctor/", env!("CARGO_PKG_VERSION"));

/// A client of the deployment.
pub struct Http {
    client: Client,
    connector: Connector,
}

/// An answer. Its body is cut after [`MAX_BODY_BYTES`].
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Http {
    /// Makes a client that connects to the addresses of a connector, and follows no redirect.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(connector: &Connector) -> Result<Self, String> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            // A proxy of this machine would hide the deployment.
            .no_proxy()
            .pool_idle_timeout(IDLE_TIMEOUT)
            .connect_timeout(connector.limit)
            .resolve_to_addrs(connector.target.host(), &connector.addresses);
        if let Some(tls) = &connector.tls {
            builder = builder.use_preconfigured_tls(tls.config.as_ref().clone());
        }
        Ok(Self {
            client: builder.build().map_err(|error| root_cause(&error))?,
            connector: connector.clone(),
        })
    }

    /// Begins a request for a path of the deployment.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_url(method, &self.connector.target.url_of(path))
    }

    /// Begins a request for a URL.
    pub fn request_url(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Begins a `POST` with a body in JSON.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        with_json(self.request(Method::POST, path), body)
    }

    /// Sends a request, and reads the answer.
    ///
    /// # Errors
    /// A text that describes why the request has no answer.
    pub async fn fetch(&self, request: RequestBuilder) -> Result<Reply, String> {
        let limit = self.connector.limit;
        timeout(limit, read_reply(request))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }
}

/// Adds a body in JSON to a request.
pub fn with_json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request
        .header("content-type", "application/json")
        .body(body.to_string())
}

async fn read_reply(request: RequestBuilder) -> Result<Reply, String> {
    let describe = |error: reqwest::Error| format!("no answer: {}", root_cause(&error));
    let mut response = request.send().await.map_err(describe)?;
    let mut body = Vec::new();
    // A body that breaks off is judged by its beginning.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_BODY_BYTES {
            body.truncate(MAX_BODY_BYTES);
            break;
        }
    }
    Ok(Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

impl Reply {
    /// Returns the body as JSON; `null` for other bodies.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Returns a text of the body's object.
    pub fn field(&self, name: &str) -> Option<String> {
        Some(self.json().get(name)?.as_str()?.to_owned())
    }

    /// Returns the text of a header. Several values are joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Returns whether the answer is an error of Salam, and not of a proxy.
    pub fn is_api_error(&self) -> bool {
        self.status >= 400 && (self.field("detail").is_some() || self.field("error").is_some())
    }

    /// Describes the answer in a few words, such as `429 "Too many requests."`.
    pub fn summary(&self) -> String {
        let status = self.status;
        let text = self.field("detail").or_else(|| self.field("error"));
        if let Some(text) = text {
            return format!("{status} \"{}\"", foreign(&text));
        }
        if let Some(location) = self.header("location") {
            return format!("{status}, a redirect to {}", foreign(&location));
        }
        let kind = self.header("content-type");
        match kind {
            Some(kind) => format!("{status} ({})", foreign(&kind)),
            None => status.to_string(),
        }
    }
}
