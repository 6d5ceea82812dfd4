//! The addresses of managers and POPs.

use crate::carrier::CarrierStream;
use crate::dial;
use crate::env::Env;
use core::cell::RefCell;
use core::time::Duration;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use titan_core::exit::candidate::{Family, interleave};
use titan_core::target::Host;
use titan_proto::Code;
use tokio_rustls::TlsConnector;

/// How long the look-up of a name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the TLS handshake may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(5);

/// How many servers' addresses are remembered.
const REMEMBERED_MAX: usize = 16;

/// Where servers were when they were last connected to: good enough while no name server answers.
#[derive(Debug, Default)]
pub(crate) struct Remembered(RefCell<BTreeMap<String, Vec<IpAddr>>>);

impl Remembered {
    fn of(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.0.borrow().get(name).cloned()
    }

    fn keep(&self, name: &str, addresses: &[IpAddr]) {
        let mut all = self.0.borrow_mut();
        if all.len() >= REMEMBERED_MAX && !all.contains_key(name) {
            all.clear();
        }
        all.insert(name.to_owned(), addresses.to_vec());
    }
}

/// Where a server is: a URL without what comes after the authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    host: Host,
    port: u16,
    encrypted: bool,
    authority: String,
}

/// Whether a server may be talked to in clear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clear {
    /// It was asked for.
    Allowed,
    /// Nobody asked for it.
    Refused,
}

impl Clear {
    /// Returns what a setting called `insecure` asks for.
    pub(crate) const fn asked(insecure: bool) -> Self {
        if insecure {
            Self::Allowed
        } else {
            Self::Refused
        }
    }
}

/// Why a server is not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("{0:?} is not an address such as wss://pop.example:41005")]
    Malformed(String),
    #[error(
        "{0} is in clear: whoever is on the way could read what is sent, and `insecure` was not asked for"
    )]
    Clear(String),
    #[error("{0}: {tag}", tag = .1.tag())]
    Unreached(String, Code),
    #[error("{0} wants TLS, and no CA is configured")]
    NoTls(String),
    #[error("{0}: TLS: {1}")]
    Tls(String, std::io::Error),
}

impl Origin {
    /// Parses `wss` and `https` URLs and, where that was asked for, `ws` and `http` ones. Whoever named the
    /// URL, the configuration, a manager or a POP, has no say in that.
    pub(crate) fn parse(url: &str, clear: Clear) -> Result<Self, UrlError> {
        let malformed = || UrlError::Malformed(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| malformed())?;
        let (encrypted, default_port) = match uri.scheme_str() {
            Some("wss" | "https") => (true, 443),
            Some("ws" | "http") => (false, 80),
            _ => return Err(malformed()),
        };
        if !encrypted && clear == Clear::Refused {
            return Err(UrlError::Clear(url.to_owned()));
        }
        let authority = uri.authority().ok_or_else(malformed)?;
        let host = Host::parse(authority.host()).map_err(|_| malformed())?;
        let port = authority.port_u16().unwrap_or(default_port);
        Ok(Self {
            host,
            port,
            encrypted,
            authority: authority.to_string(),
        })
    }

    /// Returns host and port as in the URL.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Connects, under TLS if the URL says so. While a name cannot be looked up, the server is where
    /// `remembered` says it was.
    pub(crate) async fn connect<E: Env>(
        &self,
        env: &E,
        tls: Option<&Arc<ClientConfig>>,
        remembered: &Remembered,
    ) -> Result<CarrierStream<E::Stream>, UrlError> {
        let unreached = |code| UrlError::Unreached(self.authority.clone(), code);
        let addresses = match &self.host {
            Host::Ip(address) => vec![*address],
            Host::Name(name) => {
                let late = env.sleep_until(env.now() + RESOLVE_TIMEOUT);
                let found = tokio::select! {
                    biased;
                    found = env.resolve(name) => found.map_err(|error| dial::lookup_code(&error)),
                    () = late => Err(Code::NotResolved),
                };
                let found = found.or_else(|code| remembered.of(name).ok_or(code));
                let found = found.map_err(unreached)?;
                interleave(found, Family::V6)
            }
        };
        let candidates: Vec<SocketAddr> = addresses
            .iter()
            .map(|&address| SocketAddr::new(address, self.port))
            .collect();
        let deadline = env.now() + CONNECT_TIMEOUT;
        let (stream, _) = dial::race(env, &candidates, deadline)
            .await
            .map_err(unreached)?;
        if let Host::Name(name) = &self.host {
            remembered.keep(name, &addresses);
        }
        if !self.encrypted {
            return Ok(CarrierStream::Plain(stream));
        }
        let tls = tls.ok_or_else(|| UrlError::NoTls(self.authority.clone()))?;
        let name = match &self.host {
            Host::Ip(address) => ServerName::IpAddress((*address).into()),
            Host::Name(name) => ServerName::try_from(name.to_string())
                .map_err(|_| UrlError::Malformed(self.authority.clone()))?,
        };
        let late = env.sleep_until(env.now() + TLS_TIMEOUT);
        let shaken = tokio::select! {
            biased;
            shaken = TlsConnector::from(tls.clone()).connect(name, stream) => shaken,
            () = late => Err(std::io::ErrorKind::TimedOut.into()),
        };
        let stream = shaken.map_err(|error| UrlError::Tls(self.authority.clone(), error))?;
        Ok(stream.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_clear_must_be_asked_for() {
        for url in ["ws://pop.example:1", "http://manager.example"] {
            assert!(Origin::parse(url, Clear::Allowed).is_ok(), "{url}");
            let error = Origin::parse(url, Clear::Refused).unwrap_err();
            assert!(matches!(error, UrlError::Clear(_)), "{error}");
        }
        for url in ["wss://pop.example:1", "https://manager.example"] {
            assert!(Origin::parse(url, Clear::Refused).is_ok(), "{url}");
        }
        for url in ["", "pop", "ftp://pop"] {
            let error = Origin::parse(url, Clear::Refused).unwrap_err();
            assert!(matches!(error, UrlError::Malformed(_)), "{url}: {error}");
        }
    }
}
