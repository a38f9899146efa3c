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
use crate::support::{Certificates, Proxy, ProxyKind, Server, TestApp, TestDatabase, with_timeout};

/// The idle time of the checks that test the idle socket.
const IDLE: [&str; 2] = ["--idle-seconds", "1"];

#[tokio::test]
async fn doctor_checks_a_server_without_a_proxy() {
    let app = TestApp::start().await;
    let run = run_doctor(&app.url(""), &IDLE, &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert_snapshot!(redacted(&run.output), @"
    Salam [version] checks http://127.0.0.1:[port]

      skipped DNS            the host is an address
      passed  TCP            connects to 127.0.0.1:[port]
      skipped TLS            http:// is not encrypted, which is right only on this machine
      skipped redirect       the URL is http://, and does not redirect
      passed  /_ping         answers 200
      passed  clock          the header Date differs from the clock of this machine by [n] s
      passed  /_health       answers 200
      passed  /_readiness    the node is ready
      passed  host name      the server accepts the name 127.0.0.1
      passed  registration   created the account doctor-[random]
      passed  login          logged in as doctor-[random]
      passed  start-chat     websocket_url is ws://127.0.0.1:[port]/ws/chat/chat_[hex]/
      passed  cookie         HttpOnly, SameSite=Lax, Path=/
      passed  rich socket    hello, group and sync arrive; the round trip of a message takes [n] ms
      passed  base socket    the greeting arrives, and the message of a second socket arrives
      passed  foreign origin a foreign page with the cookie is refused with 403
      passed  no credential  a socket without a credential is refused with 401
      passed  event stream   the event arrives [n] ms after the send; X-Accel-Buffering: no
      passed  large body     a body of 60 KiB reaches the server
      passed  too large body a body of 70 KiB gets 413 in JSON from the server
      warning foreign host   the server accepts every name, as in development; set PUBLIC_URL in production
      skipped client address no proxy is in use, and the server trusts this machine as a proxy
      passed  idle socket    a silent socket is open after [n] s; pings of the server: 0
      passed  clean-up       the group is deleted, and the session has ended; the account doctor-[random] remains, because the API deletes no accounts; nobody has its password; to deactivate it, run `salam-cli task user:deactivate username:doctor-[random]` on the server
    ");
}

#[tokio::test]
async fn doctor_passes_behind_the_documented_nginx() {
    let deployment = Deployment::start_documented(ProxyKind::Nginx).await;
    let run = deployment.check(&IDLE).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert_snapshot!(redacted(&run.output), @"
    Salam [version] checks https://chat.example:[port]

      skipped DNS            --address gives the address 127.0.0.1
      passed  TCP            connects to 127.0.0.1:[port]
      passed  TLS            TLS 1.3; the certificate is trusted and ends in [n] days, on [date]
      skipped redirect       the port is not 443, so no port is known for http://
      passed  /_ping         answers 200
      passed  clock          the header Date differs from the clock of this machine by [n] s
      passed  /_health       answers 200
      passed  /_readiness    the node is ready
      passed  host name      the server accepts the name chat.example
      passed  registration   created the account doctor-[random]
      passed  login          logged in as doctor-[random]
      passed  start-chat     websocket_url is wss://chat.example:[port]/ws/chat/chat_[hex]/
      passed  cookie         HttpOnly, SameSite=Lax, Path=/, Secure
      passed  rich socket    hello, group and sync arrive; the round trip of a message takes [n] ms
      passed  base socket    the greeting arrives, and the message of a second socket arrives
      passed  foreign origin a foreign page with the cookie is refused with 403
      passed  no credential  a socket without a credential is refused with 401
      passed  event stream   the event arrives [n] ms after the send; X-Accel-Buffering: (removed by the proxy)
      passed  large body     a body of 60 KiB reaches the server
      passed  too large body a body of 70 KiB gets 413 in JSON from the server
      passed  foreign host   the name doctor.invalid is refused with 421
      passed  client address a forged X-Forwarded-For is ignored; the API does not show the address that the server sees
      passed  idle socket    a silent socket is open after [n] s; pings of the server: 0
      passed  clean-up       the group is deleted, and the session has ended; the account doctor-[random] remains, because the API deletes no accounts; nobody has its password; to deactivate it, run `salam-cli task user:deactivate username:doctor-[random]` on the server
    ");
}

#[tokio::test]
async fn doctor_passes_behind_the_documented_caddy() {
    let deployment = Deployment::start_documented(ProxyKind::Caddy).await;
    let run = deployment.check(&IDLE).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert_snapshot!(redacted(&run.output), @"
    Salam [version] checks https://chat.example:[port]

      skipped DNS            --address gives the address 127.0.0.1
      passed  TCP            connects to 127.0.0.1:[port]
      passed  TLS            TLS 1.3; the certificate is trusted and ends in [n] days, on [date]
      skipped redirect       the port is not 443, so no port is known for http://
      passed  /_ping         answers 200
      passed  clock          the header Date differs from the clock of this machine by [n] s
      passed  /_health       answers 200
      passed  /_readiness    the node is ready
      passed  host name      the server accepts the name chat.example
      passed  registration   created the account doctor-[random]
      passed  login          logged in as doctor-[random]
      passed  start-chat     websocket_url is wss://chat.example:[port]/ws/chat/chat_[hex]/
      passed  cookie         HttpOnly, SameSite=Lax, Path=/, Secure
      passed  rich socket    hello, group and sync arrive; the round trip of a message takes [n] ms
      passed  base socket    the greeting arrives, and the message of a second socket arrives
      passed  foreign origin a foreign page with the cookie is refused with 403
      passed  no credential  a socket without a credential is refused with 401
      passed  event stream   the event arrives [n] ms after the send; X-Accel-Buffering: no
      passed  large body     a body of 60 KiB reaches the server
      passed  too large body a body of 70 KiB gets 413 in JSON from the server
      passed  foreign host   the proxy does not forward the name doctor.invalid; its answer is 200
      passed  client address a forged X-Forwarded-For is ignored; the API does not show the address that the server sees
      passed  idle socket    a silent socket is open after [n] s; pings of the server: 0
      passed  clean-up       the group is deleted, and the session has ended; the account doctor-[random] remains, because the API deletes no accounts; nobody has its password; to deactivate it, run `salam-cli task user:deactivate username:doctor-[random]` on the server
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_without_upgrades() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        without(config, "proxy_set_header Upgrade $http_upgrade;")
    });
    assert_snapshot!(faults.await, @"
    FAILED  rich socket    the handshake was answered with 426; let the proxy forward WebSockets: HTTP/1.1, and the headers Upgrade and Connection (docs/deploying.md has the lines for nginx)
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_removes_the_subprotocol() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let more = "proxy_http_version 1.1; proxy_set_header Sec-WebSocket-Protocol \"\";";
        replaced(config, "proxy_http_version 1.1;", more)
    });
    assert_snapshot!(faults.await, @"
    FAILED  rich socket    the handshake was answered with 401, as without a credential; let the proxy pass the header Sec-WebSocket-Protocol unchanged
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_buffers_streams() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let buffering = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;";
        replaced(config, "proxy_buffering off;", buffering)
    });
    assert_snapshot!(faults.await, @"
    FAILED  event stream   the stream does not begin within 5s; switch off buffering for /api/groups/<group>/events/ (nginx: proxy_buffering off, and no proxy_ignore_headers X-Accel-Buffering)
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_hides_https() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        without(config, "proxy_set_header X-Forwarded-Proto $scheme;")
    });
    assert_snapshot!(faults.await, @"
    FAILED  start-chat     websocket_url is ws://chat.example:[port]/ws/chat/chat_[hex]/, not wss://chat.example:[port]/ws/chat/chat_[hex]/; set PUBLIC_URL to https://chat.example:[port], or let the proxy send X-Forwarded-Proto, and list the proxy in settings.door.trusted_proxies
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_hides_the_host() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        without(config, "proxy_set_header Host $http_host;")
    });
    assert_snapshot!(faults.await, @"
    FAILED  start-chat     websocket_url is wss://127.0.0.1:[port]/ws/chat/chat_[hex]/, not wss://chat.example:[port]/ws/chat/chat_[hex]/; set PUBLIC_URL to https://chat.example:[port], or let the proxy pass the header Host of the client (nginx: proxy_set_header Host $http_host)
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_with_another_host() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let other = "proxy_set_header Host backend.example;";
        replaced(config, "proxy_set_header Host $http_host;", other)
    });
    assert_snapshot!(faults.await, @"
    FAILED  host name      the server refuses the name of the host that it received (421); let the proxy pass the header Host of the client, and set PUBLIC_URL to https://chat.example:[port] or add chat.example to settings.door.allowed_hosts
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_believes_clients() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        without(config, "proxy_set_header X-Forwarded-For $remote_addr;")
    });
    assert_snapshot!(faults.await, @"
    FAILED  client address the server believes an address that a client forged in X-Forwarded-For; let the proxy replace X-Forwarded-For (nginx: proxy_set_header X-Forwarded-For $remote_addr), and list only proxies in settings.door.trusted_proxies
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_hides_the_origin() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let more = "proxy_http_version 1.1; proxy_set_header Origin \"\";";
        replaced(config, "proxy_http_version 1.1;", more)
    });
    assert_snapshot!(faults.await, @"
    FAILED  foreign origin a foreign page opens a socket with the cookie of its visitor; let the proxy pass the header Origin of the client unchanged
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_removes_the_cookie() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        let more = "proxy_http_version 1.1; proxy_hide_header Set-Cookie;";
        replaced(config, "proxy_http_version 1.1;", more)
    });
    assert_snapshot!(faults.await, @"
    FAILED  cookie         the login sets no cookie `access`; let the proxy pass the header Set-Cookie
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_with_a_low_limit_of_bodies() {
    let faults = faults_behind_nginx(&["--no-idle"], |config| {
        replaced(
            config,
            "client_max_body_size 128k;",
            "client_max_body_size 32k;",
        )
    });
    assert_snapshot!(faults.await, @"
    FAILED  large body     a body of 60 KiB is refused: 413 (text/html); set the limit of the proxy for bodies above the 64 KiB of the server, such as 128 KiB (nginx: client_max_body_size 128k)
    warning too large body a body of 70 KiB gets 413 from the proxy, without JSON; set the limit of the proxy for bodies above the 64 KiB of the server, such as 128 KiB (nginx: client_max_body_size 128k)
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_that_closes_silent_sockets() {
    let faults = faults_behind_nginx(&["--idle-seconds", "20"], |config| {
        let location =
            "location = /ws/ { proxy_pass http://127.0.0.1:8000; proxy_read_timeout 1s; }";
        let backend = config
            .split("proxy_pass ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .unwrap();
        let location = location.replace("http://127.0.0.1:8000", backend);
        let line = "proxy_send_timeout 60s;";
        replaced(config.clone(), line, &format!("{line}\n{location}"))
    });
    assert_snapshot!(faults.await, @"
    FAILED  idle socket    the socket was lost: Connection reset without closing handshake, after [n] s; set the timeouts of the proxy for silent connections above 35 s (nginx: proxy_read_timeout and proxy_send_timeout)
    ");
}

#[tokio::test]
async fn doctor_finds_a_proxy_without_a_server() {
    let mut deployment = Deployment::start_documented(ProxyKind::Nginx).await;
    deployment.server.kill();
    let run = deployment.check(&[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(faults_of(&run), @"
    FAILED  /_ping         the answer is 502 (text/html); check that the server runs, and that the proxy forwards to its address and port
    ");
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
    assert_snapshot!(lines, @r#"
    FAILED  TLS            the certificate ended on [date]; renew the certificate, and reload the proxy
    FAILED  TLS            the certificate is not valid for chat.example, but for other.example; get a certificate with this name, and check which site of the proxy answers
    FAILED  TLS            no trusted authority has signed the certificate; let the proxy send the whole chain (fullchain.pem) of a public authority; for a private authority, pass --ca-file
    FAILED  TLS            the port does not speak TLS; use http:// for this port, or let the proxy terminate TLS on it
    warning TLS            http:// is not encrypted: everybody on the way can read passwords, tokens and messages; let a proxy terminate TLS, and use https://
    FAILED  redirect       http://chat.example:[port] redirects to https://chat.example/_ping; run the command with the address of https://
    "#);
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
    let lines =
        ["registration", "login", "client address", "clean-up"].map(|name| line_of(&run, name));
    assert_snapshot!(lines.join("\n"), @"
    skipped registration   the account is given by --username
    passed  login          logged in as ann
    skipped client address the check fails to log in ten times, so it needs a temporary account
    passed  clean-up       the group is deleted, and the session has ended
    ");
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
    assert_snapshot!(faults_of(&run), @r#"
    FAILED  login          the login is refused: 401 "No active account found with the given credentials"; check the username and the password
    "#);
    let run = run_doctor(&app.url(""), &options, &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(run.output, @"
    error: --username needs the password: pass --password-file, or set SALAM_DOCTOR_PASSWORD
    ");
}

#[tokio::test]
async fn doctor_reports_a_refused_registration() {
    let app = TestApp::with_settings(json!({"limits": {"registrations_per_hour": 1}})).await;
    app.user("ann").await;
    let run = run_doctor(&app.url(""), &["--no-idle"], &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(faults_of(&run), @r#"
    FAILED  registration   the registration is refused: 429 "Too many requests; slow down."; pass an account that exists, by --username and --password-file
    "#);
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
    assert!(
        remedy.contains("task user:deactivate username:doctor-"),
        "{remedy}"
    );
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
    assert_snapshot!(redacted(&rest), @"
    skipped idle socket    was not checked: the command was interrupted
    passed  clean-up       the group is deleted, and the session has ended; the account doctor-[random] remains, because the API deletes no accounts; nobody has its password; to deactivate it, run `salam-cli task user:deactivate username:doctor-[random]` on the server
    ");
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
    assert!(
        run.output.contains("--ca-file missing.pem cannot be read"),
        "{}",
        run.output
    );
}

#[tokio::test]
async fn doctor_reports_an_unreachable_deployment() {
    let run = run_doctor("http://127.0.0.1:1", &[], &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert_snapshot!(faults_of(&run), @"
    FAILED  TCP            no connection to 127.0.0.1:[port]: Connection refused (os error 111); check that the proxy runs, that the firewall allows the port, and that the name has the address of the proxy
    ");
    let run = run_doctor("https://doctor.invalid", &[], &[]).await;
    assert_eq!(run.code, Some(1), "{}", run.output);
    assert!(faults_of(&run).starts_with("FAILED  DNS"), "{}", run.output);
}

/// The command ends with a report for each answer of a hostile server.
#[tokio::test]
async fn doctor_survives_hostile_servers() {
    let answers: [(&str, Answer); 6] = [
        ("silence", |_| None),
        ("not HTTP", |_| Some("\u{1b}[2J\r\n\r\n".repeat(1000))),
        ("a redirect to itself", |_| {
            Some("HTTP/1.1 302 Found\r\nlocation: /_ping\r\ncontent-length: 0\r\n\r\n".to_owned())
        }),
        ("an endless body", |_| {
            Some(format!(
                "HTTP/1.1 200 OK\r\n\r\n{}",
                "x".repeat(4 * 1024 * 1024)
            ))
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
            _ => json_answer(
                200,
                r#"{"ok": true, "group_name": "../..", "websocket_url": ""}"#,
            ),
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
        let own = [
            "--address",
            "127.0.0.1",
            "--ca-file",
            authority.to_str().unwrap(),
        ];
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
    let line = output
        .lines()
        .find(|line| line.contains(&format!(" {name} ")));
    line.unwrap_or_else(|| panic!("no line {name}: {output}"))
        .to_owned()
}

/// Replaces random names, ports, times and dates.
fn redacted(output: &str) -> String {
    let lines = output.lines().map(redacted_line);
    lines.map(|line| format!("{line}\n")).collect()
}

fn redacted_line(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let words = words.iter().enumerate().map(|(index, word)| {
        let unit = words
            .get(index + 1)
            .map(|unit| unit.trim_end_matches([';', ',']));
        let is_duration = line.contains("header Date") || index > 0 && words[index - 1] == "after";
        let is_measured = matches!(unit, Some("ms" | "days")) || is_duration && unit == Some("s");
        if is_measured && word.parse::<u64>().is_ok() {
            return "[n]".to_owned();
        }
        if word.starts_with("20") && word.matches('-').count() == 2 {
            let sign = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
            return format!("[date]{sign}");
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
