//! The two ends of a flow: a client at a POP, a target at an edge, and the pattern between them.

use super::chooser::mix;
use super::oracle::violated;
use super::scenario::{Flow, Habit};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use titan_core::endpoint::{CloseMode, Endpoint, Role, SessionId, SessionStatus};
use titan_core::time::{Duration, Instant};
use titan_proto::Code;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// From client to target.
    Up,
    /// From target to client.
    Down,
}

/// A socket is never read into more than is left of the budget.
fn judge_room<R: Role>(endpoint: &Endpoint<R>, room: u64) {
    let (budget, usage) = (endpoint.config().memory_budget, endpoint.usage());
    let left = budget.saturating_sub(usage.session_bytes + usage.resend_bytes);
    if room > left {
        violated(
            4,
            format_args!("room for {room} bytes, and {left} are left"),
        );
    }
}

/// Returns eight bytes of the pattern of a direction, from a multiple of eight on.
fn word(flow: usize, direction: Direction, offset: u64) -> [u8; 8] {
    let tag = (flow as u64) << 33 | u64::from(direction == Direction::Up) << 32;
    mix(tag ^ mix(offset / 8)).to_le_bytes()
}

/// Makes the bytes of a direction from `offset` on.
pub(super) fn pattern(flow: usize, direction: Direction, offset: u64, len: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(len as usize);
    let end = offset + len;
    let mut at = offset;
    while at < end {
        let word = word(flow, direction, at);
        let from = (at % 8) as usize;
        let take = (8 - from).min((end - at) as usize);
        bytes.extend_from_slice(&word[from..from + take]);
        at += take as u64;
    }
    bytes.freeze()
}

/// Returns how many of these bytes are not those of the pattern from `offset` on: zero, or at least
/// the first wrong one.
fn is_pattern(flow: usize, direction: Direction, offset: u64, bytes: &[u8]) -> Result<(), u64> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        let word = word(flow, direction, at);
        let from = (at % 8) as usize;
        let take = (8 - from).min(bytes.len() - done);
        if bytes[done..done + take] != word[from..from + take] {
            return Err(at);
        }
        done += take;
    }
    Ok(())
}

/// Returns the time so many milliseconds after the beginning.
fn after(millis: u64) -> Instant {
    Instant::EPOCH + Duration::from_millis(millis)
}

/// A socket that took less than so many bytes in this time makes no progress.
const SLOW_AFTER: Duration = Duration::from_secs(5);
pub(super) const SLOW_BELOW: u64 = 64 << 10;

/// What came of looking at a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Looked {
    /// Something moved: look again.
    Moved,
    /// Nothing to do until it is woken.
    Idle,
    /// Nothing to do until this time.
    Until(Instant),
}

/// A socket with a program behind it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) flow: usize,
    out: Direction,
    habit: Habit,
    to_send: u64,
    early: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    expected: u64,
    next_read: Instant,
    next_write: Instant,
    slow_until: Instant,
    /// When its socket fails.
    pub(super) fails_from: Option<Instant>,
    /// When it learned that its session is over; what was received may still leave.
    pub(super) over_since: Option<Instant>,
    /// Since when something that it could read waits for it.
    pub(super) unread_since: Option<Instant>,
    /// Since when its user's rate or quota may keep from it what waits for it, or it leaves that unread.
    withheld_since: Option<Instant>,
    /// What it took lately, and when.
    taken: VecDeque<(Instant, u64)>,
    /// When it took or sent something last.
    moved_at: Instant,
    finished: bool,
    pub(super) stopped: bool,
    /// Its stall, if it has one, is over.
    pub(super) freed: bool,
    pub(super) awake: bool,
    /// When it is going to be looked at next, if that was arranged.
    pub(super) look_at: Option<Instant>,
    saw_end: bool,
    /// Its own socket failed.
    pub(super) failed: bool,
    /// How it ended, once it did.
    pub(super) ended: Option<Code>,
    /// Somebody made data up: the bytes mean nothing.
    pub(super) poisoned: bool,
    /// Of a client: the edge that connected it, and which of its lives.
    pub(super) exit: Option<(usize, u64)>,
}

impl Peer {
    pub(super) fn client(index: usize, flow: &Flow, slow_until: Instant) -> Self {
        Self {
            flow: index,
            out: Direction::Up,
            habit: flow.client.clone(),
            to_send: flow.up,
            early: 0,
            sent: 0,
            received: 0,
            expected: flow.down,
            next_read: after(flow.client.reads_from),
            next_write: Instant::EPOCH,
            slow_until,
            fails_from: flow.client.fails_from.map(after),
            over_since: None,
            unread_since: None,
            withheld_since: None,
            taken: VecDeque::new(),
            moved_at: Instant::EPOCH,
            finished: false,
            stopped: false,
            freed: false,
            awake: true,
            look_at: None,
            saw_end: false,
            failed: false,
            ended: None,
            poisoned: false,
            exit: None,
        }
    }

