//! The hash over everything that happens in a run.

use super::chooser::mix;
use core::hash::Hasher;

/// Hashes the same on every machine and in every process, as the standard hashers do not promise.
#[derive(Clone, Debug)]
pub(super) struct Trace(u64);

impl Trace {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn add(&mut self, value: u64) {
        self.0 = mix(self.0.rotate_left(5) ^ value);
    }
}

impl Hasher for Trace {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
        self.add(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.add(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.add(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.add(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;
    use core::hash::Hasher as _;

    #[test]
    fn order_and_length_count() {
        let hash = |parts: &[&[u8]]| {
            let mut trace = Trace::new(1);
            for part in parts {
                trace.write(part);
            }
            trace.finish()
        };
        assert_ne!(hash(&[b"a", b"b"]), hash(&[b"b", b"a"]));
        assert_ne!(hash(&[b"ab"]), hash(&[b"a", b"b"]));
        assert_ne!(hash(&[b"a"]), hash(&[b"a\0"]));
    }
}
