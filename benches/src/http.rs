//! A minimal HTTP client that prepares measurements: one connection, one request after the other.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::Result;

/// The longest wait for a response.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A client with one connection, which is kept open.
pub struct HttpClient(BufReader<TcpStream>);

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

impl HttpClient {
    /// Connects to a server on this machine.
    ///
    /// # Errors
    /// When no server listens on the port.
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn get(&mut self, path: &str, token: Option<&str>) -> Result<Response> {
        self.send_request("GET", path, token, "")
    }

    /// Sends a POST request with a JSON body.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn post(&mut self, path: &str, token: Option<&str>, body: &Value) -> Result<Response> {
        self.send_request("POST", path, token, &body.to_string())
    }

    fn send_request(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        if let Some(token) = token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        if !body.is_empty() {
            head += "Content-Type: application/json\r\n";
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        // One write for the whole request: a second write would wait for the acknowledgement of the
        // first.
        let request = format!("{head}\r\n{body}");
        self.0.get_mut().write_all(request.as_bytes())?;
        self.read_response()
    }

    fn read_response(&mut self) -> Result<Response> {
        let status = self.read_line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut length = 0;
        loop {
            let line = self.read_line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Response {
            status: status.ok_or("not an HTTP response")?,
            body,
        })
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err("the server has closed the connection".into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Response {
    /// Returns the JSON body of a response with the expected status.
    ///
    /// # Errors
    /// When the response has another status or is not JSON.
    pub fn expect(&self, status: u16) -> Result<Value> {
        if self.status != status {
            let body = String::from_utf8_lossy(&self.body);
            return Err(format!("{} instead of {status}: {body}", self.status).into());
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// Returns a text field of a JSON object.
///
/// # Errors
/// When the field is missing.
pub fn text_field(body: &Value, name: &str) -> Result<String> {
    let text = body.get(name).and_then(Value::as_str);
    Ok(text
        .ok_or_else(|| format!("no {name} in {body}"))?
        .to_owned())
}
