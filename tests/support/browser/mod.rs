//! A headless Chromium, driven by ChromeDriver.

mod actions;
mod command;
mod device;
mod tabs;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use fantoccini::{ClientBuilder, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use self::command::DriverCommand;
pub use self::device::Device;
use super::with_timeout;

pub struct Browser {
    driver: Child,
    client: fantoccini::Client,
}

impl Browser {
    pub async fn start() -> Self {
        Device::desktop().open().await
    }

    /// Starts a browser with options of ChromeDriver.
    async fn launch(options: Value) -> Self {
        let (driver, port) = start_driver();
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let all = json!({"browser": "ALL"});
        capabilities.insert("goog:loggingPrefs".to_owned(), all);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let url = format!("http://127.0.0.1:{port}");
        let client = with_timeout("Chromium", builder.connect(&url))
            .await
            .unwrap();
        Self { driver, client }
    }

    pub async fn open(&self, url: &str) {
        with_timeout("a page", self.client.goto(url)).await.unwrap();
    }

    pub async fn reload(&self) {
        with_timeout("the page again", self.client.refresh())
            .await
            .unwrap();
    }

    /// Runs a script. Returns its result.
    pub async fn run(&self, script: &str) -> Value {
        self.run_with(script, &[]).await
    }

    /// Runs a script with arguments. Returns its result.
    pub async fn run_with(&self, script: &str, arguments: &[Value]) -> Value {
        let running = self.client.execute(script, arguments.to_vec());
        with_timeout("a script", running).await.unwrap()
    }

    /// Sends a DevTools command to Chromium.
    pub async fn devtools(&self, method: &str, params: Value) -> Value {
        let command = DriverCommand::devtools(method, &params);
        with_timeout(method, self.client.issue_cmd(command))
            .await
            .unwrap()
    }

    /// Returns the CSP violations since the page was opened.
    pub async fn csp_violations(&self) -> Value {
        self.run(
            "window.told ??= []; \
             window.observer ??= new ReportingObserver(more => told.push(...more), \
                 {types: ['csp-violation'], buffered: true}); \
             observer.observe(); told.push(...observer.takeRecords()); \
             return told.map(report => [report.body.effectiveDirective, report.body.blockedURL])",
        )
        .await
    }

    /// Returns the errors of scripts and the CSP violations since the last call. Leaves out failed
    /// requests, which the page itself reports.
    pub async fn console_errors(&self) -> Vec<String> {
        let messages = with_timeout(
            "the console",
            self.client.issue_cmd(DriverCommand::console_log()),
        );
        let messages: Vec<Value> = serde_json::from_value(messages.await.unwrap()).unwrap();
        let is_fault = |entry: &&Value| {
            let message = entry["message"].as_str().unwrap();
            let is_network =
                entry["source"] == "network" || message.contains("WebSocket connection");
            entry["level"] == "SEVERE" && !is_network
        };
        let faults = messages.iter().filter(is_fault);
        faults.map(ToString::to_string).collect()
    }

    /// Returns a screenshot of the visible tab, as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        with_timeout("a picture", self.client.screenshot())
            .await
            .unwrap()
    }

    pub async fn close(self) {
        let closing = self.client.clone().close();
        with_timeout("Chromium to end", closing).await.unwrap();
    }
}

/// The number of attempts to start ChromeDriver.
const DRIVER_ATTEMPTS: usize = 5;

/// Starts ChromeDriver, and returns the port that it has chosen.
///
/// ChromeDriver takes a free port of IPv6, and ends if another program uses the same port of IPv4.
fn start_driver() -> (Child, u16) {
    let attempt = || {
        let mut driver = std::process::Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (bin/test does it)");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let Some(line) = lines.find(|line| line.contains("started successfully on port")) else {
            // The process has closed its output, so it ends.
            let _ = driver.wait();
            return None;
        };
        let port = line.rsplit(' ').next().unwrap().trim_end_matches('.');
        Some((driver, port.parse().unwrap()))
    };
    let mut attempts = (0..DRIVER_ATTEMPTS).map(|_| attempt());
    attempts
        .find_map(|started| started)
        .expect("ChromeDriver starts")
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Fails if the process has ended already.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
