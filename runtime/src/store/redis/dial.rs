//! A connection to the server: by a socket, TCP or TLS, to the primary that sentinels name.

use super::address::{Address, Host, Place};
use super::failure::{Failure, describe};
use crate::env::tokio::names::Names;
use core::time::Duration;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long one sentinel may take to say where the primary is.
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

/// Connects to the server that an address names.
pub(super) async fn dial(
    address: &Address,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Dialled, Failure> {
    match &address.place {
        Place::Host(host) => dial_host(host, tls, &address.login).await,
        Place::Socket(path) => dial_socket(path, &address.login).await,
        Place::Sentinels {
            hosts,
            service,
            login,
        } => {
            let primary = find_primary(hosts, service, tls, login).await?;
            dial_host(&primary, tls, &address.login).await
        }
    }
}

#[cfg(unix)]
async fn dial_socket(
    path: &std::path::Path,
    login: &RedisConnectionInfo,
) -> Result<Dialled, Failure> {
    let stream = tokio::net::UnixStream::connect(path).await;
    let stream = stream.map_err(|error| Failure::Away(format!("{}: {error}", path.display())))?;
    greet(stream, login).await
}

#[cfg(not(unix))]
async fn dial_socket(_: &std::path::Path, _: &RedisConnectionInfo) -> Result<Dialled, Failure> {
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
    let (connection, driver) = greeted.map_err(|error| Failure::Away(describe(&error)))?;
    Ok(Dialled {
        connection,
        driver: Driver(tokio::spawn(driver)),
    })
}

/// Asks sentinels, one after the other, where the primary of a service is.
async fn find_primary(
    hosts: &[Host],
    service: &str,
    tls: Option<&Arc<ClientConfig>>,
    login: &RedisConnectionInfo,
) -> Result<Host, Failure> {
    let mut last = "no sentinel is named".to_owned();
    for host in hosts {
        match timeout(SENTINEL_TIMEOUT, ask_sentinel(host, service, tls, login)).await {
            Ok(Ok(primary)) => return Ok(primary),
            Ok(Err(error)) => last = error,
            Err(_) => last = format!("{}:{}: no answer in time", host.name, host.port),
        }
    }
    Err(Failure::Away(format!(
        "no sentinel knows the primary: {last}"
    )))
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
