//! A running Python program.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use super::SampleClient;
use crate::support::wait_until;

pub struct PythonClient {
    process: Child,
    input: ChildStdin,
    /// The printed JSON values, one in each line.
    output: Arc<Mutex<Vec<Value>>>,
}

impl PythonClient {
    pub fn start(code: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(find_interpreter())
            .args(["-c", code])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let values = output.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap();
                values.lock().unwrap().push(value);
            }
        });
        Self {
            input: process.stdin.take().unwrap(),
            process,
            output,
        }
    }

    /// Waits until the program ends. Returns whether it reported an error.
    pub async fn exited_with_error(mut self) -> bool {
        wait_until("the program to end", async || {
            self.process.try_wait().unwrap().is_some()
        })
        .await;
        !self.process.wait().unwrap().success()
    }
}

/// Returns the first interpreter that has `websockets`. bin/test installs one.
fn find_interpreter() -> PathBuf {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [own].into_iter().chain(env::split_paths(&path));
    let mut interpreters = folders
        .chain(["/usr/bin".into()])
        .map(|folder| folder.join("python3"));
    let works = |python: &PathBuf| {
        let mut check = Command::new(python);
        check.args(["-c", "import websockets"]);
        let status = check.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    interpreters
        .find(works)
        .expect("a python3 has websockets (bin/test installs it)")
}

impl SampleClient for PythonClient {
    async fn send(&mut self, text: &str) {
        writeln!(self.input, "{text}").unwrap();
    }

    async fn events(&mut self) -> Vec<Value> {
        let ended = self.process.try_wait().unwrap();
        assert!(ended.is_none(), "the client ended: {ended:?}");
        self.output.lock().unwrap().clone()
    }
}

impl Drop for PythonClient {
    fn drop(&mut self) {
        // Fails if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
