//! What planted bugs do to a session, beyond what one call can.

use super::{CloseMode, Flow, Session};
use crate::tunnel::{Peer, Tunnel};

impl<F: Flow> Session<F> {
    /// Drops what a failed socket had sent, if its tunnel has no carrier.
    pub(crate) fn lose_tail<P: Peer>(&mut self, tunnel: Option<&Tunnel<P>>) {
        let away = tunnel.is_some_and(|tunnel| tunnel.carrier().is_none());
        if away && self.closing().is_some() {
            self.body.send.clear();
        }
    }

    /// Forgets that the peer is to be told of an end.
    pub(crate) fn lose_end(&mut self) {
        self.due.stop = None;
        self.due
            .close
            .take_if(|(_, mode)| *mode == CloseMode::Flush);
    }

    /// Takes bytes off the window that a slow socket took.
    pub(crate) const fn lose_window(&mut self, count: usize) {
        if self.body.recv.is_braked() {
            let recv = &mut self.body.recv;
            recv.window = recv.window.saturating_sub(count as u64);
        }
    }
}
