//! Bytes that wait, counted at what they pin.

use super::pieces::Pieces;
use alloc::vec::Vec;
use bytes::{Buf as _, Bytes};

/// Largest chunk that small pieces are gathered into.
const TAIL_MAX: usize = 16 << 10;

/// Smallest chunk made for gathering.
const TAIL_MIN: usize = 512;

/// Pieces up to this size are copied behind waiting ones instead of being kept apart.
const GATHER_MAX: usize = 4 << 10;

/// A first-in first-out queue of bytes.
///
/// Bytes enter in one of two ways. *Owned* pieces pin what they contain. *Passing* pieces are slices
/// of a read block that many share: they are free while the turn lasts, and [`settle`](Self::settle)
/// copies what is left of them into chunks of the queue's own, so that no slow reader pins a block.
#[derive(Debug, Default)]
pub(super) struct ByteQueue {
    chunks: Pieces<Chunk>,
    len: usize,
    charge: usize,
    passing: usize,
}

#[derive(Debug)]
enum Chunk {
    Shared { bytes: Bytes, charge: usize },
    Gathered { bytes: Vec<u8>, start: usize },
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared { bytes, .. } => bytes,
            Self::Gathered { bytes, start } => &bytes[*start..],
        }
    }

    fn charge(&self) -> usize {
        match self {
            Self::Shared { charge, .. } => *charge,
            Self::Gathered { bytes, .. } => bytes.capacity(),
        }
    }
}

impl ByteQueue {
    /// Returns the waiting bytes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns what the queue pins, passing pieces excepted.
    pub(super) const fn charge(&self) -> usize {
        self.charge
    }

    pub(super) const fn has_passing(&self) -> bool {
        self.passing > 0
    }

    /// Appends a piece that pins just itself; small ones are gathered.
    pub(super) fn push_owned(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.len += bytes.len();
        if bytes.len() <= GATHER_MAX && !self.chunks.is_empty() {
            self.gather(&bytes, bytes.len());
            return;
        }
        let charge = bytes.len();
        self.charge += charge;
        self.chunks.push_back(Chunk::Shared { bytes, charge });
    }

    /// Appends a slice of a shared block.
    pub(super) fn push_passing(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.len += bytes.len();
        self.passing += 1;
        self.chunks.push_back(Chunk::Shared { bytes, charge: 0 });
    }

    /// Copies what is left of passing pieces.
    pub(super) fn settle(&mut self) {
        if self.passing == 0 {
            return;
        }
        let pieces = self.chunks.split_off(self.chunks.len() - self.passing);
        self.passing = 0;
        let mut rest: usize = pieces.iter().map(|piece| piece.as_slice().len()).sum();
        for piece in pieces.iter() {
            self.gather(piece.as_slice(), rest);
            rest -= piece.as_slice().len();
        }
    }

    /// Returns the waiting bytes as slices in order.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(Chunk::as_slice)
    }

    /// Drops the first `count` bytes.
    pub(super) fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "only waiting bytes can leave");
        self.len -= count;
        while count > 0 {
            let front = self
                .chunks
                .front_mut()
                .expect("len counts the chunks' bytes");
            let available = front.as_slice().len();
            if available > count {
                match front {
                    Chunk::Shared { bytes, .. } => bytes.advance(count),
                    Chunk::Gathered { start, .. } => *start += count,
                }
                return;
            }
            count -= available;
            self.pop();
        }
    }

    /// Takes up to `max` bytes from the front without copying.
    pub(super) fn take(&mut self, max: usize) -> Bytes {
        let Some(front) = self.chunks.front_mut() else {
            return Bytes::new();
        };
        let available = front.as_slice().len();
        if available > max {
            self.len -= max;
            return match front {
                Chunk::Shared { bytes, charge } => {
                    let (piece, left) = split(bytes, max, *charge);
                    self.charge -= *charge - left;
                    *charge = left;
                    piece
                }
                Chunk::Gathered { bytes, start } => {
                    let piece = Bytes::copy_from_slice(&bytes[*start..*start + max]);
                    *start += max;
                    piece
                }
            };
        }
        self.len -= available;
        match self.pop() {
            Some(Chunk::Shared { bytes, .. }) => bytes,
            Some(Chunk::Gathered { bytes, start }) => {
                // A mostly empty chunk would pin more than it holds.
                if bytes.capacity() > 2 * available {
                    Bytes::copy_from_slice(&bytes[start..])
                } else {
                    Bytes::from(bytes).slice(start..)
                }
            }
            None => Bytes::new(),
        }
    }

    /// Puts pieces before everything that waits. They are copied into one: each may pin twice itself, or be so
    /// small that its place in the queue is most of what it takes.
    pub(super) fn prepend(&mut self, pieces: impl Iterator<Item = Bytes>) {
        let mut whole = Vec::new();
        for piece in pieces {
            whole.extend_from_slice(&piece);
        }
        if whole.is_empty() {
            return;
        }
        let bytes = Bytes::from(whole.into_boxed_slice());
        let charge = bytes.len();
        self.len += charge;
        self.charge += charge;
        self.chunks.push_front(Chunk::Shared { bytes, charge });
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Recomputes the sums; for audits.
    pub(super) fn is_consistent(&self) -> bool {
        let passing = self.chunks.len() - self.passing;
        self.len == self.slices().map(<[u8]>::len).sum::<usize>()
            && self.charge == self.chunks.iter().map(Chunk::charge).sum::<usize>()
            && self
                .chunks
                .iter()
                .skip(passing)
                .all(|chunk| chunk.charge() == 0)
    }

    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.charge -= chunk.charge();
        if self.passing > self.chunks.len() {
            self.passing = self.chunks.len();
        }
        Some(chunk)
    }

    /// Copies `piece` behind the last chunk, making chunks for `expected` bytes as needed.
    fn gather(&mut self, mut piece: &[u8], mut expected: usize) {
        while !piece.is_empty() {
            if let Some(Chunk::Gathered { bytes, .. }) = self.chunks.back_mut() {
                let room = bytes.capacity() - bytes.len();
                if room > 0 {
                    let (now, later) = piece.split_at(room.min(piece.len()));
                    bytes.extend_from_slice(now);
                    expected = expected.saturating_sub(now.len());
                    piece = later;
                    continue;
                }
            }
            // Doubling with what already waits keeps both the count of chunks and the slack small.
            let size = expected
                .max(piece.len())
                .max(self.len / 4)
                .clamp(TAIL_MIN, TAIL_MAX);
            let bytes = Vec::with_capacity(size);
            self.charge += bytes.capacity();
            self.chunks.push_back(Chunk::Gathered { bytes, start: 0 });
        }
    }
}

