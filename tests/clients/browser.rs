//! A headless Chromium, driven by ChromeDriver.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use fantoccini::{ClientBuilder, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::Client;
use crate::support::soon;

/// Without these it looks for its maker's hosts, and, as root or in a container, does not start.
/// It ends with the driver, whose pipe it holds.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];

pub struct Browser {
    driver: Child,
    client: fantoccini::Client,
}

impl Browser {
    pub async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (bin/test does it)");
        let port = port(&mut driver);
        let mut capabilities = Capabilities::new();
        let options = json!({ "args": FLAGS });
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let url = format!("http://127.0.0.1:{port}");
        let client = soon("Chromium", builder.connect(&url)).await.unwrap();
        Self { driver, client }
    }

    pub async fn open(&self, url: &str) {
        soon("a page", self.client.goto(url)).await.unwrap();
    }

    /// Runs a script and gives what it returns.
    pub async fn run(&self, script: &str) -> Value {
        let running = self.client.execute(script, Vec::new());
        soon("a script", running).await.unwrap()
    }

    pub async fn close(self) {
        let closing = self.client.clone().close();
        soon("Chromium to end", closing).await.unwrap();
    }
}

/// The port that the driver has chosen.
fn port(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let line = lines.find(|line| line.contains("started successfully on port"));
    let line = line.expect("ChromeDriver starts");
    let port = line.rsplit(' ').next().unwrap().trim_end_matches('.');
    port.parse().unwrap()
}

impl Client for &mut Browser {
    async fn send(&mut self, text: &str) {
        self.run(&format!("chat.send({})", json!(text))).await;
    }

    async fn events(&mut self) -> Vec<Value> {
        let told = self.run("return told").await;
        serde_json::from_value(told).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // In vain if it has ended.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
