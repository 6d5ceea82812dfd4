//! The one REST call the bench makes, over plain HTTP/1.1 or TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::failure::{Context as _, Failure, Result};

/// Posts JSON and accepts any answer of success. With `ca`, a file of PEM certificates, it speaks TLS.
pub(crate) async fn post(
    server: SocketAddr,
    ca: Option<&Path>,
    path: &str,
    bearer: &str,
    body: &str,
) -> Result<()> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    );
    let stream = TcpStream::connect(server).await?;
    let answer = match ca {
        None => exchange(stream, &request).await?,
        Some(ca) => {
            let name = ServerName::from(server.ip());
            let stream = TlsConnector::from(trust(ca)?).connect(name, stream).await?;
            exchange(stream, &request).await?
        }
    };
    if answer
        .split(' ')
        .nth(1)
        .is_some_and(|status| status.starts_with('2'))
    {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{path} was answered: {}",
        answer.trim()
    )))
}

fn trust(ca: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).context(ca.display())? {
        roots.add(certificate.context(ca.display())?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    // Some servers end TLS without saying so; the answer counts once it is there.
    if answer.is_empty() {
        read?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
