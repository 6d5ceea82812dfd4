//! Another exit, before the client notices (requirement B2, invariant I7).
//!
//! A session moves iff nothing of it can have reached a target: its edge said that the dial failed,
//! and an edge says otherwise before it writes; or no client byte was ever framed for its tunnel.

use super::super::engine::Engine;
use super::super::event::Event;
use super::{PopRole, key_of};
use crate::account::Way;
use crate::arena::{SessionId, TunnelId};
use crate::config::EXITS_MAX;
use crate::exit::index::{Demand, ExitKey};
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::session::send::{Fin, SendHalf};
use crate::session::{CloseMode, Phase, PopSide};
use crate::time::Instant;
use alloc::boxed::Box;
use titan_proto::{Code, wire};

impl PopRole {
    /// Applies the edge's answer to a CREATE.
    pub(super) fn replied(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        tunnel: TunnelId,
        number: u64,
        reply: wire::Reply,
    ) -> Result<(), Code> {
        let Some(id) = engine.find(tunnel, number)? else {
            return Ok(());
        };
        let Some(session) = engine.sessions.get_mut(id) else {
            return Ok(());
        };
        match session.phase {
            Phase::Ended(_) => {
                mark::hit(Mark::ReplyAfterClose);
                return Ok(());
            }
            // Closed while the dial ran: what the client sent before still leaves, if it can.
            Phase::Closing(closing) => {
                if Code::from_wire(reply.code) == Code::Ok {
                    session.send.raise(reply.upload_limit);
                    engine.schedule(id);
                } else {
                    engine.end(now, id, closing, CloseMode::Abort);
                }
                return Ok(());
            }
            Phase::Open => return Err(Code::Protocol),
            Phase::Dialling if !session.is_announced() => return Err(Code::Protocol),
            Phase::Dialling => {}
        }
        let code = Code::from_wire(reply.code);
        if code != Code::Ok {
            if is_exit_failure(code) {
                self.index.failed(now, key_of(tunnel));
            }
            if code == Code::Forbidden {
                mark::hit(Mark::TargetForbidden);
            }
            engine.unmap(id);
            self.orphaned(engine, now, id, code);
            return Ok(());
        }
        session.phase = Phase::Open;
        session.deadline = None;
        session.moved_at = now;
        if session.recv.stopped {
            mark::hit(Mark::StopWhileDialling);
        }
        session.send.raise(reply.upload_limit);
        if let Some(side) = session.pop_mut() {
            side.early.take();
            side.reply = Some(Box::new(reply));
        }
        engine.rearm_idle(now, id);
        engine.recharge(id);
        engine.schedule(id);
        engine.wake(id);
        engine.advance(id);
        Ok(())
    }

    /// Takes a session whose dial came to nothing, and which no tunnel knows any more.
    pub(super) fn orphaned(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        id: SessionId,
        code: Code,
    ) {
        let by_tunnel = is_of_tunnel(code);
        let Some(session) = engine.sessions.get_mut(id) else {
            return;
        };
        if session.phase != Phase::Dialling {
            return;
        }
        let Some(side) = session.pop_mut() else {
            return;
        };
        if by_tunnel && side.has_framed() {
            mark::hit(Mark::DialLostWithBytes);
            let code = side.verdict.unwrap_or(code);
            engine.end(now, id, code, CloseMode::Abort);
            return;
        }
        if !is_exit_failure(code) {
            side.verdict.get_or_insert(code);
        }
        let sticky = side.held.is_some();
        let allowed = may_move(side, code);
        let tunnel = if sticky {
            self.another_leased(engine, now, id, code)
        } else if allowed {
            self.another(engine, now, id)
        } else {
            None
        };
        if let Some(tunnel) = tunnel {
            mark::hit(if by_tunnel {
                Mark::FailoverLost
            } else {
                Mark::FailoverRefused
            });
            self.move_to(engine, now, id, tunnel);
            return;
        }
        let Some(session) = engine.sessions.get_mut(id) else {
            return;
        };
        let code = if sticky && by_tunnel {
            Code::ExitAway
        } else {
            code
        };
        let code = session.pop().and_then(|side| side.verdict).unwrap_or(code);
        engine.end(now, id, code, CloseMode::Abort);
    }

    /// Handles the detachment of a tunnel: dials of which nothing was framed go elsewhere at once.
    pub(super) fn detached(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        tunnel_id: TunnelId,
        code: Code,
    ) {
        let Some(tunnel) = engine.tunnels.get_mut(tunnel_id) else {
            return;
        };
        if let crate::tunnel::Owner::Node { confirmed, .. } = &mut tunnel.owner {
            *confirmed = false;
        }
        if tunnel.was_attached {
            engine.events.push_back(Event::NodeDetached {
                tunnel: tunnel_id,
                code,
            });
        }
        self.index.lost(now, key_of(tunnel_id));
        self.refresh(engine, now, tunnel_id);
        let Some(tunnel) = engine.tunnels.get(tunnel_id) else {
            return;
        };
        let dialling: alloc::vec::Vec<SessionId> = tunnel.session_ids().collect();
        for id in dialling {
            if self.leave_silent_exit(engine, now, id) {
                mark::hit(Mark::FailoverDetached);
            } else if engine
                .sessions
                .get(id)
                .and_then(|session| session.pop().filter(|_| !session.is_ended()))
                .is_some_and(PopSide::has_framed)
            {
                mark::hit(Mark::DialAwaitsResume);
            }
            Self::wait_for_exit(engine, id);
        }
    }

