//! `salam-cli doctor <url>`: a deployment from outside, with and without a proxy, and with wrong proxies.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Command, Stdio},
};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::command::CommandRun;
use crate::support::{
    Certificates, Proxy, ProxyKind, Server, TestApp, TestDatabase, with_timeout,
};

/// The idle time of the checks that test the idle socket.
const IDLE: [&str; 2] = ["--idle-seconds", "1"];

#[tokio::test]
async fn doctor_checks_a_server_without_a_proxy() {
    let app = TestApp::start().await;
    let run = run_doctor(&app.url(""), &IDLE, &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert_snapshot!(redacted(&run.output), @"");
}

#[tokio::test]
async fn doctor_passes_behind_the_documented_nginx() {
    let deployment = Deployment::start_documented(ProxyKind::Nginx).await;
    let run = deployment.check(&IDLE).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert_snapshot!(redacted(&run.output), @"");
}

#[tokio::test]
async fn doctor_passes_behind_the_documented_caddy() {
    let deployment = Deployment::start_documented(ProxyKind::Caddy).await;
    let run = deployment.check(&IDLE).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert_snapshot!(redacted(&run.output), @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_without_upgrades() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        without(config, "proxy_set_header Upgrade $http_upgrade;")
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_buffers_streams() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let buffering = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;";
        replaced(config, "proxy_buffering off;", buffering)
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_hides_https() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        without(config, "proxy_set_header X-Forwarded-Proto $scheme;")
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_hides_the_host() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        without(config, "proxy_set_header Host $http_host;")
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_with_another_host() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let other = "proxy_set_header Host backend.example;";
        replaced(config, "proxy_set_header Host $http_host;", other)
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_believes_clients() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        without(config, "proxy_set_header X-Forwarded-For $remote_addr;")
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_hides_the_origin() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let more = "proxy_http_version 1.1; proxy_set_header Origin \"\";";
        replaced(config, "proxy_http_version 1.1;", more)
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_removes_the_cookie() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let more = "proxy_http_version 1.1; proxy_hide_header Set-Cookie;";
        replaced(config, "proxy_http_version 1.1;", more)
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_with_a_low_limit_of_bodies() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        replaced(config, "client_max_body_size 128k;", "client_max_body_size 32k;")
    });
    assert_snapshot!(faults.await, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_closes_silent_sockets() {
    let faults = faults_behind_nginx(&["--idle-seconds", "20"], |config| {
        let location = "location = /ws/ { proxy_pass http://127.0.0.1:8000; proxy_read_timeout 1s; }";
        let backend = config
            .split("proxy_pass ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .unwrap();
        let location = location.replace("http://127.0.0.1:8000", backend);
        let line = "proxy_send_timeout 60s;";
        replaced(config.clone(), line, &format!("{line}\n{location}"))
    });
    let faults = faults.await;
    let faults = faults.replace("after 1 s", "after [n] s").replace("after 2 s", "after [n] s");
    assert_snapshot!(faults, @"");
}

#[tokio::test]
async fn doctor_finds_a_proxy_without_a_server() {
    let mut deployment = Deployment::start_documented(ProxyKind::Nginx).await;
    deployment.server.kill();
    let run = deployment.check(&[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(faults_of(&run), @"");
}

#[tokio::test]
async fn doctor_explains_untrusted_certificates() {
    let expired = Certificates::generate_expired();
    let other_name = Certificates::generate_for("subjectAltName=DNS:other.example");
    let mut lines = String::new();
    for certificates in [expired, other_name] {
        let deployment = Deployment::start(ProxyKind::Nginx, certificates, |config| config).await;
        let run = deployment.check(&[]).await;
        assert_eq!(run.code, Some(1), "{}", run.output);
        lines += &faults_of(&run);
    }
    let deployment = Deployment::start_documented(ProxyKind::Nginx).await;
    let proxy = &deployment.proxy;
    let run = run_doctor(&proxy.url(), &["--address", "127.0.0.1"], &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    lines += &faults_of(&run);
    // The port for http redirects, and does not speak TLS.
    let plain = format!("chat.example:{}", proxy.plain_port);
    for url in [format!("https://{plain}"), format!("http://{plain}")] {
        let run = run_doctor(&url, &["--address", "127.0.0.1"], &[]).await;
        assert_eq!(run.code, Some(1), "{}", run.output);
        lines += &faults_of(&run);
    }
    assert_snapshot!(lines, @"");
}

#[tokio::test]
async fn doctor_uses_a_given_account_and_leaves_it_clean() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{}\n", TestApp::password_of("ann"))).unwrap();
    let options = [
        "--no-idle",
        "--username",
        "ann",
        "--password-file",
        file.to_str().unwrap(),
    ];
    let run = run_doctor(&app.url(""), &options, &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    let lines = ["registration", "login", "client address", "clean-up"].map(|name| line_of(&run, name));
    assert_snapshot!(lines.join("\n"), @"");
    let groups = ann.get("/api/groups/").await.json();
    assert_eq!(groups["results"], json!([]));
    let sessions = ann.get("/api/sessions/").await.json();
    assert_eq!(sessions["results"].as_array().unwrap().len(), 1);

    let password = TestApp::password_of("ann");
    let variables = [("SALAM_DOCTOR_PASSWORD", password.as_str())];
    let options = ["--no-idle", "--username", "ann"];
    let run = run_doctor(&app.url(""), &options, &variables).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    let wrong = [("SALAM_DOCTOR_PASSWORD", "not the password")];
    let run = run_doctor(&app.url(""), &options, &wrong).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(faults_of(&run), @"");
    let run = run_doctor(&app.url(""), &options, &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(run.output, @"");
}

#[tokio::test]
async fn doctor_reports_a_refused_registration() {
    let app = TestApp::with_settings(json!({"limits": {"registrations_per_hour": 1}})).await;
    app.user("ann").await;
    let run = run_doctor(&app.url(""), &["--no-idle"], &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(faults_of(&run), @"");
    assert!(
        line_of(&run, "login").contains("was not checked: see registration"),
        "{}",
        run.output
    );
}

#[tokio::test]
async fn doctor_prints_one_json_object() {
    let app = TestApp::start().await;
    let run = run_doctor(&app.url(""), &["--no-idle", "--json"], &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    let report: Value = serde_json::from_str(&run.output).unwrap();
    assert_eq!(report["passed"], true);
    assert_eq!(report["url"], app.url(""));
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 24);
    let of = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(of("/_readiness")["status"], "passed");
    assert_eq!(of("idle socket")["status"], "skipped");
    let remedy = of("clean-up")["remedy"].as_str().unwrap();
    assert!(remedy.contains("task user:deactivate username:doctor-"), "{remedy}");
}

/// An interrupted command still deletes its group and ends its sessions.
#[tokio::test]
async fn doctor_cleans_up_after_an_interrupt() {
    let app = TestApp::start().await;
    let url = app.url("");
    let running = tokio::task::spawn_blocking(move || {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_salam-cli"))
            .args(["doctor", &url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(doctor.stdout.take().unwrap()).lines();
        let mut lines = lines.by_ref().map(Result::unwrap);
        lines.find(|line| line.contains("client address")).unwrap();
        let pid = doctor.id().to_string();
        let status = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(status.success());
        let rest: Vec<_> = lines.collect();
        (doctor.wait().unwrap().code(), rest.join("\n"))
    });
    let (code, rest) = with_timeout("the command to end", running).await.unwrap();
    assert_eq!(code, Some(1), "{rest}");
    assert_snapshot!(redacted(&rest), @"");
}

#[tokio::test]
async fn doctor_refuses_other_urls_and_options() {
    for arguments in [
        &["doctor", "chat.example"][..],
        &["doctor", "https://chat.example/app"],
        &["doctor", "https://ann:word@chat.example"],
        &["doctor", "https://chat.example", "--production"],
        &["doctor", "--no-idle"],
        &["doctor", "https://chat.example", "--idle-seconds", "0"],
    ] {
        let run = CommandRun::run(arguments, &[]).await;
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.output);
        assert!(!run.output.contains("panicked"), "{}", run.output);
    }
    let missing = ["--ca-file", "missing.pem"];
    let run = run_doctor("https://chat.example", &missing, &[]).await;
    assert_eq!(run.code, Some(1));
    assert!(run.output.contains("--ca-file missing.pem cannot be read"), "{}", run.output);
}

#[tokio::test]
async fn doctor_reports_an_unreachable_deployment() {
    let run = run_doctor("http://127.0.0.1:1", &[], &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(faults_of(&run), @"");
    let run = run_doctor("https://doctor.invalid", &[], &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert!(faults_of(&run).starts_with("FAILED  DNS"), "{}", run.output);
}

/// Whatever a server answers, the command ends with a report.
#[tokio::test]
async fn doctor_survives_hostile_servers() {
    let answers: [(&str, Answer); 6] = [
        ("silence", |_| None),
        ("not HTTP", |_| Some("\u{1b}[2J\r\n\r\n".repeat(1000))),
        ("a redirect to itself", |_| {
            Some("HTTP/1.1 302 Found\r\nlocation: /_ping\r\ncontent-length: 0\r\n\r\n".to_owned())
        }),
        ("an endless body", |_| {
            Some(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(4 * 1024 * 1024)))
        }),
        ("other JSON", |_| Some(json_answer(200, r#"["\u001b[2J"]"#))),
        ("a body that breaks off", |_| {
            Some("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"ok\":".to_owned())
        }),
    ];
    for (name, answer) in answers {
        let output = check_hostile(answer).await;
        assert!(output.contains("FAILED"), "{name}: {output}");
    }
}

/// The answers seem right at first, and their values are hostile.
#[tokio::test]
async fn doctor_survives_hostile_values() {
    let output = check_hostile(|path| {
        let answer = match path {
            "/_ping" | "/_health" => json_answer(200, r#"{"ok": true}"#),
            "/_readiness" => json_answer(503, r#"{"ok": false, "reasons": ["\u001b[2J", 1, {}]}"#),
            "/api/me/" => json_answer(401, r#"{"detail": "no", "code": "unauthorized"}"#),
            "/api/register/" => json_answer(201, "[]"),
            "/api/token/" => json_answer(200, r#"{"access": "a.b.c", "refresh": "\n"}"#),
            "/api/start-chat/" => json_answer(
                200,
                r#"{"group_name": "chat_1", "websocket_url": "\u001b]0;x"}"#,
            ),
            path if path.starts_with("/ws/") => {
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n".to_owned()
            }
            _ => json_answer(200, r#"{"detail": ["\u001b[2J"]}"#),
        };
        Some(answer)
    })
    .await;
    let start = output.lines().find(|line| line.contains("start-chat"));
    assert!(start.unwrap().contains("FAILED"), "{output}");
    let output = check_hostile(|path| {
        Some(match path {
            "/api/me/" => json_answer(401, r#"{"detail": "no"}"#),
            "/api/register/" => json_answer(201, "{}"),
            "/api/token/" => json_answer(200, r#"{"access": "\r\nx: y", "refresh": "r"}"#),
            _ => json_answer(200, r#"{"ok": true, "group_name": "../..", "websocket_url": ""}"#),
        })
    })
    .await;
    assert!(output.contains("FAILED"), "{output}");
}

/// Returns what a hostile server answers to a request for a path. `None` is silence.
type Answer = fn(&str) -> Option<String>;

/// Runs the command against a hostile server. Returns its output, which must be safe for a terminal.
async fn check_hostile(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve_hostile(stream, answer));
        }
    });
    let options = ["--timeout", "1", "--no-idle"];
    let run = run_doctor(&format!("http://{address}"), &options, &[]).await;
    serving.abort();
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert!(!run.output.contains('\u{1b}'), "{}", run.output);
    assert!(!run.output.contains("panicked"), "{}", run.output);
    run.output
}

async fn serve_hostile(mut stream: TcpStream, answer: Answer) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|part| part == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    match answer(path) {
        Some(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        // Waits until the client gives up.
        None => while matches!(stream.read(&mut buffer).await, Ok(1..)) {},
    }
}

fn json_answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

async fn run_doctor(url: &str, options: &[&str], variables: &[(&str, &str)]) -> CommandRun {
    let arguments = [&["doctor", url], options].concat();
    CommandRun::run(&arguments, variables).await
}

/// A server of production with a proxy in front of it.
struct Deployment {
    proxy: Proxy,
    server: Server,
    _database: TestDatabase,
}

impl Deployment {
    async fn start(
        kind: ProxyKind,
        certificates: Certificates,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let database = TestDatabase::create().await;
        let changes = [("allowed_hosts: []", "allowed_hosts: [chat.example]")];
        let mut server = Server::start_in_production(&database, "", &changes);
        let salam = server.listen_address().await;
        Self {
            proxy: Proxy::start_changed(kind, salam, certificates, change).await,
            server,
            _database: database,
        }
    }

    async fn start_documented(kind: ProxyKind) -> Self {
        Self::start(kind, Certificates::generate(), |config| config).await
    }

    /// Runs the command as a client that trusts the authority of the proxy.
    async fn check(&self, options: &[&str]) -> CommandRun {
        let authority = self.proxy.certificates.ca_certificate();
        let own = ["--address", "127.0.0.1", "--ca-file", authority.to_str().unwrap()];
        run_doctor(&self.proxy.url(), &[&own[..], options].concat(), &[]).await
    }
}

/// Returns the faults that the command finds behind a changed nginx.
async fn faults_behind_nginx(options: &[&str], change: impl FnOnce(String) -> String) -> String {
    let deployment = Deployment::start(ProxyKind::Nginx, Certificates::generate(), change).await;
    let run = deployment.check(options).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    faults_of(&run)
}

fn replaced(config: String, line: &str, by: &str) -> String {
    assert!(config.contains(line), "{line}");
    config.replace(line, by)
}

fn without(config: String, line: &str) -> String {
    replaced(config, line, "")
}

/// Returns the lines that a test does not expect of a faultless deployment.
fn faults_of(run: &CommandRun) -> String {
    let output = redacted(&run.output);
    let lines = output.lines().map(str::trim_start);
    let faults = lines.filter(|line| line.starts_with("FAILED") || line.starts_with("warning"));
    faults.map(|line| format!("{line}\n")).collect()
}

fn line_of(run: &CommandRun, name: &str) -> String {
    let output = redacted(&run.output);
    let line = output.lines().find(|line| line.contains(&format!(" {name} ")));
    line.unwrap_or_else(|| panic!("no line {name}: {output}")).to_owned()
}

/// Replaces random names, ports, times and dates.
fn redacted(output: &str) -> String {
    let lines = output.lines().map(redacted_line);
    lines.map(|line| format!("{line}\n")).collect()
}

fn redacted_line(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let words = words.iter().enumerate().map(|(index, word)| {
        let unit = words.get(index + 1).map(|unit| unit.trim_end_matches([';', ',']));
        let is_measured = matches!(unit, Some("ms" | "days")) || line.contains("header Date");
        if is_measured && word.parse::<u64>().is_ok() {
            return "[n]".to_owned();
        }
        if word.starts_with("20") && word.matches('-').count() == 2 {
            return "[date]".to_owned();
        }
        redacted_word(word)
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Replaces the random parts of a word: the digits after `doctor-` and `chat_`, and ports of addresses.
fn redacted_word(word: &str) -> String {
    let mut shown = word.to_owned();
    for (prefix, sign) in [
        ("doctor-", "[random]"),
        ("chat_", "[hex]"),
        ("127.0.0.1:", "[port]"),
        ("chat.example:", "[port]"),
    ] {
        let Some((before, after)) = shown.split_once(prefix) else {
            continue;
        };
        let digits = after.chars().take_while(char::is_ascii_hexdigit).count();
        if digits > 0 {
            shown = format!("{before}{prefix}{sign}{}", &after[digits..]);
        }
    }
    shown
}
