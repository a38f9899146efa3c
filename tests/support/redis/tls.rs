//! An authority of our own, and what it signed for a server on 127.0.0.1.

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder };
        std::fs::write(made.path("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        made.openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem");
        made.openssl(
            "req -newkey rsa:2048 -nodes -subj /CN=Redis -keyout redis.key -out redis.csr",
        );
        made.openssl("x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out redis.pem");
        made
    }

    /// The file with the authority's own certificate.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub(super) fn arguments(&self) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "--tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {}",
            path("redis.pem"),
            path("redis.key"),
            path("ca.pem")
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .output()
            .expect("openssl is installed (bin/test does it)");
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