    pub(super) fn target(index: usize, flow: &Flow, slow_until: Instant) -> Self {
        Self {
            out: Direction::Down,
            habit: flow.target.clone(),
            to_send: flow.down,
            expected: flow.up,
            next_read: after(flow.target.reads_from),
            fails_from: flow.target.fails_from.map(after),
            ..Self::client(index, flow, slow_until)
        }
    }

    /// Sends what comes right behind the request, without asking for room.
    pub(super) fn begin<R: Role>(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint<R>,
        id: SessionId,
        early: u64,
    ) {
        if early > 0 {
            endpoint.write(now, id, pattern(self.flow, self.out, 0, early));
            (self.early, self.sent) = (early, early);
            self.moved_at = now;
        }
    }

    /// Returns how many of the bytes it sent may not be booked yet: once there was room for more, all
    /// early ones are.
    pub(super) const fn unbooked_max(&self) -> u64 {
        if self.sent > self.early {
            0
        } else {
            self.early
        }
    }

    const fn incoming(&self) -> Direction {
        match self.out {
            Direction::Up => Direction::Down,
            Direction::Down => Direction::Up,
        }
    }

    /// Does what a driver with this socket would do.
    pub(super) fn look<R: Role>(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint<R>,
        id: SessionId,
        connected: bool,
    ) -> Looked {
        if self.ended.is_some() {
            return Looked::Idle;
        }
        let Some(status) = endpoint.status(now, id) else {
            return Looked::Idle;
        };
        let mut looked = Looked::Idle;
        if status.ended.is_none()
            && (self.fails_from.is_some_and(|at| now >= at)
                || self
                    .habit
                    .fails_at
                    .is_some_and(|at| self.received >= at && (at > 0 || self.sent > 0)))
        {
            endpoint.close(now, id, Code::Reset, CloseMode::Flush);
            self.failed = true;
            self.ended = Some(Code::Reset);
            return Looked::Moved;
        }
        self.read(now, endpoint, id, status, &mut looked);
        // What was read may have used up what could be sent.
        let Some(status) = endpoint.status(now, id) else {
            return looked;
        };
        if connected && status.ended.is_none() {
            self.send(now, endpoint, id, status, &mut looked);
        }
        let Some(status) = endpoint.status(now, id) else {
            return looked;
        };
        if status.ended.is_some() {
            self.over_since.get_or_insert(now);
        }
        if status.readable > 0 {
            self.unread_since.get_or_insert(now);
        } else if status.ended.is_none() {
            self.unread_since = None;
        }
        if let Some(code) = status.ended
            && status.readable == 0
        {
            if code == Code::Ok && !self.poisoned {
                self.judge_clean_end(status);
            }
            endpoint.close(now, id, Code::Ok, CloseMode::Abort);
            self.ended = Some(code);
            return Looked::Moved;
        }
        looked
    }

    /// A session ends cleanly with all of both directions.
    fn judge_clean_end(&self, status: SessionStatus) {
        if !self.stopped && self.received != self.expected {
            violated(
                1,
                format_args!(
                    "flow {} {:?} ended cleanly after {} of {} bytes",
                    self.flow,
                    self.incoming(),
                    self.received,
                    self.expected
                ),
            );
        }
        if !self.finished && !status.send_stopped {
            violated(
                1,
                format_args!(
                    "flow {} {:?} ended cleanly after {} of {} bytes were taken",
                    self.flow, self.out, self.sent, self.to_send
                ),
            );
        }
    }

    fn after_pause(&self, now: Instant) -> Instant {
        if now < self.slow_until {
            now + Duration::from_millis(self.habit.pause)
        } else {
            now
        }
    }

    /// Tells whether it has left something unread so long, and taken so little of it, that its session may
    /// be reset when memory is short.
    pub(super) fn dawdles(&self, now: Instant) -> bool {
        let lately = self.taken.iter();
        let lately = lately.filter(|(at, _)| now.since(*at) < SLOW_AFTER);
        let waits = self.withheld_since.or(self.unread_since);
        let unread = waits.is_some_and(|since| now.since(since) >= SLOW_AFTER);
        unread && lately.map(|(_, count)| count).sum::<u64>() < SLOW_BELOW
    }

