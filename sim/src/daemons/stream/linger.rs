//! A socket that its process has let go of.

use super::wire::{Message, RESET, poll_message, send};
use core::future::poll_fn;
use core::time::Duration;
use tokio::time;
use turmoil::net::TcpStream;

/// How long a kernel keeps such a socket (Linux: `tcp_fin_timeout`).
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a host's kernel keeps of a stream until the peer has read and ended, too.
#[derive(Debug)]
pub(in crate::daemons) struct Linger {
    tcp: TcpStream,
    /// Bytes the peer has not read.
    unread: usize,
    fin_received: bool,
}

impl Linger {
    pub(super) fn new(tcp: TcpStream, unread: usize, fin_received: bool) -> Self {
        Self {
            tcp,
            unread,
            fin_received,
        }
    }

    /// Stays until all is said.
    pub(in crate::daemons) async fn run(mut self) {
        // After the time nobody is told anything any more.
        let _ = time::timeout(TIMEOUT, self.wait()).await;
    }

    async fn wait(&mut self) {
        while self.unread > 0 || !self.fin_received {
            match poll_fn(|cx| poll_message(&mut self.tcp, cx)).await {
                Some(Message::Window(len)) => self.unread = self.unread.saturating_sub(len),
                Some(Message::Fin) => self.fin_received = true,
                Some(Message::Open) => {}
                Some(Message::Data(_)) => {
                    // Nobody will read it.
                    let _ = send(&self.tcp, &[RESET]);
                    return;
                }
                Some(Message::Reset) | None => return,
            }
        }
    }
}
