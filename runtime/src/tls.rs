//! TLS 1.3 by rustls with ring (requirement W12).

#[cfg(feature = "authority")]
mod authority;

#[cfg(feature = "authority")]
pub use authority::{Authority, AuthorityError};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds nothing of the kind.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: rustls::pki_types::pem::Error,
    },
    /// No CA file was given.
    #[error(
        "no CA file is configured: the system's root certificates are not used, so name the file \
         that holds the certificate authority of the other side"
    )]
    NoAuthority,
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

/// Makes the configuration of a server from the PEM files of its certificate chain and key.
///
/// # Errors
/// Fails if a file cannot be read, or key and certificate do not belong together.
pub fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
        path: key.to_owned(),
        error,
    })?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates(cert)?, key)?;
    // Tunnels live for days: remembering their TLS sessions would cost memory and save nothing.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Makes the configuration of a client that trusts the certificates of a PEM file and nothing else.
///
/// # Errors
/// Fails without a file, since only a CA file is supported, or if the file cannot be used.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let ca = ca.ok_or(TlsError::NoAuthority)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(ca: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File {
        path: path.to_owned(),
        error,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(failed(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_ca_file_the_error_says_what_to_do() {
        let error = client_config(None).unwrap_err().to_string();
        assert!(error.contains("no CA file is configured"), "{error}");
        let error = client_config(Some(Path::new("/nowhere.pem")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere.pem"), "{error}");
    }
}
