//! Connections: the host is resolved once, and what was checked is what is spoken to.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::Unusable;
use super::address::Allowed;
use crate::files;

/// What hyper reads from and writes to.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, encrypted or on this machine.
pub(super) type Open = TokioIo<Box<dyn Stream>>;

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector {
    allowed: Allowed,
    /// None for an endpoint on this machine that is spoken to in the clear.
    tls: Option<TlsConnector>,
}

impl Connector {
    /// For an endpoint with `http` in its address.
    pub(super) const fn in_the_clear(allowed: Allowed) -> Self {
        Self { allowed, tls: None }
    }

    /// For any other endpoint.
    pub(super) fn encrypted(allowed: Allowed, ca_file: Option<&Path>) -> Result<Self, Unusable> {
        let roots = match ca_file {
            Some(file) => authorities(file)?,
            None => system_authorities(),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| Unusable(format!("TLS cannot be set up: {why}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { allowed, tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    async fn open(self, uri: Uri) -> io::Result<Open> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = connect(self.allowed, &host, port).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = self.tls else { return Ok(TokioIo::new(Box::new(stream))) };
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(TokioIo::new(Box::new(tls.connect(name, stream).await?)))
    }
}

/// Connects to an address of the host. All of them are checked first: a name with a good and a bad
/// address is a trick.
async fn connect(allowed: Allowed, host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    if let Some(why) = addresses.iter().find_map(|address| allowed.refuses(address.ip())) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl tower::Service<Uri> for Connector {
    type Response = Open;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Open>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}

/// The system's. One that cannot be read is none that is trusted.
fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn authorities(file: &Path) -> Result<RootCertStore, Unusable> {
    let unusable = |why: &dyn std::fmt::Display| {
        Unusable(format!("the certificates in {} cannot be used: {why}", file.display()))
    };
    let pem = files::read_limited(file, files::TEXT_BYTES).map_err(|why| unusable(&why))?;
    let certificates: Result<Vec<CertificateDer<'_>>, _> =
        CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|why| unusable(&why))?;
    if certificates.is_empty() {
        return Err(unusable(&"it contains no certificate in PEM format"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|why| unusable(&why))?;
    }
    Ok(roots)
}
