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
    #[error("{}: {}", path.display(), pem_problem(error, what))]
    File {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What went wrong.
        error: rustls::pki_types::pem::Error,
    },
    /// No CA file was given.
    #[error(
        "no CA file is configured: the system's root certificates are not used, so name the file \
         that holds the certificate authority of the other side"
    )]
    NoAuthority,
    /// A certificate authority cannot be used.
    #[error("{}: not every certificate in it can be one of an authority: {error}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: rustls::Error,
    },
    /// Certificate and key cannot be used together.
    #[error("{} and {} do not go together: {error}", cert.display(), key.display())]
    Pair {
        /// The file of the certificate chain.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What went wrong.
        error: rustls::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

/// What is in the files, as people call it.
const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";

/// Says what is wrong with a PEM file.
fn pem_problem(error: &rustls::pki_types::pem::Error, what: &str) -> String {
    use rustls::pki_types::pem::Error;
    if matches!(error, Error::NoItemsFound) {
        format!(
            "holds no {what} in PEM form (`-----BEGIN {}-----`)",
            what.to_uppercase()
        )
    } else {
        error.to_string()
    }
}

/// Makes the configuration of a server from the PEM files of its certificate chain and key.
///
/// # Errors
/// Fails if a file cannot be read, or key and certificate do not belong together.
pub fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
        path: key.to_owned(),
        what: PRIVATE_KEY,
        error,
    })?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates(cert)?, private)
        .map_err(|error| TlsError::Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
            error,
        })?;
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
        roots
            .add(certificate)
            .map_err(|error| TlsError::Authority {
                path: ca.to_owned(),
                error,
            })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File {
        path: path.to_owned(),
        what: CERTIFICATE,
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

    #[cfg(feature = "authority")]
    #[test]
    fn errors_name_the_files_and_what_is_wrong_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let data = directory.path().join(name);
            std::fs::create_dir(&data).unwrap();
            Authority::load_or_create(&data, &[], 1_800_000_000).unwrap()
        };
        let (one, other) = (make("one"), make("other"));
        let message = |cert: &Path, key: &Path| server_config(cert, key).unwrap_err().to_string();
        let mixed = message(&one.cert, &other.key);
        assert!(
            mixed.contains("one/server.pem and")
                && mixed.contains("other/server.key do not go together"),
            "{mixed}"
        );
        let turned = message(&one.key, &one.key);
        assert!(
            turned.contains("server.key: holds no certificate in PEM form"),
            "{turned}"
        );
        let turned = message(&one.cert, &one.cert);
        assert!(
            turned.contains("server.pem: holds no private key in PEM form"),
            "{turned}"
        );
    }
}