    /// Notes whether its user's rate or quota may hold back what waits for it.
    pub(super) fn is_held_back(&mut self, now: Instant, held_back: bool) {
        if held_back {
            let since = self.unread_since.unwrap_or(now);
            self.withheld_since.get_or_insert(since);
        } else if self.unread_since.is_none() {
            self.withheld_since = None;
        }
    }

    /// Tells whether it has neither taken nor sent anything for so long.
    pub(super) fn idles(&self, now: Instant, limit: Duration) -> bool {
        now.since(self.moved_at) >= limit
    }

    fn stalls(&self) -> bool {
        !self.freed && self.habit.stalls_at.is_some_and(|at| self.received >= at)
    }

    fn read<R: Role>(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint<R>,
        id: SessionId,
        status: SessionStatus,
        looked: &mut Looked,
    ) {
        if self.habit.stops_at.is_some_and(|at| self.received >= at)
            && !self.stopped
            && !self.saw_end
            && status.ended.is_none()
        {
            endpoint.stop(now, id, Code::Reset);
            self.stopped = true;
            *looked = Looked::Moved;
            return;
        }
        if self.stopped {
            return;
        }
        if status.readable > 0 && !self.stalls() {
            if now < self.next_read {
                *looked = Looked::Until(self.next_read);
                return;
            }
            self.take(now, endpoint, id);
            self.next_read = self.after_pause(now);
            *looked = Looked::Moved;
        }
        if status.recv_finished && status.readable == 0 && !self.saw_end {
            if self.received != self.expected && !self.poisoned {
                violated(
                    1,
                    format_args!(
                        "flow {} {:?} is finished after {} of {} bytes",
                        self.flow,
                        self.incoming(),
                        self.received,
                        self.expected
                    ),
                );
            }
            self.saw_end = true;
        }
    }

    fn take<R: Role>(&mut self, now: Instant, endpoint: &mut Endpoint<R>, id: SessionId) {
        let mut left = self.habit.chunk as usize;
        let mut count = 0;
        for slice in endpoint.readable(id) {
            let slice = &slice[..slice.len().min(left)];
            let offset = self.received + count as u64;
            if let Err(at) = is_pattern(self.flow, self.incoming(), offset, slice)
                && !self.poisoned
            {
                violated(
                    if at < self.expected { 2 } else { 1 },
                    format_args!(
                        "flow {} {:?}: a wrong byte at offset {at}",
                        self.flow,
                        self.incoming()
                    ),
                );
            }
            count += slice.len();
            left -= slice.len();
            if left == 0 {
                break;
            }
        }
        self.received += count as u64;
        self.moved_at = now;
        self.taken.push_back((now, count as u64));
        while self
            .taken
            .front()
            .is_some_and(|(at, _)| now.since(*at) >= SLOW_AFTER)
        {
            self.taken.pop_front();
        }
        endpoint.release(now, id, count);
    }

    fn send<R: Role>(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint<R>,
        id: SessionId,
        status: SessionStatus,
        looked: &mut Looked,
    ) {
        let waits = self.received < self.habit.sends_after && !self.stopped;
        if self.finished || status.send_stopped || waits {
            return;
        }
        if now < self.next_write {
            if *looked != Looked::Moved {
                *looked = match *looked {
                    Looked::Until(at) => Looked::Until(at.min(self.next_write)),
                    Looked::Idle | Looked::Moved => Looked::Until(self.next_write),
                };
            }
            return;
        }
        judge_room(endpoint, status.send_room as u64);
        let len = (self.to_send - self.sent)
            .min(self.habit.chunk)
            .min(status.send_room as u64);
        if len > 0 {
            endpoint.write(now, id, pattern(self.flow, self.out, self.sent, len));
            self.sent += len;
            self.moved_at = now;
            self.next_write = self.after_pause(now);
            *looked = Looked::Moved;
        }
        if self.sent == self.to_send {
            endpoint.finish(now, id);
            self.finished = true;
            *looked = Looked::Moved;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, is_pattern, pattern};

    #[test]
    fn a_shifted_or_swapped_byte_is_seen() {
        let bytes = pattern(3, Direction::Up, 5, 100);
        assert_eq!(is_pattern(3, Direction::Up, 5, &bytes), Ok(()));
        assert_eq!(is_pattern(3, Direction::Up, 6, &bytes), Err(6));
        assert_eq!(is_pattern(3, Direction::Down, 5, &bytes), Err(5));
        assert_eq!(is_pattern(4, Direction::Up, 5, &bytes), Err(5));
        assert_eq!(is_pattern(3, Direction::Up, 50, &bytes[45..]), Ok(()));
    }
}