    /// Handles a dial that took longer than its edge may take.
    pub(super) fn dial_overdue(&mut self, engine: &mut Engine, now: Instant, id: SessionId) {
        if let Some(session) = engine.sessions.get(id) {
            self.index.failed(now, key_of(session.tunnel));
        }
        if self.leave_silent_exit(engine, now, id) {
            mark::hit(Mark::FailoverSilent);
        } else {
            mark::hit(Mark::DialOverdue);
            let away = engine.is_leased_away(id);
            let code = if away { Code::ExitAway } else { Code::TimedOut };
            engine.reset(now, id, code);
        }
    }

    /// Moves a session off an exit that says nothing, if no client byte was framed for it and there
    /// is another. The old exit is told to forget the session if it knows of it.
    fn leave_silent_exit(&mut self, engine: &mut Engine, now: Instant, id: SessionId) -> bool {
        let Some(session) = engine.sessions.get_mut(id) else {
            return false;
        };
        let (old, number) = (session.tunnel, session.number);
        if session.phase != Phase::Dialling {
            return false;
        }
        let Some(side) = session.pop_mut() else {
            return false;
        };
        if side.held.is_some() || side.has_framed() || !may_move(side, Code::TunnelLost) {
            return false;
        }
        let created = side.created;
        let Some(tunnel) = self.another(engine, now, id) else {
            return false;
        };
        engine.unmap(id);
        if created
            && !planted::on(Planted::ForgottenClose)
            && let Some(old_tunnel) = engine.tunnels.get_mut(old)
        {
            old_tunnel.closes.push_back((number, Code::Cancelled));
            engine.mark(old);
        }
        self.move_to(engine, now, id, tunnel);
        true
    }

    fn another(&mut self, engine: &Engine, now: Instant, id: SessionId) -> Option<TunnelId> {
        let side = engine.sessions.get(id)?.pop()?;
        let tried = side.exits.as_slice();
        if tried.len() >= EXITS_MAX {
            mark::hit(Mark::OutOfExits);
            return None;
        }
        if now >= side.opened_at + engine.config.dial_budget {
            mark::hit(Mark::DialBudgetOver);
            return None;
        }
        let mut exclude = [None; 3];
        for (place, &key) in exclude.iter_mut().zip(tried) {
            *place = Some(ExitKey(key));
        }
        let country = side.country;
        self.choose(engine, now, &Demand { country, exclude })
    }

    /// Gives a session another exit. Early bytes and the end of the direction move together.
    fn move_to(&self, engine: &mut Engine, now: Instant, id: SessionId, tunnel: TunnelId) {
        let Some(session) = engine.sessions.get_mut(id) else {
            return;
        };
        let old = core::mem::replace(&mut session.send, SendHalf::new(0));
        session.send.queue = old.queue;
        session.send.unpaid = old.unpaid;
        let second = session.pop().is_some_and(|side| side.exits.count > 1);
        if old.fin != Fin::Open && !(second && planted::on(Planted::EarlyFinLost)) {
            session.send.fin = Fin::Queued;
        }
        let mut again = 0;
        if let Some(side) = session.pop_mut() {
            let early = side.early.take();
            again = early.len();
            if early.len() > 0 {
                mark::hit(if early.finished {
                    Mark::EarlyFinMoved
                } else {
                    Mark::EarlyMoved
                });
            }
            let pieces: alloc::vec::Vec<_> = early.into_pieces().collect();
            if second && planted::on(Planted::EarlyDoubled) {
                session.send.queue.prepend(pieces.clone().into_iter());
            }
            session.send.queue.prepend(pieces.into_iter());
        }
        if second && planted::on(Planted::EarlyCountedTwice) {
            engine.carry(now, id, Way::Up, again);
        }
        engine.counters.failovers += 1;
        self.place(engine, now, id, tunnel);
        engine.recharge(id);
    }
}

impl PopSide {
    /// Tells whether anything of the client was framed for the present tunnel.
    fn has_framed(&self) -> bool {
        let moves = self.refused && planted::on(Planted::FailoverAfterByte);
        (self.early.len() > 0 || self.early.finished) && !moves
    }
}

/// Tells whether the rules allow another exit after this outcome; counts a refusal.
fn may_move(side: &mut PopSide, code: Code) -> bool {
    if matches!(
        code,
        Code::Forbidden | Code::AddressUnsupported | Code::CommandUnsupported
    ) {
        // Another exit would say the same.
        return false;
    }
    if is_exit_failure(code) {
        return true;
    }
    let refused_before = side.refused;
    side.refused |= code == Code::Refused;
    !(side.strict || (code == Code::Refused && refused_before))
}

/// Tells whether a dial came to nothing because its tunnel ended, and not by the edge's answer.
pub(super) const fn is_of_tunnel(code: Code) -> bool {
    matches!(code, Code::TunnelLost | Code::Kicked)
}

/// Tells whether the outcome says something about the exit and nothing about the target.
pub(super) const fn is_exit_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Internal
            | Code::NoExit
            | Code::ExitAway
            | Code::Overloaded
            | Code::ExitLimit
            | Code::ShuttingDown
            | Code::TunnelLost
            | Code::Memory
            | Code::Cancelled
            | Code::Kicked
    )
}
