//! Content that need not be kept: every byte follows from its position, so a receiver compares
//! everything it gets with what was sent, whatever the size. That says more than equal hashes: it
//! also says where the first wrong byte is.

use std::io::{self, Read, Write};

/// Bytes written and compared at once.
const CHUNK: usize = 64 << 10;

/// `len` bytes that differ from those of every other seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Content {
    pub(crate) seed: u64,
    pub(crate) len: u64,
}

impl Content {
    pub(crate) const fn new(seed: u64, len: u64) -> Self {
        Self { seed, len }
    }

    /// Writes all of it.
    pub(crate) fn send(self, to: &mut impl Write) -> io::Result<()> {
        self.send_noting(to, |_| {})
    }

    /// Writes all of it and tells after each chunk how much was taken so far.
    pub(crate) fn send_noting(
        self,
        to: &mut impl Write,
        mut note: impl FnMut(u64),
    ) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while at < self.len {
            self.fill(at, &mut chunk);
            let len = (self.len - at).min(CHUNK as u64);
            to.write_all(&chunk[..usize::try_from(len).unwrap()])?;
            at += len;
            note(at);
        }
        to.flush()
    }

    /// Reads exactly all of it.
    pub(crate) fn receive(self, from: &mut impl Read) -> io::Result<()> {
        self.receive_noting(from, |_| {})
    }

    /// Reads exactly all of it and tells after each read how much that was so far.
    pub(crate) fn receive_noting(
        self,
        from: &mut impl Read,
        mut note: impl FnMut(u64),
    ) -> io::Result<()> {
        let (mut expected, mut got) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut at = 0;
        while at < self.len {
            // Reads end where chunks do.
            let start = usize::try_from(at % CHUNK as u64).unwrap();
            if start == 0 {
                self.fill(at, &mut expected);
            }
            let room = (self.len - at).min((CHUNK - start) as u64);
            let end = start + usize::try_from(room).unwrap();
            let len = match from.read(&mut got[start..end]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if len == 0 {
                return Err(failure(format!("the end came after {at} of {}", self.len)));
            }
            let range = start..start + len;
            if got[range.clone()] != expected[range] {
                return Err(failure(format!("a byte from {at} on is wrong")));
            }
            at += len as u64;
            note(at);
        }
        Ok(())
    }

    /// Reads exactly all of it, and then the end.
    pub(crate) fn receive_to_end(self, from: &mut impl Read) -> io::Result<()> {
        self.receive(from)?;
        match from.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(failure(format!("bytes follow after {}", self.len))),
        }
    }

    /// Fills the chunk that starts at `at`.
    fn fill(self, at: u64, chunk: &mut [u8]) {
        let seed = self.seed.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        for (word, place) in (at / 8..).zip(chunk.chunks_exact_mut(8)) {
            let mixed = (word ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            place.copy_from_slice(&(mixed ^ (mixed >> 29)).to_le_bytes());
        }
    }
}

fn failure(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[test]
fn a_receiver_notices_what_is_wrong_missing_or_too_much() {
    let content = Content::new(1, 3 * CHUNK as u64 + 5);
    let mut sent = Vec::new();
    content.send(&mut sent).unwrap();
    let receive = |bytes: &[u8]| content.receive_to_end(&mut &*bytes);
    receive(&sent).unwrap();
    receive(&sent[..sent.len() - 1]).unwrap_err();
    receive(&[&*sent, &[0]].concat()).unwrap_err();
    for at in [0, CHUNK, sent.len() - 1] {
        sent[at] ^= 1;
        receive(&sent).unwrap_err();
        sent[at] ^= 1;
    }
    let mut other = Vec::new();
    Content::new(2, content.len).send(&mut other).unwrap();
    receive(&other).unwrap_err();
    sent.copy_within(CHUNK..2 * CHUNK, 0);
    receive(&sent).unwrap_err();
}
