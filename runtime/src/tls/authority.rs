//! The certificate authority that `titan up` makes for itself.

use super::{TlsError, certificates, provider, roots, server_config};
use crate::token::write_file;
use core::time::Duration;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer};
use rcgen::{KeyPair, KeyUsagePurpose};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{ServerName, UnixTime};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;

const DAY: u64 = 24 * 3_600;

/// How long a CA is good for, in seconds: ten years, since replacing it means to hand it out again.
const CA_LIFETIME: u64 = 3_650 * DAY;

/// How long a server certificate is good for, in seconds: 825 days, the most that every common
/// client accepts of a private CA.
const SERVER_LIFETIME: u64 = 825 * DAY;

/// How long before its end a certificate is replaced at a start, in seconds: half a year, since a
/// daemon may run for months.
const RENEW_BEFORE: u64 = 180 * DAY;

/// How far back a certificate starts, in seconds, for clients whose clock is behind.
const BACKDATED: u64 = 3_600;

/// The text in `ca.pem` before the certificate that says when it ends; PEM readers skip it.
const EXPIRES: &str = "Titan CA, expires at Unix time ";

const ALWAYS_NAMED: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A CA and a server certificate in a data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    /// The CA's certificate, for clients to trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub cert: PathBuf,
    /// The server's key.
    pub key: PathBuf,
    ca_key: PathBuf,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        error: io::Error,
    },
    /// A certificate cannot be made, for instance because of a name that no certificate can bear.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// What was made cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Authority {
    /// Returns the authority of a data directory, whose server certificate is good for `names` (DNS
    /// names or addresses), `localhost`, `127.0.0.1` and `::1` at `now` (Unix seconds).
    ///
    /// What is there is used again if it fits and lasts another half year; otherwise the server
    /// certificate is replaced, and the CA only if it ends or cannot be used. Keys are readable by
    /// the owner alone.
    ///
    /// # Errors
    /// Fails if a file cannot be written or a name cannot be in a certificate.
    pub fn load_or_create(data: &Path, names: &[String], now: u64) -> Result<Self, AuthorityError> {
        let authority = Self {
            ca: data.join("ca.pem"),
            cert: data.join("server.pem"),
            key: data.join("server.key"),
            ca_key: data.join("ca.key"),
        };
        let mut all: Vec<String> = ALWAYS_NAMED.map(str::to_owned).to_vec();
        all.extend(
            names
                .iter()
                .filter(|name| !ALWAYS_NAMED.contains(&name.as_str()))
                .cloned(),
        );

        let ca_key = authority.ca_key(now).filter(|_| authority.ca_is_usable());
        let renew = ca_key.is_none();
        let ca_key = ca_key.map_or_else(|| authority.make_ca(now), Ok)?;
        if renew || !authority.server_is_good(&all, now) {
            authority.make_server(ca_key, &all, now)?;
        }
        Ok(authority)
    }

    /// Returns the CA's key if the CA lasts long enough.
    fn ca_key(&self, now: u64) -> Option<KeyPair> {
        let pem = fs::read_to_string(&self.ca).ok()?;
        let expires: u64 = pem.lines().next()?.strip_prefix(EXPIRES)?.parse().ok()?;
        if expires <= now + RENEW_BEFORE {
            return None;
        }
        KeyPair::from_pem(&fs::read_to_string(&self.ca_key).ok()?).ok()
    }

    fn ca_is_usable(&self) -> bool {
        roots(&self.ca).is_ok()
    }

    /// Returns whether a client that trusts the CA would accept the server under all `names`, now
    /// and for as long as a certificate must last.
    fn server_is_good(&self, names: &[String], now: u64) -> bool {
        let verify = || {
            let chain = certificates(&self.cert).ok()?;
            let (server, rest) = chain.split_first()?;
            let verifier = WebPkiServerVerifier::builder_with_provider(
                Arc::new(roots(&self.ca).ok()?),
                provider(),
            )
            .build()
            .ok()?;
            for name in names {
                let name = ServerName::try_from(name.as_str()).ok()?;
                for at in [now, now + RENEW_BEFORE] {
                    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
                    verifier
                        .verify_server_cert(server, rest, &name, &[], at)
                        .ok()?;
                }
            }
            server_config(&self.cert, &self.key).ok()
        };
        verify().is_some()
    }

    fn make_ca(&self, now: u64) -> Result<KeyPair, AuthorityError> {
        let key = KeyPair::generate()?;
        let expires = now + CA_LIFETIME;
        let pem = ca_params(now)?.self_signed(&key)?.pem();
        write(&self.ca_key, key.serialize_pem().as_bytes(), true)?;
        write(
            &self.ca,
            format!("{EXPIRES}{expires}\n{pem}").as_bytes(),
            false,
        )?;
        Ok(key)
    }

    fn make_server(
        &self,
        ca_key: KeyPair,
        names: &[String],
        now: u64,
    ) -> Result<(), AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "Titan");
        params.not_before = at(now.saturating_sub(BACKDATED));
        params.not_after = at(now + SERVER_LIFETIME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // A certificate refers to its issuer by name and key only, so the CA need not be parsed.
        let issuer = Issuer::new(ca_params(now)?, ca_key);
        let pem = params.signed_by(&key, &issuer)?.pem();
        write(&self.key, key.serialize_pem().as_bytes(), true)?;
        write(&self.cert, pem.as_bytes(), false)?;
        server_config(&self.cert, &self.key)?;
        Ok(())
    }
}