/// Takes the first `len` bytes of a piece that pins `pinned`. What is less than half of that is copied,
/// whether it leaves or stays, so that neither pins more than twice itself. Returns what leaves, and what
/// the rest pins.
fn split(rest: &mut Bytes, len: usize, pinned: usize) -> (Bytes, usize) {
    let mut piece = rest.split_to(len);
    if piece.len() < pinned / 2 {
        piece = Bytes::copy_from_slice(&piece);
    }
    if rest.len() >= pinned / 2 {
        return (piece, pinned);
    }
    *rest = Bytes::copy_from_slice(rest);
    (piece, rest.len())
}

#[cfg(test)]
mod tests {
    use super::{ByteQueue, TAIL_MIN};
    use alloc::vec::Vec;
    use bytes::Bytes;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Owned(usize),
        Passing(usize),
        Settle,
        Take(usize),
        Advance(usize),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        prop::collection::vec(
            prop_oneof![
                (0usize..9000).prop_map(Op::Owned),
                (0usize..40_000).prop_map(Op::Passing),
                Just(Op::Settle),
                (1usize..20_000).prop_map(Op::Take),
                (1usize..20_000).prop_map(Op::Advance),
            ],
            0..60,
        )
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order_and_charges_add_up(ops in ops()) {
            let mut queue = ByteQueue::default();
            let mut entered = 0usize;
            let mut left = 0usize;
            let mut piece = |len: usize| {
                let bytes: Bytes =
                    (entered..entered + len).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
                entered += len;
                bytes
            };
            for op in ops {
                match op {
                    // The endpoint settles before anything else is appended to a receive queue, and
                    // its send queues see no passing pieces.
                    Op::Owned(len) => { queue.settle(); queue.push_owned(piece(len)); }
                    Op::Passing(len) => queue.push_passing(piece(len)),
                    Op::Settle => queue.settle(),
                    Op::Take(max) => {
                        let taken = queue.take(max);
                        prop_assert!(taken.len() <= max);
                        for &byte in &taken { prop_assert_eq!(byte, (left % 251) as u8); left += 1; }
                    }
                    Op::Advance(count) => {
                        let count = count.min(queue.len());
                        let seen: Vec<u8> =
                            queue.slices().flatten().copied().take(count).collect();
                        for byte in seen { prop_assert_eq!(byte, (left % 251) as u8); left += 1; }
                        queue.advance(count);
                    }
                }
                prop_assert!(queue.is_consistent());
            }
            queue.settle();
            prop_assert!(queue.charge() <= 2 * queue.len() + 64 * TAIL_MIN + (32 << 10));
        }
    }

    #[test]
    fn tiny_pieces_pin_little() {
        let mut queue = ByteQueue::default();
        for _ in 0..2000 {
            queue.push_passing(Bytes::from_static(&[7; 100]));
            queue.settle();
        }
        assert_eq!(queue.len(), 200_000);
        assert!(queue.charge() < 232_000, "pins {}", queue.charge());
    }
}
