//! Another exit, before the client notices (requirement B2, invariant I7).
//!
//! A session moves iff nothing of it can have reached a target: its edge said that the dial failed,
//! and an edge says otherwise before it writes; or no client byte was ever framed for its tunnel.

use super::clock::Late;
use super::desk::PopDesk;
use super::part::PopAttempt;
use super::{PopRole, key_of};
use crate::account::Way;
use crate::arena::{SessionId, TunnelId};
use crate::endpoint::desk::Desk as _;
use crate::endpoint::engine::Engine;
use crate::endpoint::event::PopEvent;
use crate::endpoint::report::Whose;
use crate::exit::index::Demand;
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::session::{CloseMode, Told};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use titan_proto::{Code, wire};

impl Engine<PopDesk> {
    /// Lets a dial wait for its turn on the only exit it has, as long as it may take in all; false if it
    /// has.
    fn wait_for_turn(&mut self, now: Instant, id: SessionId) -> bool {
        let waits = self.change(now, id, |session| {
            let clock = &mut session.attempt_mut()?.clock;
            clock.wait();
            (!clock.is_over(now)).then_some(())
        });
        waits.flatten().is_some()
    }

    /// Notes that it is for this POP's want of turns that a dial came to nothing.
    fn blame_pop(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            mark::hit(Mark::QueuedTooLong);
            session.flow_mut().limit = Some(Whose::Pop);
        }
    }
}

impl PopRole {
    /// Applies the edge's answer to a CREATE.
    pub(super) fn replied(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        tunnel: TunnelId,
        number: u64,
        reply: wire::Reply,
    ) -> Result<(), Code> {
        let found = engine.find(tunnel, number)?;
        let is_first = engine.answered(tunnel, number);
        let Some(id) = found else {
            return Ok(());
        };
        if !is_first {
            return Err(Code::Protocol);
        }
        let deadline = engine.rest_deadline(now);
        let Some(session) = engine.sessions.get_mut(id) else {
            return Ok(());
        };
        match session.receive_reply(now, &reply, deadline)? {
            Told::Applied => {
                if session.is_open() {
                    let exit = engine.tunnels.get(tunnel).map(|on| on.peer().exit());
                    let flow = session.flow_mut();
                    // The node may have come back from elsewhere since it was asked.
                    flow.exit = exit.map(Arc::clone).or_else(|| flow.exit.take());
                    flow.reply = Some(Box::new(kept(reply)));
                }
                engine.follow(now, id);
            }
            Told::Failed => {
                let code = Code::from_wire(reply.code);
                if is_exit_failure(code) && !is_want_of_memory(code) {
                    self.index.failed(now, key_of(tunnel));
                }
                if code == Code::Forbidden {
                    mark::hit(Mark::TargetForbidden);
                }
                engine.unplace(id);
                self.orphaned(engine, now, id, code);
            }
        }
        Ok(())
    }

    /// Takes a session whose dial came to nothing, and which no tunnel knows any more.
    pub(super) fn orphaned(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        id: SessionId,
        code: Code,
    ) {
        let by_tunnel = is_of_tunnel(code);
        let Some(session) = engine.sessions.get_mut(id) else {
            return;
        };
        let sticky = session.flow().grip.is_some();
        let Some(attempt) = session.attempt_mut() else {
            return;
        };
        if by_tunnel && attempt.has_framed() {
            mark::hit(Mark::DialLostWithBytes);
            let code = attempt.verdict.unwrap_or(code);
            engine.end(now, id, code, CloseMode::Abort);
            return;
        }
        if !is_exit_failure(code) {
            attempt.verdict = Some(code);
        }
        let verdict = attempt.verdict;
        let allowed = may_move(attempt, code);
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
        let code = if sticky && by_tunnel {
            Code::ExitAway
        } else {
            code
        };
        engine.end(now, id, verdict.unwrap_or(code), CloseMode::Abort);
    }

    /// Handles the detachment of a tunnel: dials of which nothing was framed go elsewhere at once.
    pub(super) fn detached(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        tunnel_id: TunnelId,
        code: Code,
    ) {
        let Some(tunnel) = engine.tunnels.get_mut(tunnel_id) else {
            return;
        };
        tunnel.peer_mut().unconfirm();
        if tunnel.peer().was_attached() {
            engine.agenda.tell(PopEvent::NodeDetached {
                tunnel: tunnel_id,
                code,
            });
        }
        let sessions: Vec<SessionId> = tunnel.session_ids().collect();
        self.index.lost(now, key_of(tunnel_id));
        self.refresh(engine, now, tunnel_id);
        for id in sessions {
            if self.leave_silent_exit(engine, now, id) {
                mark::hit(Mark::FailoverDetached);
            } else if let Some(session) = engine.sessions.get(id)
                && session.attempt().is_some_and(PopAttempt::has_framed)
            {
                mark::hit(Mark::DialAwaitsResume);
            }
            Self::wait_for_exit(engine, id);
        }
    }

