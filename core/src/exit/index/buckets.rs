//! The exits of every band, in arrays that can be sampled.

use super::{
    band::{BAND_COUNT, Band},
    told::ExitKey,
};
use alloc::{boxed::Box, vec::Vec};

/// The capacity below which an array is not worth shrinking: 256 bytes.
const KEPT_CAPACITY: usize = 64;

/// The exits of one country, or of all, by band. Every operation is O(1) (amortised where an array
/// grows or shrinks); each exit costs 4 bytes, times four at most after an exodus.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// Bit n tells whether band n holds an exit.
    occupied: u64,
    bands: Box<[Vec<ExitKey>; BAND_COUNT]>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            occupied: 0,
            bands: Box::new([const { Vec::new() }; BAND_COUNT]),
        }
    }
}

impl Buckets {
    /// Adds an exit and returns its position.
    pub(super) fn push(&mut self, band: Band, key: ExitKey) -> u32 {
        let keys = &mut self.bands[usize::from(band.rank())];
        self.occupied |= band.bit();
        keys.push(key);
        // Keys are distinct 32-bit numbers.
        (keys.len() - 1) as u32
    }

    /// Removes the exit at a position; returns the exit that moved there instead, if any did.
    pub(super) fn remove(&mut self, band: Band, position: u32) -> Option<ExitKey> {
        let position = position as usize;
        let keys = &mut self.bands[usize::from(band.rank())];
        keys.swap_remove(position);
        if keys.is_empty() {
            self.occupied &= !band.bit();
        }
        if keys.capacity() > KEPT_CAPACITY && keys.len() <= keys.capacity() / 4 {
            keys.shrink_to(keys.capacity() / 2);
        }
        keys.get(position).copied()
    }

    /// Returns the bits of the bands that hold exits.
    pub(super) const fn occupied(&self) -> u64 {
        self.occupied
    }

    pub(super) fn keys(&self, band: Band) -> &[ExitKey] {
        &self.bands[usize::from(band.rank())]
    }

    /// Returns the number of exits, or `None` if the bits do not tell which bands hold them:
    /// O(bands).
    pub(super) fn audited_count(&self) -> Option<usize> {
        let bits = self
            .bands
            .iter()
            .rev()
            .fold(0, |bits, keys| bits << 1 | u64::from(!keys.is_empty()));
        (bits == self.occupied).then(|| self.bands.iter().map(Vec::len).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exodus_gives_its_memory_back() {
        let mut buckets = Buckets::default();
        let band = Band::best(1).expect("a bit is set");
        for key in 0..100_000 {
            assert_eq!(buckets.push(band, ExitKey(key)), key);
        }
        for left in (1..100_000).rev() {
            assert_eq!(buckets.remove(band, 0), Some(ExitKey(left)));
        }
        assert_eq!(buckets.remove(band, 0), None);
        assert!(buckets.bands[0].capacity() <= KEPT_CAPACITY);
        assert_eq!(buckets.occupied(), 0);
    }
}
