//! A client in a page, which stores the client as `chat` and its events as `received`.

use serde_json::{Value, json};

use super::SampleClient;
use crate::support::Browser;

impl SampleClient for &mut Browser {
    async fn send(&mut self, text: &str) {
        self.run(&format!("chat.send({})", json!(text))).await;
    }

    async fn events(&mut self) -> Vec<Value> {
        let received = self.run("return received").await;
        serde_json::from_value(received).unwrap()
    }
}