    /// Handles a dial that took longer than it may. No exit is blamed for the time in this POP's queue.
    pub(super) fn give_up_exit(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        id: SessionId,
    ) {
        let Some(session) = engine.sessions.get(id) else {
            return;
        };
        let Some(attempt) = session.attempt() else {
            return;
        };
        let away = engine.is_away(id);
        let late = if away {
            Late::Exit
        } else {
            attempt.clock.late(now)
        };
        if late == Late::Exit
            && let Some(tunnel) = session.tunnel()
        {
            self.index.failed(now, key_of(tunnel));
        }
        let (queued, framed) = (session.number().is_none(), attempt.has_framed());
        if self.leave_silent_exit(engine, now, id) {
            mark::hit(if queued && !away {
                Mark::FailoverQueued
            } else {
                Mark::FailoverSilent
            });
            return;
        }
        if queued && !away && engine.wait_for_turn(now, id) {
            return;
        }
        mark::hit(Mark::DialOverdue);
        let code = if engine.is_leased_away(id) {
            Code::ExitAway
        } else if late == Late::Pop && !framed {
            engine.blame_pop(id);
            Code::Overloaded
        } else {
            Code::TimedOut
        };
        engine.reset(now, id, heard(engine, id).unwrap_or(code));
    }

    /// Moves a session off an exit that says nothing, if no client byte was framed for it and there
    /// is another. The old exit is told to forget the session if it knows of it.
    fn leave_silent_exit(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        id: SessionId,
    ) -> bool {
        let Some(session) = engine.sessions.get_mut(id) else {
            return false;
        };
        let (old, number) = (session.tunnel(), session.number());
        let sticky = session.flow().grip.is_some();
        let Some(attempt) = session.attempt_mut() else {
            return false;
        };
        if sticky || attempt.has_framed() || !may_move(attempt, Code::TunnelLost) {
            return false;
        }
        let Some(tunnel) = self.another(engine, now, id) else {
            return false;
        };
        engine.unplace(id);
        if let (Some(old), Some(number)) = (old, number)
            && !planted::on(Planted::ForgottenClose)
        {
            engine.change_tunnel(old, |tunnel| tunnel.close_moved(number, Code::Cancelled));
        }
        self.move_to(engine, now, id, tunnel);
        true
    }

    fn another(
        &mut self,
        engine: &Engine<PopDesk>,
        now: Instant,
        id: SessionId,
    ) -> Option<TunnelId> {
        let session = engine.sessions.get(id)?;
        let attempt = session.attempt()?;
        if attempt.exits.are_used_up() {
            mark::hit(Mark::OutOfExits);
            return None;
        }
        if attempt.clock.is_over(now) {
            mark::hit(Mark::DialBudgetOver);
            return None;
        }
        let demand = Demand {
            country: attempt.country,
            exclude: attempt.exits.tried(),
        };
        self.choose(engine, now, session.group(), demand).ok()
    }

    /// Gives a session another exit. Early bytes and the end of the direction move together.
    fn move_to(&self, engine: &mut Engine<PopDesk>, now: Instant, id: SessionId, tunnel: TunnelId) {
        let Some(session) = engine.sessions.get_mut(id) else {
            return;
        };
        let Some(attempt) = session.attempt_mut() else {
            return;
        };
        let second = attempt.exits.is_second_move();
        let early = attempt.early.take();
        if early.len() > 0 {
            mark::hit(if early.is_finished() {
                Mark::EarlyFinMoved
            } else {
                Mark::EarlyMoved
            });
        }
        let again = early.len();
        let pieces = planted::bend(Planted::EarlyDoubled, early.into_pieces(), |pieces| {
            let twice = [&pieces[..], &pieces[..]];
            if second { twice.concat() } else { pieces }
        });
        let finished = session.has_finished() && !(second && planted::on(Planted::EarlyFinLost));
        session.take_back(finished, pieces.into_iter());
        if second && planted::on(Planted::EarlyCountedTwice) {
            engine
                .desk
                .carry(now, &mut engine.agenda, session, Way::Up, again);
        }
        engine.counters.failovers += 1;
        self.place(engine, now, id, tunnel);
    }
}

/// Returns the last answer that was the target's.
fn heard(engine: &Engine<PopDesk>, id: SessionId) -> Option<Code> {
    engine.sessions.get(id)?.attempt()?.verdict
}

/// Tells whether the rules allow another exit after this outcome; counts a refusal.
fn may_move(attempt: &mut PopAttempt, code: Code) -> bool {
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
    let refused_before = attempt.refused;
    attempt.refused |= code == Code::Refused;
    !(attempt.strict || (code == Code::Refused && refused_before))
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

/// Tells whether an edge had no memory for a session. That may be for what one user holds there, and is no
/// reason to send everybody else elsewhere.
const fn is_want_of_memory(code: Code) -> bool {
    matches!(code, Code::Overloaded | Code::Memory)
}

/// Returns the answer as it is kept: what was decoded are slices of the block that it arrived in, and
/// would hold that for as long as the session lives.
fn kept(mut reply: wire::Reply) -> wire::Reply {
    reply
        .addresses
        .retain(|address| address.len() <= ADDRESS_LEN);
    reply.addresses.truncate(ADDRESSES_MAX);
    for address in &mut reply.addresses {
        *address = Bytes::copy_from_slice(address);
    }
    reply.addresses.shrink_to_fit();
    reply
}

/// Addresses of an answer that are kept, and bytes that one has at most.
const ADDRESSES_MAX: usize = 8;
const ADDRESS_LEN: usize = 16;
