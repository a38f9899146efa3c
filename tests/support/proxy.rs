//! The proxies of docs/deploying.md, in front of a server of a test.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Certificates, wait_until};

const DEPLOYING_MD: &str = include_str!("../../docs/deploying.md");

/// The host name of the document.
pub const PROXY_HOST: &str = "chat.example";

/// The address of Salam in the document.
const SALAM_ADDRESS: &str = "127.0.0.1:8000";

#[derive(Debug, Clone, Copy)]
pub enum ProxyKind {
    Nginx,
    Caddy,
}

/// A running proxy, with its own files and ports.
pub struct Proxy {
    process: Child,
    pub certificates: Certificates,
    /// The port for `https`.
    pub port: u16,
    /// The port for `http`, which redirects.
    pub plain_port: u16,
    _folder: TempDir,
}

impl Proxy {
    /// Starts the documented configuration.
    pub async fn start(kind: ProxyKind, salam: SocketAddr) -> Self {
        Self::start_changed(kind, salam, Certificates::generate(), |config| config).await
    }

    /// Starts a changed configuration with a certificate.
    pub async fn start_changed(
        kind: ProxyKind,
        salam: SocketAddr,
        certificates: Certificates,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let example = config_example(kind);
        assert!(example.contains(SALAM_ADDRESS));
        let example = change(example.replace(SALAM_ADDRESS, &salam.to_string()));
        Self::start_with(kind, example, certificates).await
    }

    /// Starts the configuration of `deploy/` in front of two nodes.
    pub async fn start_for_nodes(kind: ProxyKind, nodes: [SocketAddr; 2]) -> Self {
        let mut config = match kind {
            ProxyKind::Nginx => include_str!("../../deploy/nginx/salam.conf").to_owned(),
            ProxyKind::Caddy => {
                let config = include_str!("../../deploy/caddy/Caddyfile");
                config
                    .replace("{$PUBLIC_URL}", PROXY_HOST)
                    .replace("{$SALAM_NODES}", "10.0.0.11:8000 10.0.0.12:8000")
            }
        };
        for (example, node) in ["10.0.0.11:8000", "10.0.0.12:8000"].into_iter().zip(nodes) {
            assert!(config.contains(example), "{example}");
            config = config.replace(example, &node.to_string());
        }
        Self::start_with(kind, config, Certificates::generate()).await
    }

    async fn start_with(kind: ProxyKind, example: String, certificates: Certificates) -> Self {
        let here = ProxySetup {
            folder: tempfile::tempdir().unwrap(),
            certificates,
            port: free_port(),
            plain_port: free_port(),
        };
        let mut command = match kind {
            ProxyKind::Nginx => here.nginx(example),
            ProxyKind::Caddy => here.caddy(&example),
        };
        let process = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn();
        let proxy = Self {
            process: process
                .unwrap_or_else(|error| panic!("{kind:?}: {error}; bin/test installs it")),
            certificates: here.certificates,
            port: here.port,
            plain_port: here.plain_port,
            _folder: here.folder,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.port));
        wait_until("the proxy", async || {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        proxy
    }

    /// Returns the URL for clients that resolve the name to this machine.
    pub fn url(&self) -> String {
        format!("https://{PROXY_HOST}:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The workers of nginx end only if nginx is asked to end.
        let _ = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        let _ = self.process.wait();
    }
}

/// The files and ports of a proxy.
struct ProxySetup {
    folder: TempDir,
    certificates: Certificates,
    port: u16,
    plain_port: u16,
}

impl ProxySetup {
    fn nginx(&self, example: String) -> Command {
        let ports = [
            ("listen 80;", self.plain_port),
            ("listen 443 ssl;", self.port),
        ];
        let example = ports.iter().fold(example, |example, (line, port)| {
            assert!(example.contains(line), "{line}");
            let ssl = if line.contains("ssl") { " ssl" } else { "" };
            example.replace(line, &format!("listen 127.0.0.1:{port}{ssl};"))
        });
        let folder = self.folder.path().display();
        let certificate = self.certificates.server_certificate().display().to_string();
        let key = self.certificates.server_key().display().to_string();
        let example = example
            .replace("/etc/ssl/chat.example.pem", &certificate)
            .replace("/etc/ssl/chat.example.key", &key)
            .replace("/run/nginx.pid", &format!("{folder}/pid"));
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};"));
        let own = format!("http {{\naccess_log off;\n{}", paths.join("\n"));
        let file = self.write("nginx.conf", &example.replace("http {", &own));
        // Debian installs nginx outside the PATH.
        let debian = Path::new("/usr/sbin/nginx");
        let mut nginx = Command::new(if debian.exists() {
            debian
        } else {
            "nginx".as_ref()
        });
        nginx
            .args(["-e", "stderr", "-g", "daemon off;", "-c"])
            .arg(file);
        nginx
    }

    fn caddy(&self, example: &str) -> Command {
        let certificate = self.certificates.server_certificate().display().to_string();
        let key = self.certificates.server_key().display().to_string();
        let own = format!(
            "{{\n\tadmin off\n\tauto_https disable_redirects\n\thttp_port {}\n\thttps_port {}\n",
            self.plain_port, self.port
        );
        let site = format!("{PROXY_HOST} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}\n");
        let example = example
            .replacen("{\n", &own, 1)
            .replace(&format!("{PROXY_HOST} {{\n"), &site);
        let file = self.write("Caddyfile", &example);
        let mut caddy = Command::new("caddy");
        caddy
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(file);
        // The folder in which Caddy stores its data.
        caddy
            .env("HOME", self.folder.path())
            .env("XDG_DATA_HOME", self.folder.path());
        caddy
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }
}

/// Returns the only block of the document in the language of a proxy.
fn config_example(kind: ProxyKind) -> String {
    let language = match kind {
        ProxyKind::Nginx => "nginx",
        ProxyKind::Caddy => "caddy",
    };
    let begin = format!("```{language}\n");
    let mut blocks = DEPLOYING_MD.split(&begin).skip(1);
    let block = blocks.next().unwrap().split("```").next().unwrap();
    assert!(blocks.next().is_none(), "two blocks of {language}");
    block.to_owned()
}

/// Returns a port that no program uses at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
