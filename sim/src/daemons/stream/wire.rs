//! What the two ends of a stream say to each other.

use bytes::Bytes;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead as _, ReadBuf};
use turmoil::net::TcpStream;

/// Most bytes of one write; more is a short write.
pub(super) const SEGMENT: usize = 8 * 1024;

pub(super) const DATA: u8 = 0;
pub(super) const WINDOW: u8 = 1;
pub(super) const FIN: u8 = 2;
pub(super) const RESET: u8 = 3;
pub(super) const OPEN: u8 = 4;

/// A message of the peer's.
pub(super) enum Message {
    Data(Bytes),
    Window(usize),
    Fin,
    Reset,
    Open,
}

/// Reads one message; none is the end of turmoil's stream.
pub(super) fn poll_message(tcp: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Option<Message>> {
    let mut block = [MaybeUninit::uninit(); SEGMENT + 1];
    let mut buf = ReadBuf::uninit(&mut block);
    let Poll::Ready(read) = Pin::new(tcp).poll_read(cx, &mut buf) else {
        return Poll::Pending;
    };
    let message = read.ok().and_then(|()| buf.filled().split_first());
    Poll::Ready(message.map(|(&tag, rest)| match tag {
        DATA => Message::Data(Bytes::copy_from_slice(rest)),
        WINDOW => {
            let count = rest.try_into().map_or(0, u32::from_be_bytes);
            Message::Window(count as usize)
        }
        FIN => Message::Fin,
        OPEN => Message::Open,
        _ => Message::Reset,
    }))
}

pub(super) fn send(tcp: &TcpStream, message: &[u8]) -> io::Result<()> {
    let sent = tcp.try_write(message);
    let sent = sent.map_err(|_| io::Error::from(ErrorKind::ConnectionReset))?;
    assert_eq!(sent, message.len(), "turmoil takes writes whole");
    Ok(())
}

pub(super) fn window(len: u32) -> [u8; 5] {
    let mut message = [WINDOW; 5];
    message[1..].copy_from_slice(&len.to_be_bytes());
    message
}
