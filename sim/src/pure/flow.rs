//! The two ends of a session: a client at the POP, a target at an edge, and the pattern between them.

use super::chooser::mix;
use super::plan::Plan;
use bytes::Bytes;
use titan_core::endpoint::{CloseMode, Endpoint, Role, SessionId, SessionStatus};
use titan_core::time::{Duration, Instant};
use titan_proto::Code;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Up,
    Down,
}

fn pattern(flow: usize, way: Way, offset: u64) -> u8 {
    let tag = (flow as u64) << 33 | u64::from(way == Way::Up) << 32;
    let word = mix(tag ^ mix(offset / 8));
    word.to_le_bytes()[(offset % 8) as usize]
}

/// A socket with a program behind it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) flow: usize,
    way_out: Way,
    way_in: Way,
    to_send: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) expected: u64,
    reads_from: Duration,
    leaves_at: Option<u64>,
    chunk: u64,
    finished: bool,
    /// Its driver has a reason to look at it.
    pub(crate) awake: bool,
    /// The other side's end was seen.
    pub(crate) saw_end: bool,
    /// How it ended, once it did.
    pub(crate) ended: Option<Code>,
}

impl Peer {
    pub(crate) fn client(flow: usize, plan: &Plan) -> Self {
        Self {
            flow,
            way_out: Way::Up,
            way_in: Way::Down,
            to_send: plan.up,
            sent: 0,
            received: 0,
            expected: plan.down,
            reads_from: plan.client_reads_from,
            leaves_at: plan.client_leaves_at,
            chunk: plan.chunk,
            finished: false,
            awake: true,
            saw_end: false,
            ended: None,
        }
    }

    pub(crate) fn target(flow: usize, plan: &Plan) -> Self {
        Self {
            way_out: Way::Down,
            way_in: Way::Up,
            to_send: plan.down,
            expected: plan.up,
            reads_from: plan.target_reads_from,
            leaves_at: None,
            ..Self::client(flow, plan)
        }
    }

    /// Does what a driver with this socket would do. Returns true if it did anything.
    pub(crate) fn pump<R: Role>(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint<R>,
        id: SessionId,
        may_send: bool,
    ) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let Some(status) = endpoint.status(id) else {
            return false;
        };
        let mut moved = self.read(now, endpoint, id, status);
        if self.leaves_at.is_some_and(|at| self.received >= at) && self.received > 0 {
            endpoint.close(now, id, Code::Reset, CloseMode::Drain);
            self.ended = Some(Code::Reset);
            return true;
        }
        if may_send && status.ended.is_none() {
            moved |= self.send(now, endpoint, id, status);
        }
        let Some(status) = endpoint.status(id) else {
            return moved;
        };
        if let Some(code) = status.ended
            && status.readable == 0
        {
            assert!(
                code != Code::Ok || self.received == self.expected,
                "I1: flow {} {:?} ended cleanly after {} of {}",
                self.flow,
                self.way_in,
                self.received,
                self.expected
            );
            endpoint.close(now, id, Code::Ok, CloseMode::Abort);
            self.ended = Some(code);
            return true;
        }
        moved
    }

    fn read<R: Role>(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint<R>,
        id: SessionId,
        status: SessionStatus,
    ) -> bool {
        if now < Instant::EPOCH + self.reads_from {
            return false;
        }
        let mut count = 0;
        for slice in endpoint.readable(id) {
            for &byte in slice {
                if count as u64 == self.chunk {
                    break;
                }
                assert_eq!(
                    byte,
                    pattern(self.flow, self.way_in, self.received),
                    "I1, I2: flow {} {:?} at offset {}",
                    self.flow,
                    self.way_in,
                    self.received
                );
                self.received += 1;
                count += 1;
            }
        }
        if count > 0 {
            endpoint.release(now, id, count);
        }
        if status.recv_finished && !self.saw_end {
            assert_eq!(
                self.received, self.expected,
                "I1: flow {} is complete",
                self.flow
            );
            self.saw_end = true;
        }
        count > 0
    }

    fn send<R: Role>(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint<R>,
        id: SessionId,
        status: SessionStatus,
    ) -> bool {
        if self.finished || status.send_stopped {
            return false;
        }
        let len = (self.to_send - self.sent)
            .min(self.chunk)
            .min(status.send_room as u64);
        if len > 0 {
            let bytes: Bytes = (self.sent..self.sent + len)
                .map(|offset| pattern(self.flow, self.way_out, offset))
                .collect();
            endpoint.write(now, id, bytes);
            self.sent += len;
        }
        if self.sent == self.to_send {
            endpoint.finish(now, id);
            self.finished = true;
            return true;
        }
        len > 0
    }
}
