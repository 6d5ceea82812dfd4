//! Bytes that show where they are lost, doubled or moved.

use std::sync::LazyLock;
use titan_core::rng::Rng;

/// A prime, so that no power of two is a multiple of the period.
const PERIOD: usize = 65_521;

/// Two periods, so that any slice of up to one is contiguous.
static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::new([5; 32]);
    let mut table: Vec<u8> = (0..PERIOD.div_ceil(8))
        .flat_map(|_| rng.bytes::<8>())
        .collect();
    table.truncate(PERIOD);
    table.extend_from_within(..);
    table
});

/// One direction of one flow, each byte a function of flow and offset.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    start: usize,
    offset: u64,
    len: u64,
}

impl Payload {
    /// Creates `len` bytes of a flow; other flows have others.
    #[must_use]
    pub const fn new(flow: u64, len: u64) -> Self {
        Self {
            start: (flow.wrapping_mul(7_919) % PERIOD as u64) as usize,
            offset: 0,
            len,
        }
    }

    /// Returns how many bytes are left.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.len - self.offset
    }

    /// Returns the next bytes, as many as are convenient; none at the end.
    #[must_use]
    pub fn chunk(&self) -> &'static [u8] {
        let at = (self.start + (self.offset % PERIOD as u64) as usize) % PERIOD;
        let len = usize::try_from(self.left()).unwrap_or(usize::MAX);
        &TABLE[at..at + len.min(PERIOD)]
    }

    /// Goes on by this many bytes.
    pub fn advance(&mut self, count: usize) {
        self.offset += count as u64;
        assert!(self.offset <= self.len, "more than there is");
    }

    /// Goes on by bytes that must be the next ones.
    ///
    /// # Panics
    /// Panics if they are not.
    pub fn check(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let expected = self.chunk();
            let len = expected.len().min(bytes.len());
            assert!(len > 0, "bytes behind the end at {}", self.offset);
            assert!(
                bytes[..len] == expected[..len],
                "other bytes than were sent at {}..+{len}",
                self.offset
            );
            self.advance(len);
            bytes = &bytes[len..];
        }
    }
}
