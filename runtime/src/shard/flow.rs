//! Reading clients and targets: much per system call, and no byte copied that stays in a full block.

use crate::env::Stream;
use bytes::Bytes;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSliceMut};
use std::sync::{Arc, Mutex, PoisonError};

/// The size of a block in bytes: what a session that stalls pins at least of what it read last.
const BLOCK_LEN: usize = 64 * 1024;

/// Blocks filled by one read.
const BLOCKS_PER_READ: usize = 4;

/// Blocks kept while nobody needs them: enough for what is read, framed and not yet acknowledged of a
/// busy carrier, so that memory is not given back and taken again with every read.
const IDLE_MAX: usize = 32;

/// Where the sockets of a shard are read into.
#[derive(Debug, Default)]
pub(super) struct FlowBlocks {
    pool: Arc<Pool>,
    /// Blocks for the next read.
    fresh: Vec<Box<[u8]>>,
}

#[derive(Debug, Default)]
struct Pool(Mutex<Vec<Box<[u8]>>>);

impl Pool {
    fn take(&self) -> Box<[u8]> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| vec![0; BLOCK_LEN].into_boxed_slice())
    }

    fn put(&self, block: Box<[u8]>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(block);
        }
    }
}

/// A block with bytes in it, which goes back to its pool when the last slice of it is gone.
struct Filled {
    block: Box<[u8]>,
    len: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.block[..self.len]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.pool.put(core::mem::take(&mut self.block));
    }
}

impl FlowBlocks {
    /// Reads once, at most `room` bytes, and appends them to `out`. Zero is the end.
    pub(super) fn poll_read<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        room: usize,
        out: &mut Vec<Bytes>,
    ) -> Poll<io::Result<usize>> {
        let room = room.min(BLOCK_LEN * BLOCKS_PER_READ);
        let count = room.div_ceil(BLOCK_LEN);
        while self.fresh.len() < count {
            self.fresh.push(self.pool.take());
        }
        let mut left = room;
        let mut slices = [const { None }; BLOCKS_PER_READ];
        for (slice, block) in slices.iter_mut().zip(&mut self.fresh[..count]) {
            let len = left.min(BLOCK_LEN);
            left -= len;
            *slice = Some(IoSliceMut::new(&mut block[..len]));
        }
        let mut slices = slices.map(|slice| slice.unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let read = ready!(stream.poll_read_vectored(cx, &mut slices[..count]))?;
        let mut left = read;
        while left > 0 {
            let len = left.min(BLOCK_LEN);
            left -= len;
            // What is smaller than half its block would pin more than it holds.
            if len < BLOCK_LEN / 2 {
                out.push(Bytes::copy_from_slice(&self.fresh[0][..len]));
                break;
            }
            let block = self.fresh.remove(0);
            out.push(Bytes::from_owner(Filled {
                block,
                len,
                pool: Arc::clone(&self.pool),
            }));
        }
        Poll::Ready(Ok(read))
    }
}
