//! The write batches that the carriers of a shard share.

use std::cell::RefCell;
use std::rc::Rc;

/// The batches of a shard: buffers that a carrier holds only while it has something to write.
///
/// Clones are the same pool. It belongs to one thread.
#[derive(Clone, Debug)]
pub struct BufferPool(Rc<Pool>);

#[derive(Debug)]
struct Pool {
    batch_len_max: usize,
    idle_count_max: usize,
    idle: RefCell<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// Creates a pool of batches of `batch_len_max` bytes.
    ///
    /// It never refuses a batch, because each carrier holds at most one; of those given back it keeps
    /// `idle_count_max` for the next carrier and frees the rest.
    #[must_use]
    pub fn new(batch_len_max: usize, idle_count_max: usize) -> Self {
        Self(Rc::new(Pool {
            batch_len_max,
            idle_count_max,
            idle: RefCell::default(),
        }))
    }

    /// Returns the size of a batch in bytes.
    #[must_use]
    pub fn batch_len_max(&self) -> usize {
        self.0.batch_len_max
    }

    /// Returns how many batches wait for a carrier.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.0.idle.borrow().len()
    }

    /// Takes an empty batch.
    pub(super) fn take(&self) -> Vec<u8> {
        let idle = self.0.idle.borrow_mut().pop();
        idle.unwrap_or_else(|| Vec::with_capacity(self.0.batch_len_max))
    }

    /// Gives a batch back.
    pub(super) fn put(&self, mut batch: Vec<u8>) {
        let mut idle = self.0.idle.borrow_mut();
        if idle.len() < self.0.idle_count_max {
            batch.clear();
            idle.push(batch);
        }
    }
}
