//! The start: a database that is late, and the messages to a service manager.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::net::UnixDatagram,
    time::Duration,
};

use tokio::net::TcpStream;

use super::command::CommandRun;
use crate::support::{Server, TestDatabase, skip_unless, with_timeout};

const SECRET: &str = "vFqk0n3vT7Qm3yq1yQm0bq3H1nJ5y0aW";

/// Forwards connections to PostgreSQL.
async fn forward(listener: TcpListener, postgres: SocketAddr) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut server = TcpStream::connect(postgres).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

#[tokio::test]
async fn the_start_waits_for_a_late_postgresql() {
    skip_unless!(PostgreSQL);
    let database = TestDatabase::create().await;
    let mut url = url::Url::parse(&database.uri).unwrap();
    let postgres = url.socket_addrs(|| Some(5432)).unwrap()[0];
    // Nothing listens on the port until the server has logged the wait.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    url.set_port(Some(address.port())).unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    let (server, output) = Server::start_recorded(
        &database,
        "",
        &[("start_timeout: 10", "start_timeout: 60")],
        |command| {
            command
                .env("DATABASE_URL", url.as_str())
                .stdin(std::process::Stdio::null());
        },
    );
    output.wait_for_line("waiting for the database").await;
    server.send_signal("HUP");
    let listener = TcpListener::bind(address).unwrap();
    let forwarding = tokio::spawn(forward(listener, postgres));
    output
        .wait_for_line("the database accepts connections")
        .await;
    output.wait_for_line("Salam is ready").await;
    assert!(server.stop().await.success());
    forwarding.abort();
}

#[tokio::test]
async fn the_wait_for_the_database_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("JWT_SECRET", SECRET),
        ("DATABASE_URL", "postgres://salam@127.0.0.1:1/salam"),
        ("SALAM__SETTINGS__START_TIMEOUT", "2"),
    ];
    let start = ["start", "-e", "production"];
    let run = CommandRun::run_in(folder.path(), &start, &variables).await;
    assert_eq!(run.code, Some(1));
    assert!(
        run.output.contains("waiting for the database"),
        "{}",
        run.output
    );
    assert!(
        run.output
            .contains("check that the database of DATABASE_URL runs and is reachable"),
        "{}",
        run.output
    );
}

#[tokio::test]
async fn a_database_that_refuses_the_account_is_not_waited_for() {
    skip_unless!(PostgreSQL);
    let database = TestDatabase::create().await;
    let mut url = url::Url::parse(&database.uri).unwrap();
    url.set_path("no_such_database");
    let folder = tempfile::tempdir().unwrap();
    let variables = [("JWT_SECRET", SECRET), ("DATABASE_URL", url.as_str())];
    let start = ["start", "-e", "production"];
    let run = CommandRun::run_in(folder.path(), &start, &variables).await;
    assert_eq!(run.code, Some(1));
    assert!(
        run.output
            .contains("database \"no_such_database\" does not exist"),
        "{}",
        run.output
    );
    assert!(!run.output.contains("waiting"), "{}", run.output);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_service_manager_learns_of_the_start_the_watchdog_and_the_drain() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let (server, output) = Server::start_recorded(&database, "", &[], |command| {
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "300000");
    });
    let received = tokio::task::spawn_blocking(move || {
        let mut messages = Vec::new();
        let mut is_stopping = false;
        loop {
            let mut buffer = [0; 256];
            let length = socket.recv(&mut buffer).unwrap();
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let has_stopped = message.contains("STOPPING=1");
            messages.push(message);
            let keepalives = messages.iter().filter(|it| it.contains("WATCHDOG=1"));
            if keepalives.count() >= 3 && !is_stopping {
                is_stopping = true;
                server.terminate();
            }
            if has_stopped {
                return (server, messages);
            }
        }
    });
    let (server, messages) = with_timeout("the messages", received).await.unwrap();
    assert!(messages[0].contains("READY=1"), "{messages:?}");
    assert!(messages[0].contains("STATUS=serving"), "{messages:?}");
    assert!(server.wait_for_exit().await.success());
    output.wait_for_line("stopped").await;
}

#[tokio::test]
async fn the_program_starts_in_an_empty_folder() {
    let mut server = Server::start_in_an_empty_folder();
    let page = server.read_addresses().await.remove(0);
    assert_eq!(reqwest::get(&page).await.unwrap().status(), 200);
    assert!(server.folder().join("salam_development.sqlite").exists());
    assert!(server.stop().await.success());
}
