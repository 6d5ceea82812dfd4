//! An application that speaks SOCKS5.

use super::payload::Payload;
use crate::net::{SimEnv, SimStream};
use core::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use titan_runtime::env::Env as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;

/// An application of one user. Clones are others of the same user on the same host.
#[derive(Clone, Debug)]
pub struct Client {
    env: SimEnv,
    proxy: SocketAddr,
    user: String,
    password: String,
}

/// Where an application wants to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// An address.
    Address(SocketAddr),
    /// A name and a port.
    Name(String, u16),
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl From<(&str, u16)> for Destination {
    fn from((name, port): (&str, u16)) -> Self {
        Self::Name(name.to_owned(), port)
    }
}

impl Destination {
    /// Returns the CONNECT request (RFC 1928 section 4).
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let mut out = vec![5, 1, 0];
        let port = match self {
            Self::Address(address) => {
                match address.ip() {
                    IpAddr::V4(ip) => {
                        out.push(1);
                        out.extend(ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        out.push(4);
                        out.extend(ip.octets());
                    }
                }
                address.port()
            }
            Self::Name(name, port) => {
                out.push(3);
                out.push(u8::try_from(name.len()).expect("a name that SOCKS5 can carry"));
                out.extend(name.as_bytes());
                *port
            }
        };
        out.extend(port.to_be_bytes());
        out
    }
}

/// What to move over one connection.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Tells flows apart.
    pub flow: u64,
    /// Bytes to the target.
    pub up: u64,
    /// Bytes from the target.
    pub down: u64,
    /// The client reads nothing until this is true.
    pub client_gate: Option<watch::Receiver<bool>>,
    /// The target reads nothing until its gate opens.
    pub target_gated: bool,
}

impl Demand {
    /// The length of what a client sends first.
    pub const HEADER_LEN: usize = 25;

    /// Returns what a client sends first: flow, bytes up, bytes down, and whether to wait for the
    /// gate.
    #[must_use]
    pub fn header(&self) -> [u8; Self::HEADER_LEN] {
        let mut out = [0; Self::HEADER_LEN];
        let numbers = [self.flow, self.up, self.down];
        for (place, number) in out.chunks_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        out[24] = self.target_gated.into();
        out
    }
}

/// What came of a demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Every byte arrived, and both ends were clean.
    Complete,
    /// Not even the handshake was completed: the reply, or zero if there was none.
    Refused(u8),
    /// The connection was reset after this many bytes had come.
    Reset(u64),
    /// The connection ended cleanly after this many bytes, too few.
    Torn(u64),
}

impl Client {
    pub(super) fn new(env: SimEnv, proxy: SocketAddr, user: &str, password: &str) -> Self {
        Self {
            env,
            proxy,
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// Connects to the proxy and says nothing.
    ///
    /// # Errors
    /// Fails if the proxy is not there.
    pub async fn dial(&self) -> io::Result<SimStream> {
        self.env.connect(self.proxy).await
    }

    /// Returns the greeting that offers user name and password, and nothing else.
    #[must_use]
    pub const fn greeting() -> [u8; 3] {
        [5, 1, 2]
    }

    /// Returns the credentials as they are sent (RFC 1929 section 2).
    #[must_use]
    pub fn credentials(&self) -> Vec<u8> {
        let mut out = vec![1];
        for part in [&self.user, &self.password] {
            out.push(u8::try_from(part.len()).expect("credentials that SOCKS5 can carry"));
            out.extend(part.as_bytes());
        }
        out
    }

    /// Connects to the proxy and logs in.
    ///
    /// # Errors
    /// Fails if the proxy is not there, ends the connection, or does not let the user in.
    pub async fn login(&self) -> io::Result<SimStream> {
        let mut stream = self.dial().await?;
        stream.write_all(&Self::greeting()).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        if answer != [5, 2] {
            return Err(ErrorKind::PermissionDenied.into());
        }
        stream.write_all(&self.credentials()).await?;
        stream.read_exact(&mut answer).await?;
        if answer != [1, 0] {
            return Err(ErrorKind::PermissionDenied.into());
        }
        Ok(stream)
    }

    /// Logs in and asks for a connection; returns the proxy's reply.
    ///
    /// # Errors
    /// As [`login`](Self::login), or if the proxy ends the connection without a reply.
    pub async fn connect(&self, to: impl Into<Destination>) -> io::Result<(u8, SimStream)> {
        let mut stream = self.login().await?;
        stream.write_all(&to.into().request()).await?;
        let code = read_reply(&mut stream).await?;
        Ok((code, stream))
    }

    /// Moves what is demanded over one connection of its own.
    pub async fn transfer(&self, to: impl Into<Destination>, demand: &Demand) -> Outcome {
        match self.connect(to).await {
            Ok((0, stream)) => exchange(stream, demand, &Cell::new(0)).await,
            Ok((code, _)) => Outcome::Refused(code),
            Err(_) => Outcome::Refused(0),
        }
    }
}

/// Reads the proxy's reply to a request, and returns its code.
///
/// # Errors
/// Fails if the proxy ends the connection without one.
pub async fn read_reply(stream: &mut SimStream) -> io::Result<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    assert_eq!((head[0], head[2]), (5, 0), "a SOCKS5 reply");
    let mut bound = vec![0; if head[3] == 4 { 18 } else { 6 }];
    stream.read_exact(&mut bound).await?;
    Ok(head[1])
}

/// Moves what is demanded over an open connection; `received` is how far it has come.
pub async fn exchange(stream: SimStream, demand: &Demand, received: &Cell<u64>) -> Outcome {
    let (mut read, mut write) = tokio::io::split(stream);
    let (sent, outcome) = tokio::join!(
        send(&mut write, demand),
        receive(&mut read, demand, received)
    );
    match sent {
        // A kernel tells of a reset once; when the writer was told, the reader finds an end.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Outcome::Reset(received.get()),
        Ok(()) | Err(_) => outcome,
    }
}

async fn send(stream: &mut WriteHalf<SimStream>, demand: &Demand) -> io::Result<()> {
    stream.write_all(&demand.header()).await?;
    let mut payload = Payload::new(demand.flow, demand.up);
    while payload.left() > 0 {
        let len = stream.write(payload.chunk()).await?;
        payload.advance(len);
    }
    stream.shutdown().await
}

async fn receive(
    stream: &mut ReadHalf<SimStream>,
    demand: &Demand,
    received: &Cell<u64>,
) -> Outcome {
    if let Some(gate) = &demand.client_gate {
        // A gate that is gone is open.
        let _ = gate.clone().wait_for(|open| *open).await;
    }
    let mut payload = Payload::new(!demand.flow, demand.down);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) if payload.left() == 0 => return Outcome::Complete,
            Ok(0) => return Outcome::Torn(received.get()),
            Ok(len) => {
                payload.check(&buffer[..len]);
                received.set(received.get() + len as u64);
            }
            Err(_) => return Outcome::Reset(received.get()),
        }
    }
}
