//! The check of TLS: the authority, the names, the end of the certificate, and the version.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::{super::report::Finding, connection::Connector, text::foreign};

/// The days before the end of a certificate in which the check warns. Let's Encrypt renews 30 days before the end.
const MIN_DAYS: i64 = 21;

/// A time at which every certificate has ended: the year 9000.
const DISTANT_FUTURE: Duration = Duration::from_secs(221_845_392_000);

/// The settings of TLS, which connections share.
#[derive(Clone)]
pub struct TlsClient {
    pub config: Arc<ClientConfig>,
    /// The end of the last certificate that a server sent.
    end: Arc<Mutex<Option<UnixTime>>>,
}

impl TlsClient {
    /// Trusts the authorities of this machine, and those of a PEM file.
    ///
    /// # Errors
    /// When this machine has no trusted authority, or the file is not a PEM file with certificates.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        // A system may have authorities that cannot be parsed, and others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = ca_file {
            add_authorities(&mut roots, file)?;
        }
        if roots.is_empty() {
            return Err(
                "this machine has no trusted authorities; install the package ca-certificates, or \
                 pass --ca-file"
                    .to_owned(),
            );
        }
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| error.to_string())?;
        let end = Arc::new(Mutex::new(None));
        let recorder = RecordingVerifier {
            verifier,
            end: Arc::clone(&end),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(recorder))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            end,
        })
    }

    fn certificate_end(&self) -> Option<DateTime<Utc>> {
        let end = *self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.and_then(to_date)
    }
}

fn add_authorities(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let shown = file.display();
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("--ca-file {shown} cannot be read: {error}"))?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(format!(
            "--ca-file {shown} contains no certificate of an authority; pass a PEM file"
        ));
    }
    Ok(())
}

/// The verifier of rustls, which also records when the certificate ends.
///
/// rustls reports the end of a certificate only in the error for an expired one. So the recorder verifies the
/// certificate a second time, as of the distant future.
#[derive(Debug)]
struct RecordingVerifier {
    verifier: Arc<WebPkiServerVerifier>,
    end: Arc<Mutex<Option<UnixTime>>>,
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |time| {
            self.verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                time,
            )
        };
        let future = UnixTime::since_unix_epoch(DISTANT_FUTURE);
        let end = match verify(future) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => Some(not_after),
            _ => None,
        };
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        verify(now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Checks the handshake. For an `http` URL, reports that the connection is not encrypted.
pub async fn check(connector: &Connector) -> Finding {
    let Some(tls) = &connector.tls else {
        return plain_finding(connector);
    };
    let handshake = async {
        let stream = connector.open_tcp().await?;
        connector.start_tls(tls, stream).await
    };
    match handshake.await {
        Ok(stream) => {
            let (_, session) = stream.get_ref();
            judge_certificate(
                session.protocol_version(),
                tls.certificate_end(),
                Utc::now(),
            )
        }
        Err(error) => explain_failure(&error, connector.target.host()),
    }
}

fn plain_finding(connector: &Connector) -> Finding {
    if connector.target.is_loopback() {
        return Finding::skipped("http:// is not encrypted, which is right only on this machine");
    }
    Finding::warning(
        "http:// is not encrypted: everybody on the way can read passwords, tokens and messages",
        "let a proxy terminate TLS, and use https://",
    )
}

fn judge_certificate(
    version: Option<ProtocolVersion>,
    end: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Finding {
    let version = match version {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "an unknown version of TLS",
    };
    let Some(end) = end else {
        return Finding::passed(format!("{version}; the certificate is trusted"));
    };
    let days = (end - now).num_days();
    let message = format!(
        "{version}; the certificate is trusted and ends in {days} days, on {}",
        end.date_naive()
    );
    if days < MIN_DAYS {
        return Finding::warning(
            message,
            "renew the certificate, and check that its automatic renewal works",
        );
    }
    Finding::passed(message)
}

/// Explains why a handshake failed.
fn explain_failure(error: &io::Error, host: &str) -> Finding {
    let tls_error = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls_error {
        Some(Error::InvalidCertificate(fault)) => explain_certificate(fault, host),
        Some(Error::InvalidMessage(_)) => Finding::failed(
            "the port does not speak TLS",
            "use http:// for this port, or let the proxy terminate TLS on it",
        ),
        Some(Error::AlertReceived(alert)) => Finding::failed(
            format!("the proxy refused the handshake: {alert:?}"),
            "check that the proxy has a certificate for this name, and allows TLS 1.2 and 1.3",
        ),
        _ => Finding::failed(
            format!("the handshake failed: {}", foreign(&error.to_string())),
            "check that the proxy terminates TLS on this port, with TLS 1.2 or 1.3",
        ),
    }
}

fn explain_certificate(fault: &CertificateError, host: &str) -> Finding {
    let date = |time: &UnixTime| to_date(*time).map(|date| date.date_naive().to_string());
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => Finding::failed(
            format!(
                "the certificate ended on {}",
                date(not_after).unwrap_or_default()
            ),
            "renew the certificate, and reload the proxy",
        ),
        CertificateError::NotValidYetContext { not_before, .. } => Finding::failed(
            format!(
                "the certificate is valid only from {} on",
                date(not_before).unwrap_or_default()
            ),
            "check the clock of this machine, and the certificate",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Finding::failed(
                format!("the certificate is not valid for {host}{}", names_of(fault)),
                "get a certificate with this name, and check which site of the proxy answers",
            )
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Finding::failed(
            "no trusted authority has signed the certificate",
            "let the proxy send the whole chain (fullchain.pem) of a public authority; for a \
             private authority, pass --ca-file",
        ),
        other => Finding::failed(
            format!(
                "the certificate is not valid: {}",
                foreign(&format!("{other:?}"))
            ),
            "replace the certificate; for a private authority, pass --ca-file",
        ),
    }
}

/// Returns the names of a certificate, as a part of a sentence.
fn names_of(fault: &CertificateError) -> String {
    match fault {
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            // rustls writes a name as `DnsName("chat.example")`.
            let name_of = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let names: Vec<_> = presented.iter().map(name_of).collect();
            format!(", but for {}", foreign(&names.join(", ")))
        }
        _ => String::new(),
    }
}

fn to_date(time: UnixTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(i64::try_from(time.as_secs()).ok()?, 0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::{super::super::report::Status, *};

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning() {
        let now = Utc::now();
        let status = |days| {
            let end = now + TimeDelta::days(days) + TimeDelta::hours(1);
            judge_certificate(Some(ProtocolVersion::TLSv1_3), Some(end), now).status
        };
        assert_eq!(status(90), Status::Passed);
        assert_eq!(status(21), Status::Passed);
        assert_eq!(status(20), Status::Warning);
    }
}
