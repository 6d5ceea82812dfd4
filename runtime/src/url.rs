//! The addresses of managers and POPs.

use crate::carrier::CarrierStream;
use crate::dial;
use crate::env::Env;
use core::time::Duration;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use titan_core::exit::candidate::{Family, interleave};
use titan_core::target::Host;
use titan_proto::Code;
use tokio_rustls::TlsConnector;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a server is: a URL without what comes after the authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
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

impl Endpoint {
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

    /// Connects, under TLS if the URL says so.
    pub(crate) async fn connect<E: Env>(
        &self,
        env: &E,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<CarrierStream<E::Stream>, UrlError> {
        let unreached = |code| UrlError::Unreached(self.authority.clone(), code);
        let addresses = match &self.host {
            Host::Ip(address) => vec![*address],
            Host::Name(name) => {
                let found = env
                    .resolve(name)
                    .await
                    .map_err(|_| unreached(Code::NotResolved))?;
                interleave(found, Family::V6)
            }
        };
        let candidates: Vec<SocketAddr> = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, self.port))
            .collect();
        let deadline = env.now() + CONNECT_TIMEOUT;
        let (stream, _) = dial::race(env, &candidates, deadline)
            .await
            .map_err(unreached)?;
        if !self.encrypted {
            return Ok(CarrierStream::Plain(stream));
        }
        let tls = tls.ok_or_else(|| UrlError::NoTls(self.authority.clone()))?;
        let name = match &self.host {
            Host::Ip(address) => ServerName::IpAddress((*address).into()),
            Host::Name(name) => ServerName::try_from(name.to_string())
                .map_err(|_| UrlError::Malformed(self.authority.clone()))?,
        };
        let stream = TlsConnector::from(tls.clone())
            .connect(name, stream)
            .await
            .map_err(|error| UrlError::Tls(self.authority.clone(), error))?;
        Ok(stream.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_clear_must_be_asked_for() {
        for url in ["ws://pop.example:1", "http://manager.example"] {
            assert!(Endpoint::parse(url, Clear::Allowed).is_ok(), "{url}");
            let error = Endpoint::parse(url, Clear::Refused).unwrap_err();
            assert!(matches!(error, UrlError::Clear(_)), "{error}");
        }
        for url in ["wss://pop.example:1", "https://manager.example"] {
            assert!(Endpoint::parse(url, Clear::Refused).is_ok(), "{url}");
        }
        for url in ["", "pop", "ftp://pop"] {
            let error = Endpoint::parse(url, Clear::Refused).unwrap_err();
            assert!(matches!(error, UrlError::Malformed(_)), "{url}: {error}");
        }
    }
}
