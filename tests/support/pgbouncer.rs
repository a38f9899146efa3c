//! A PgBouncer in front of the tests' PostgreSQL.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::chown,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use url::Url;

use super::wait_until;

/// The account of PgBouncer when the tests run as root, because PgBouncer refuses to run as root.
const POSTGRES_ACCOUNT: &str = "postgres";

pub struct PgBouncer {
    process: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl PgBouncer {
    /// Starts a pooler in front of the server of this URI, in `session` or `transaction` mode. Sets
    /// nothing else that a client could need.
    pub async fn in_front_of(uri: &str, mode: &str) -> Self {
        let uri = Url::parse(uri).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let (host, server_port) = (uri.host_str().unwrap(), uri.port().unwrap_or(5432));
        let user = uri.username();
        let password = uri
            .password()
            .map(|it| format!(" password={it}"))
            .unwrap_or_default();
        let config = format!(
            "[databases]\n* = host={host} port={server_port} user={user}{password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = 50\nmax_client_conn = 200\nunix_socket_dir =\n"
        );
        fs::write(folder.path().join("pgbouncer.ini"), config).unwrap();
        let mut bouncer = Self {
            process: None,
            port,
            folder,
        };
        bouncer.start_process().await;
        bouncer
    }

    pub async fn start_process(&mut self) {
        let file = self.folder.path().join("pgbouncer.ini");
        let mut command = if is_root() {
            make_readable_by_all(self.folder.path());
            let mut command = Command::new("runuser");
            command.args(["-u", POSTGRES_ACCOUNT, "--", "pgbouncer"]);
            command
        } else {
            Command::new("pgbouncer")
        };
        let process = command
            .arg("-q")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is installed (bin/test does it)");
        self.process = Some(process);
        let port = self.port;
        wait_until("pgbouncer", async || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
    }

    /// Returns the URI of a database behind the pooler.
    pub fn uri(&self, of: &str) -> String {
        let mut uri = Url::parse(of).unwrap();
        uri.set_host(Some("127.0.0.1")).unwrap();
        uri.set_port(Some(self.port)).unwrap();
        uri.to_string()
    }

    /// Kills the process, like a crash.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // `runuser` forwards only signals that can be caught.
            let parent = process.id().to_string();
            let _ = Command::new("pkill")
                .args(["-KILL", "-P", &parent])
                .status();
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn make_readable_by_all(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    // The files that PgBouncer writes are in a folder of its own.
    let _ = chown(folder, None, None);
}
