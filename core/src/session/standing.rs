//! What follows from a session's state for the tunnel that it is on.

use super::due::Due;
use super::place::Place;
use super::{Flow, Session};
use crate::arena::{SessionId, TunnelId};
use crate::tunnel::{Peer, Ticket, Tunnel};

impl<F: Flow> Session<F> {
    pub(crate) const fn tunnel(&self) -> Option<TunnelId> {
        self.place.tunnel()
    }

    /// Returns the session's number on its tunnel, once its CREATE is framed.
    pub(crate) const fn number(&self) -> Option<u64> {
        self.place.number()
    }

    /// Brings the lines that the session stands in on its tunnel up to the session's state.
    pub(crate) fn stand<P: Peer>(&mut self, id: SessionId, tunnel: &mut Tunnel<P>) {
        let ready = self.is_ready();
        let owes = self.due.any() && self.is_announced();
        let Place::On { lines, .. } = &mut self.place else {
            return;
        };
        match lines.data {
            None if ready => lines.data = Some(tunnel.enlist(self.group, self.weight, id)),
            Some(ticket) if !ready => {
                lines.data = None;
                tunnel.withdraw(self.group, ticket);
            }
            None | Some(_) => {}
        }
        if owes && !lines.control {
            lines.control = true;
            tunnel.owe(id);
        }
    }

    /// Lets the session wait for its turn on a tunnel.
    pub(super) fn queue_on<P: Peer>(
        &mut self,
        id: SessionId,
        tunnel_id: TunnelId,
        tunnel: &mut Tunnel<P>,
    ) {
        debug_assert!(self.place == Place::Adrift, "it is on one tunnel at a time");
        let ticket = tunnel.queue(self.group, self.weight, id);
        self.place = Place::Queued(tunnel_id, ticket);
    }

    /// Takes the session's turn: gives it a number, if it has none. Tells whether CREATE goes first.
    pub(crate) fn take_turn<P: Peer>(&mut self, id: SessionId, tunnel: &mut Tunnel<P>) -> bool {
        match &mut self.place {
            Place::Adrift => false,
            &mut Place::Queued(tunnel_id, _) => {
                self.place = Place::numbered(tunnel_id, tunnel.number(self.group, id));
                true
            }
            Place::On { lines, .. } => {
                lines.data = None;
                false
            }
        }
    }

    /// Notes that the session stands in the line for DATA again, or not.
    pub(crate) const fn had_turn(&mut self, again: Option<Ticket>) {
        if let Place::On { lines, .. } = &mut self.place {
            lines.data = again;
        }
    }

    /// Leaves the line of those who owe control frames to this tunnel; false if it did not stand in it.
    pub(crate) fn take_control(&mut self, of: TunnelId) -> bool {
        match &mut self.place {
            Place::On { tunnel, lines, .. } if *tunnel == of => core::mem::take(&mut lines.control),
            Place::Adrift | Place::Queued(..) | Place::On { .. } => false,
        }
    }

    /// Takes the session off its tunnel, and tells whether its place there is free now. The bytes that
    /// still wait stay charged to its user.
    pub(crate) fn leave<P: Peer>(&mut self, id: SessionId, tunnel: &mut Tunnel<P>) -> bool {
        match core::mem::replace(&mut self.place, Place::Adrift) {
            Place::Adrift => false,
            Place::Queued(_, ticket) => {
                tunnel.unqueue(self.group, ticket, id);
                true
            }
            Place::On { number, lines, .. } => {
                if let Some(ticket) = lines.data {
                    tunnel.withdraw(self.group, ticket);
                }
                tunnel.free(number)
            }
        }
    }

    /// Forgets a tunnel that is over, and whatever was owed to it.
    pub(crate) fn cut_adrift(&mut self) {
        self.place = Place::Adrift;
        self.due = Due::default();
    }

    /// Checks that the tunnel knows the session where it is. What is wrong is the audit's find.
    #[track_caller]
    pub(super) fn audit_place<P: Peer>(&self, id: SessionId, tunnel: Option<&Tunnel<P>>) {
        let Some(tunnel) = tunnel else {
            assert!(
                self.place == Place::Adrift,
                "{id:?} is on a tunnel that there is"
            );
            assert!(
                self.is_ended() && self.has_driver(),
                "I6: {id:?} has no reason to live: {:?}",
                self.phase
            );
            return;
        };
        assert!(tunnel.knows(id, self.number()), "{id:?} is mapped");
        let ticket = match self.place {
            Place::Adrift => None,
            Place::Queued(_, ticket) => Some(ticket),
            Place::On { lines, .. } => lines.data,
        };
        assert!(
            ticket.is_none_or(|ticket| tunnel.is_scheduled(self.group, ticket, id)),
            "{id:?} scheduled"
        );
        assert!(
            !self.is_ready() || ticket.is_some(),
            "I5: {id:?} waits for no turn"
        );
        let controls = matches!(self.place, Place::On { lines, .. } if lines.control);
        assert!(
            !self.due.any() || controls || !self.is_announced(),
            "I6: {id:?} owes frames that nobody will make"
        );
    }

    /// Tells whether the session stands in its tunnel's line for DATA; for audits.
    pub(crate) const fn is_in_line(&self) -> bool {
        match self.place {
            Place::Adrift => false,
            Place::Queued(..) => true,
            Place::On { lines, .. } => lines.data.is_some(),
        }
    }
}
