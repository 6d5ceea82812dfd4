//! The load's way to the target: straight into the yardstick, or through SOCKS5 with a password (RFC 1928, RFC 1929).

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::failure::{Context as _, Failure, Result};

/// Name and password of a proxy's user.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// At most 255 bytes.
    pub(crate) user: String,
    /// At most 255 bytes.
    pub(crate) password: String,
}

/// Where to connect and how to get on from there.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// First relay, or proxy.
    pub(crate) via: SocketAddr,
    /// With it `via` is a SOCKS5 proxy, without it a relay that knows its target.
    pub(crate) login: Option<Login>,
    /// Where the traffic ends.
    pub(crate) target: SocketAddr,
}

impl Route {
    /// Opens a connection to the target.
    pub(crate) async fn open(&self) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.via)
            .await
            .context(format_args!("cannot connect to {}", self.via))?;
        stream.set_nodelay(true)?;
        if let Some(login) = &self.login {
            connect(&mut stream, login, self.target)
                .await
                .context("SOCKS5")?;
        }
        Ok(stream)
    }
}

/// Does a client's handshake, waiting for every reply as common clients do.
async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: &Login,
    target: SocketAddr,
) -> Result<()> {
    stream.write_all(&[5, 1, 2]).await?;
    expect(stream, [5, 2], "method").await?;

    let mut request = vec![1];
    for word in [&login.user, &login.password] {
        request.push(u8::try_from(word.len()).context("name or password too long")?);
        request.extend(word.bytes());
    }
    stream.write_all(&request).await?;
    expect(stream, [1, 0], "password").await?;

    let mut request = vec![5, 1, 0];
    match target.ip() {
        IpAddr::V4(ip) => {
            request.push(1);
            request.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            request.push(4);
            request.extend(ip.octets());
        }
    }
    request.extend(target.port().to_be_bytes());
    stream.write_all(&request).await?;
    expect(stream, [5, 0], "connect").await?;
    // Reserved byte, then the bound address, whose kind tells its length.
    let [_, kind] = read(stream).await?;
    match kind {
        1 => read::<6>(stream).await.map(drop)?,
        4 => read::<18>(stream).await.map(drop)?,
        3 => {
            let mut rest = vec![0; usize::from(stream.read_u8().await?) + 2];
            stream.read_exact(&mut rest).await?;
        }
        other => return Err(Failure::new(format!("address of unknown kind {other}"))),
    }
    Ok(())
}

async fn expect(
    stream: &mut (impl AsyncRead + Unpin),
    reply: [u8; 2],
    step: &'static str,
) -> Result<()> {
    let got: [u8; 2] = read(stream).await.context(step)?;
    if got == reply {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{step} was answered {got:02x?} instead of {reply:02x?}"
    )))
}

async fn read<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
