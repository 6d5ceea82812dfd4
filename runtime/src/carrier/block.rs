//! The read block that the carriers of a shard share.

use bytes::BytesMut;

/// The size of a block in bytes: what the kernel hands over in one read of a busy carrier, and small
/// enough to stay in the second-level cache when it is used over and over.
pub const BLOCK_SIZE: usize = 288 * 1024;

/// The least room for one read. Below it a block that others still hold slices of is replaced
/// rather than filled up with small reads.
const READ_LEN_MIN: usize = 64 * 1024;

/// The buffer into which all carriers of a shard read, one after the other.
///
/// Messages are slices of it. Once all of them are gone the same memory is used again from its
/// start; while some are held, reads go on in the rest of it, and then in a new block. The block
/// itself is allocated by the first read.
#[derive(Debug, Default)]
pub struct SharedBlock(BytesMut);

impl SharedBlock {
    /// Creates a block that holds no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the free rest of the block: empty, with room for `stash_len` and a read after it.
    ///
    /// `stash_len` is at most the longest incomplete frame, which a block always has room for.
    pub(super) fn take(&mut self, stash_len: usize) -> BytesMut {
        debug_assert!(stash_len + READ_LEN_MIN <= BLOCK_SIZE);
        let mut rest = core::mem::take(&mut self.0);
        if rest.capacity() < BLOCK_SIZE
            && !rest.try_reclaim(BLOCK_SIZE)
            && rest.capacity() < stash_len + READ_LEN_MIN
        {
            rest = BytesMut::with_capacity(BLOCK_SIZE);
        }
        rest
    }

    /// Gives the rest of the block back.
    pub(super) fn put(&mut self, rest: BytesMut) {
        debug_assert!(rest.is_empty());
        self.0 = rest;
    }
}
