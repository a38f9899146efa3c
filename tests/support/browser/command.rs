//! Commands of ChromeDriver beyond those of WebDriver.

use axum::http::Method;
use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use url::{ParseError, Url};

/// Something to be asked of the session, at a path below it.
#[derive(Debug)]
pub struct DriverCommand {
    path: &'static str,
    body: Value,
}

impl DriverCommand {
    /// A method of the Chrome DevTools Protocol.
    pub fn devtools(method: &str, params: &Value) -> Self {
        Self {
            path: "goog/cdp/execute",
            body: json!({"cmd": method, "params": params}),
        }
    }

    /// What the console was told since it was asked last.
    pub fn console_log() -> Self {
        Self {
            path: "se/log",
            body: json!({"type": "browser"}),
        }
    }
}

impl WebDriverCompatibleCommand for DriverCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
