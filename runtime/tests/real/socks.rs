//! A SOCKS5 client that sends what it is told, which curl would not.

use crate::server::{PATIENCE, patient};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};

/// The user and password of tests that need no other.
pub(crate) const USER: (&str, &str) = ("u", "p");

/// Whom to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host<'a> {
    Ip(IpAddr),
    /// Sent as it is, whatever it means.
    Name(&'a str),
}

/// Asks for a connection; returns the stream and the reply code.
pub(crate) fn ask(proxy: SocketAddr, host: Host<'_>, port: u16) -> io::Result<(TcpStream, u8)> {
    ask_as(USER, proxy, host, port)
}

/// Asks for a connection of a user; returns the stream and the reply code.
///
/// # Errors
/// `PermissionDenied` if the user is not let in.
pub(crate) fn ask_as(
    user: (&str, &str),
    proxy: SocketAddr,
    host: Host<'_>,
    port: u16,
) -> io::Result<(TcpStream, u8)> {
    let mut stream = patient(TcpStream::connect_timeout(&proxy, PATIENCE)?)?;
    stream.set_nodelay(true)?;
    let mut hello = vec![5, 1, 2, 1];
    for text in [user.0, user.1] {
        hello.push(u8::try_from(text.len()).unwrap());
        hello.extend_from_slice(text.as_bytes());
    }
    stream.write_all(&hello)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if answer != [5, 2, 1, 0] {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut request = vec![5, 1, 0];
    match host {
        Host::Ip(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Host::Ip(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Host::Name(name) => {
            request.extend([3, u8::try_from(name.len()).unwrap()]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    stream.write_all(&request)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let rest = match head[3] {
        1 => 4 + 2,
        4 => 16 + 2,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    stream.read_exact(&mut [0; 18][..rest])?;
    Ok((stream, head[1]))
}

/// Connects to a target.
pub(crate) fn connect(proxy: SocketAddr, target: SocketAddr) -> io::Result<TcpStream> {
    connect_as(USER, proxy, target)
}

/// Connects a user to a target.
pub(crate) fn connect_as(
    user: (&str, &str),
    proxy: SocketAddr,
    target: SocketAddr,
) -> io::Result<TcpStream> {
    let (stream, reply) = ask_as(user, proxy, Host::Ip(target.ip()), target.port())?;
    if reply != 0 {
        return Err(io::Error::other(format!("reply {reply}")));
    }
    Ok(stream)
}
