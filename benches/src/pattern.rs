//! Content that depends on its position, cheap enough to check at full speed.
//!
//! A stream carries an 8-byte stamp at every multiple of its stride; what lies between is filler. A stamp mixes
//! the stream's seed with its offset, so lost, doubled, reordered or foreign bytes anywhere before a stamp break
//! it, while a megabyte costs only a few hundred multiplications.

use std::io;
use std::ops::Range;

/// Bytes of one stamp.
const STAMP_LEN: u64 = 8;

/// One direction of one stream, sender's or receiver's side.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    seed: u64,
    stride: u64,
    offset: u64,
}

impl Pattern {
    /// For streams of large blocks: 64 stamps in 256 KiB.
    pub(crate) fn bulk(seed: u64) -> Self {
        Self {
            seed,
            stride: 4096,
            offset: 0,
        }
    }

    /// For messages of at least 72 bytes, each of which then holds a whole stamp.
    pub(crate) fn messages(seed: u64) -> Self {
        Self {
            seed,
            stride: 64,
            offset: 0,
        }
    }

    /// Writes the stamps that fall into `block`, whose first byte stands at the current offset.
    pub(crate) fn stamp(&self, block: &mut [u8]) {
        self.visit(block.len(), |place, bytes| {
            block[place].copy_from_slice(bytes);
            Ok(())
        })
        .unwrap_or_default(); // The visitor cannot fail.
    }

    /// Moves on by `len` bytes, which the sender's socket took.
    pub(crate) fn advance(&mut self, len: usize) {
        self.offset += len as u64;
    }

    /// Checks the next bytes of the stream and moves on.
    ///
    /// # Errors
    ///
    /// `InvalidData` at the first broken stamp.
    pub(crate) fn check(&mut self, block: &[u8]) -> io::Result<()> {
        self.visit(block.len(), |place, bytes| {
            if block[place.clone()] == *bytes {
                return Ok(());
            }
            let offset = self.offset + place.start as u64;
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("corrupted data at offset {offset} of a stream"),
            ))
        })?;
        self.advance(block.len());
        Ok(())
    }

    /// Bytes that passed so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Calls `visitor` with every place inside the next `len` bytes that a stamp covers, stamps cut by the ends of
    /// the block included.
    fn visit(
        &self,
        len: usize,
        mut visitor: impl FnMut(Range<usize>, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let (start, end) = (self.offset, self.offset + len as u64);
        let mut at = start - start % self.stride;
        while at < end {
            let stamp = mix(self.seed ^ at).to_le_bytes();
            let (first, last) = (at.max(start), (at + STAMP_LEN).min(end));
            if first < last {
                visitor(
                    (first - start) as usize..(last - start) as usize,
                    &stamp[(first - at) as usize..(last - at) as usize],
                )?;
            }
            at += self.stride;
        }
        Ok(())
    }
}

/// The finalizer of SplitMix64: neighbouring offsets give unrelated words.
pub(crate) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pattern: &Pattern, len: usize, block_len: usize) -> Vec<u8> {
        let mut pattern = pattern.clone();
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let mut block = vec![0xa5; block_len.min(len - bytes.len())];
            pattern.stamp(&mut block);
            pattern.advance(block.len());
            bytes.extend(block);
        }
        bytes
    }

    #[test]
    fn any_split_checks() {
        for pattern in [Pattern::bulk(7), Pattern::messages(7)] {
            for block_len in [1, 3, 100, 4096, 5000] {
                let bytes = stream(&pattern, 20_000, block_len);
                for check_len in [1, 7, 200, 8192] {
                    let mut checked = pattern.clone();
                    bytes
                        .chunks(check_len)
                        .for_each(|part| checked.check(part).unwrap());
                    assert_eq!(checked.offset(), 20_000);
                }
            }
        }
    }

    #[test]
    fn damage_shows() {
        let bytes = stream(&Pattern::bulk(7), 20_000, 4096);
        let mut lost = bytes.clone();
        lost.remove(5000);
        let mut doubled = bytes;
        doubled.insert(5000, 0);
        for broken in [lost, doubled, stream(&Pattern::bulk(8), 20_000, 4096)] {
            let error = Pattern::bulk(7).check(&broken).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
