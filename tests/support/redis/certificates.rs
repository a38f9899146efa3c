//! A private certificate authority, and a certificate that it signed for 127.0.0.1 and chat.example.

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn generate() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder };
        std::fs::write(
            made.path("names"),
            "subjectAltName=IP:127.0.0.1,DNS:chat.example",
        )
        .unwrap();
        made.openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem");
        made.openssl(
            "req -newkey rsa:2048 -nodes -subj /CN=Server -keyout server.key -out server.csr",
        );
        made.openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem");
        made
    }

    /// Returns the path of the authority's certificate.
    pub fn ca_certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn server_certificate(&self) -> PathBuf {
        self.path("server.pem")
    }

    pub fn server_key(&self) -> PathBuf {
        self.path("server.key")
    }

    pub(super) fn redis_arguments(&self) -> String {
        format!(
            "--tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {}",
            self.server_certificate().display(),
            self.server_key().display(),
            self.ca_certificate().display()
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
