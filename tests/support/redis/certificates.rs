//! A private certificate authority, and a certificate that it signed for 127.0.0.1 and chat.example.

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

pub struct Certificates {
    folder: TempDir,
}

/// The names of the certificate, as a line of openssl.
const NAMES: &str = "subjectAltName=IP:127.0.0.1,DNS:chat.example";

/// The settings of `openssl ca`, which can issue a certificate for the past.
const AUTHORITY_CONFIG: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nnew_certs_dir = .\n\
     serial = serial\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n";

impl Certificates {
    pub fn generate() -> Self {
        Self::generate_for(NAMES)
    }

    /// Generates a certificate for other names, which are a line of openssl.
    pub fn generate_for(names: &str) -> Self {
        let made = Self::prepare(names);
        made.openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile names -out server.pem");
        made
    }

    /// Generates a certificate that has expired.
    pub fn generate_expired() -> Self {
        let made = Self::prepare(NAMES);
        std::fs::write(made.path("index"), "").unwrap();
        std::fs::write(made.path("serial"), "01").unwrap();
        std::fs::write(made.path("ca.conf"), AUTHORITY_CONFIG).unwrap();
        made.openssl("ca -batch -notext -config ca.conf -cert ca.pem -keyfile ca.key -startdate 20240101000000Z -enddate 20240201000000Z -extfile names -in server.csr -out server.pem");
        made
    }

    /// Makes the authority, and the request for a certificate.
    fn prepare(names: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder };
        std::fs::write(made.path("names"), names).unwrap();
        made.openssl("req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=Authority -keyout ca.key -out ca.pem");
        made.openssl(
            "req -newkey rsa:2048 -nodes -subj /CN=Server -keyout server.key -out server.csr",
        );
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
