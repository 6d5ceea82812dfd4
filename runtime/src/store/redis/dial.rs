//! A connection to the server: by a socket, TCP or TLS, to the primary that sentinels name.

use super::address::{Address, Host, Place};
use super::failure::{Failure, describe};
use crate::env::tokio::names::Names;
use core::cmp::Reverse;
use core::time::Duration;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long sentinels may take to say where the primary is.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(300);

/// How long a connection may be silent before its other end is asked whether it is there, how often
/// it is asked then, and how often in vain.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_RETRIES: u32 = 3;

/// A connection, and the task that moves its bytes: it ends when the other end closes, and with the
/// last handle.
pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
}

/// The task of a connection.
pub(super) struct Driver(JoinHandle<()>);

impl Driver {
    /// Returns whether the other end is known to have closed.
    pub(super) fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a server may be.
pub(super) enum Candidate<'a> {
    Host(Cow<'a, Host>),
    Socket(&'a Path),
}

impl Candidate<'_> {
    /// Connects and logs in.
    pub(super) async fn dial(
        &self,
        tls: Option<&Arc<ClientConfig>>,
        login: &RedisConnectionInfo,
    ) -> Result<Dialled, Failure> {
        match self {
            Self::Host(host) => dial_host(host, tls, login).await,
            Self::Socket(path) => dial_socket(path, login).await,
        }
    }
}

/// Returns where the primary that an address names may be, the likeliest place first.
pub(super) async fn candidates<'a>(
    address: &'a Address,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Vec<Candidate<'a>>, Failure> {
    match &address.place {
        Place::Host(host) => Ok(vec![Candidate::Host(Cow::Borrowed(host))]),
        Place::Socket(path) => Ok(vec![Candidate::Socket(path)]),
        Place::Sentinels {
            hosts,
            service,
            login,
        } => {
            let named = ask_sentinels(hosts, service, tls, login).await?;
            let candidate = |host| Candidate::Host(Cow::Owned(host));
            Ok(named.into_iter().map(candidate).collect())
        }
    }
}

#[cfg(unix)]
async fn dial_socket(path: &Path, login: &RedisConnectionInfo) -> Result<Dialled, Failure> {
    let stream = tokio::net::UnixStream::connect(path).await;
    let stream = stream.map_err(|error| Failure::Away(format!("{}: {error}", path.display())))?;
    greet(stream, login).await
}

#[cfg(not(unix))]
async fn dial_socket(_: &Path, _: &RedisConnectionInfo) -> Result<Dialled, Failure> {
    core::future::ready(Err(Failure::Away("there are no sockets here".to_owned()))).await
}

/// Connects to a host by its address or its name, which no search domain is put behind.
async fn connect(name: &str, port: u16) -> std::io::Result<TcpStream> {
    let found = match name.parse() {
        Ok(address) => vec![address],
        Err(_) => Names::default().resolve(name).await?,
    };
    let to: Vec<SocketAddr> = found
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect();
    TcpStream::connect(&*to).await
}

async fn dial_host(
    host: &Host,
    tls: Option<&Arc<ClientConfig>>,
    login: &RedisConnectionInfo,
) -> Result<Dialled, Failure> {
    let Host { name, port } = host;
    let away = |error: std::io::Error| Failure::Away(format!("{name}:{port}: {error}"));
    let stream = connect(name, *port).await.map_err(away)?;
    tune(&stream).map_err(away)?;
    let Some(tls) = tls else {
        return greet(stream, login).await;
    };
    let server = ServerName::try_from(name.clone())
        .map_err(|_| Failure::Away(format!("{name} can be in no certificate")))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(server, stream);
    greet(stream.await.map_err(away)?, login).await
}

/// Has a connection whose other end vanished noticed while nothing is asked.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Logs in over a stream.
async fn greet<C>(stream: C, login: &RedisConnectionInfo) -> Result<Dialled, Failure>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Times are kept over connecting and asking together.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let greeted = MultiplexedConnection::new_with_config(login, stream, config).await;
    let (connection, driver) = greeted.map_err(Failure::of_connecting)?;
    Ok(Dialled {
        connection,
        driver: Driver(tokio::spawn(driver)),
    })
}

/// Asks all sentinels at once where the primary of a service is. What most of them say comes first: one that
/// was cut off may still believe in the last one.
async fn ask_sentinels(
    hosts: &[Host],
    service: &str,
    tls: Option<&Arc<ClientConfig>>,
    login: &RedisConnectionInfo,
) -> Result<Vec<Host>, Failure> {
    let mut asking = JoinSet::new();
    for host in hosts {
        let (host, service) = (host.clone(), service.to_owned());
        let (tls, login) = (tls.cloned(), login.clone());
        asking.spawn(async move {
            let ask = ask_sentinel(&host, &service, tls.as_ref(), &login);
            let said = timeout(SENTINEL_TIMEOUT, ask).await;
            said.unwrap_or_else(|_| Err(format!("{}:{}: no answer in time", host.name, host.port)))
        });
    }
    let mut named: Vec<(Host, usize)> = Vec::new();
    let mut last = "no sentinel is named".to_owned();
    while let Some(said) = asking.join_next().await {
        match said.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(primary) => match named.iter_mut().find(|(host, _)| *host == primary) {
                Some((_, votes)) => *votes += 1,
                None => named.push((primary, 1)),
            },
            Err(error) => last = error,
        }
    }
    if named.is_empty() {
        return Err(Failure::Away(format!(
            "no sentinel knows the primary: {last}"
        )));
    }
    named.sort_by_key(|(_, votes)| Reverse(*votes));
    Ok(named.into_iter().map(|(host, _)| host).collect())
}

async fn ask_sentinel(
    host: &Host,
    service: &str,
    tls: Option<&Arc<ClientConfig>>,
    login: &RedisConnectionInfo,
) -> Result<Host, String> {
    let dialled = dial_host(host, tls, login).await;
    let mut dialled = dialled.map_err(Failure::into_text)?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(service);
    let answer = command.query_async::<Value>(&mut dialled.connection).await;
    let named: Option<(String, u16)> = answer
        .and_then(|answer| Ok(redis::from_redis_value(answer)?))
        .map_err(|error| describe(&error))?;
    let (name, port) = named.ok_or_else(|| format!("the sentinel knows no service `{service}`"))?;
    Ok(Host { name, port })
}
