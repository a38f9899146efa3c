//! The connections to the deployment: names, addresses, TCP and TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{super::report::Finding, Target, tls::TlsClient};

/// The highest number of addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// A connection, encrypted or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

/// Resolves the host of the target. Returns the finding, and the addresses.
pub async fn resolve(
    target: &Target,
    address: Option<IpAddr>,
    limit: Duration,
) -> (Finding, Vec<SocketAddr>) {
    if let Some(ip) = address.or_else(|| target.ip()) {
        let finding = Finding::skipped(match address {
            Some(ip) => format!("--address gives the address {ip}"),
            None => "the host is an address".to_owned(),
        });
        return (finding, vec![SocketAddr::new(ip, target.port())]);
    }
    const REMEDY: &str = "add an A or AAAA record for the name, or check the name";
    let looked_up = timeout(limit, lookup_host((target.host(), target.port()))).await;
    let addresses: Vec<_> = match looked_up {
        Ok(Ok(addresses)) => addresses.take(MAX_ADDRESSES).collect(),
        Ok(Err(error)) => {
            let message = format!("the name {} has no address: {error}", target.host());
            return (Finding::failed(message, REMEDY), Vec::new());
        }
        Err(_) => {
            let message = format!(
                "the name {} was not resolved within {limit:?}",
                target.host()
            );
            return (Finding::failed(message, REMEDY), Vec::new());
        }
    };
    let ips: Vec<_> = addresses.iter().map(|one| one.ip().to_string()).collect();
    let message = format!("{} has the address {}", target.host(), ips.join(", "));
    (Finding::passed(message), addresses)
}

/// Connects to each address. Returns the finding, and the reachable addresses.
pub async fn check_tcp(addresses: Vec<SocketAddr>, limit: Duration) -> (Finding, Vec<SocketAddr>) {
    let results = join_all(addresses.iter().map(|address| connect(*address, limit))).await;
    let mut reachable = Vec::new();
    let (mut errors, mut without_route) = (Vec::new(), Vec::new());
    for (address, result) in addresses.into_iter().zip(results) {
        match result {
            Ok(_) => reachable.push(address),
            Err(error) if is_missing_route(&address, &error) => without_route.push(address),
            Err(error) => errors.push(format!("{address}: {error}")),
        }
    }
    let texts: Vec<_> = reachable.iter().map(ToString::to_string).collect();
    let message = format!("connects to {}", texts.join(", "));
    let finding = match (reachable.is_empty(), errors.is_empty()) {
        (true, _) => {
            errors.extend(without_route.iter().map(|address| {
                format!("{address}: this machine has no route for this kind of address")
            }));
            Finding::failed(
                format!("no connection to {}", errors.join("; ")),
                "check that the proxy runs, that the firewall allows the port, and that the name \
                 has the address of the proxy",
            )
        }
        (false, false) => Finding::warning(
            format!("{message}; no connection to {}", errors.join("; ")),
            "remove the address from DNS, or let the proxy listen on it: clients that try it first \
             wait",
        ),
        (false, true) if !without_route.is_empty() => Finding::passed(format!(
            "{message}; IPv6 was not tried, because this machine has none"
        )),
        (false, true) => Finding::passed(message),
    };
    (finding, reachable)
}

/// Returns whether an error states that this machine has no IPv6.
fn is_missing_route(address: &SocketAddr, error: &io::Error) -> bool {
    address.is_ipv6()
        && matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::AddrNotAvailable
        )
}

async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::Error::other(format!("no answer within {limit:?}"))))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens connections to the reachable addresses of the target.
#[derive(Clone)]
pub struct Connector {
    pub target: Target,
    pub addresses: Vec<SocketAddr>,
    /// The client of TLS, for an `https` URL.
    pub tls: Option<TlsClient>,
    /// The timeout of each step.
    pub limit: Duration,
}

impl Connector {
    /// Opens a connection for a socket.
    ///
    /// # Errors
    /// When no address accepts a connection, or TLS fails.
    pub async fn open(&self) -> io::Result<Box<dyn Connection>> {
        let stream = self.open_tcp().await?;
        match &self.tls {
            Some(tls) => Ok(Box::new(self.start_tls(tls, stream).await?)),
            None => Ok(Box::new(stream)),
        }
    }

    /// Opens a TCP connection to the first address that accepts one.
    ///
    /// # Errors
    /// The error of the last address.
    pub async fn open_tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in &self.addresses {
            match connect(*address, self.limit).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Starts TLS on a connection.
    ///
    /// # Errors
    /// When the handshake fails or takes too long.
    pub async fn start_tls(
        &self,
        tls: &TlsClient,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match self.target.ip() {
            Some(ip) => ServerName::from(ip),
            None => {
                ServerName::try_from(self.target.host().to_owned()).map_err(io::Error::other)?
            }
        };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        timeout(self.limit, connector.connect(name, stream))
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::other(format!(
                    "no answer within {:?}",
                    self.limit
                )))
            })
    }
}