fn ca_params(now: u64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Titan CA");
    params.not_before = at(now.saturating_sub(BACKDATED));
    params.not_after = at(now + CA_LIFETIME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn at(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn write(path: &Path, content: &[u8], private: bool) -> Result<(), AuthorityError> {
    write_file(path, content, private).map_err(|error| AuthorityError::File {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::client_config;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    fn now() -> u64 {
        u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap()
    }

    async fn shake_hands(server: &Authority, ca: &Path, name: &str) -> io::Result<String> {
        let acceptor = TlsAcceptor::from(server_config(&server.cert, &server.key).unwrap());
        let connector = TlsConnector::from(client_config(Some(ca)).unwrap());
        let (near, far) = tokio::io::duplex(16_384);
        let serve = async move {
            let mut stream = acceptor.accept(far).await?;
            stream.write_all(b"hello").await?;
            stream.shutdown().await
        };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let ask = async move {
            let mut stream = connector.connect(name, near).await?;
            assert_eq!(
                stream.get_ref().1.protocol_version(),
                Some(rustls::ProtocolVersion::TLSv1_3)
            );
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok(text)
        };
        let (served, text) = tokio::join!(serve, ask);
        served.and(text)
    }

    #[tokio::test]
    async fn clients_of_the_ca_trust_the_server_under_its_names_only() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["pop.example".to_owned(), "192.0.2.7".to_owned()];
        let authority = Authority::load_or_create(directory.path(), &names, now()).unwrap();
        for name in ["localhost", "127.0.0.1", "::1", "pop.example", "192.0.2.7"] {
            assert_eq!(
                shake_hands(&authority, &authority.ca, name).await.unwrap(),
                "hello"
            );
        }
        assert!(
            shake_hands(&authority, &authority.ca, "other.example")
                .await
                .is_err()
        );
        let stranger = tempfile::tempdir().unwrap();
        let stranger = Authority::load_or_create(stranger.path(), &[], now()).unwrap();
        assert!(
            shake_hands(&authority, &stranger.ca, "localhost")
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn later_runs_reuse_what_lasts_and_replace_what_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let read = |path: &Path| fs::read(path).unwrap();
        let first = Authority::load_or_create(data, &[], now()).unwrap();
        let (ca, cert) = (read(&first.ca), read(&first.cert));
        #[cfg(unix)]
        for key in [&first.key, &first.ca_key] {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(key).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }

        Authority::load_or_create(data, &[], now() + 600 * DAY).unwrap();
        assert_eq!(read(&first.cert), cert);

        // A new name or a near end replaces the server certificate, but not the CA.
        Authority::load_or_create(data, &["pop.example".to_owned()], now()).unwrap();
        let named = read(&first.cert);
        assert_ne!(named, cert);
        assert_eq!(
            shake_hands(&first, &first.ca, "pop.example").await.unwrap(),
            "hello"
        );
        Authority::load_or_create(data, &[], now() + 700 * DAY).unwrap();
        assert_ne!(read(&first.cert), named);
        assert_eq!(read(&first.ca), ca);

        // A damaged file is replaced; so is a CA near its end.
        fs::write(&first.cert, "").unwrap();
        Authority::load_or_create(data, &[], now()).unwrap();
        assert_eq!(
            shake_hands(&first, &first.ca, "localhost").await.unwrap(),
            "hello"
        );
        assert_eq!(read(&first.ca), ca);
        Authority::load_or_create(data, &[], now() + 3_600 * DAY).unwrap();
        assert_ne!(read(&first.ca), ca);
    }
}
