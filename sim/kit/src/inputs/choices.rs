//! Bytes as choices.

use super::{EDGES_MAX, Side};
use crate::pair::Way;
use arbitrary::Unstructured;
use titan_core::time::Duration;
use titan_proto::Code;

/// A string of bytes from which choices are drawn; at its end each choice is the first.
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Draws a number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.int_in_range(0..=bound - 1).unwrap_or_default()
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Draws up to `max` bytes.
    pub fn bytes(&mut self, max: u64) -> Vec<u8> {
        let len = self.below(max + 1) as usize;
        self.0
            .bytes(len.min(self.0.len()))
            .unwrap_or_default()
            .to_vec()
    }

    /// Draws which one of a list, counted from its end: the latest are the likeliest to live.
    pub fn recent(&mut self) -> usize {
        self.below(8) as usize
    }

    pub fn edge(&mut self) -> usize {
        // Mostly the first.
        (self.below(8) as usize).saturating_sub(8 - EDGES_MAX)
    }

    pub fn side(&mut self) -> Side {
        if self.flag() {
            Side::Edge(self.edge())
        } else {
            Side::Pop
        }
    }

    pub fn way(&mut self) -> Way {
        if self.flag() { Way::ToEdge } else { Way::ToPop }
    }

    pub fn code(&mut self) -> Code {
        self.pick(Code::ALL)
    }

    pub fn outcome(&mut self) -> Result<(), Code> {
        if self.below(3) == 2 {
            Err(self.code())
        } else {
            Ok(())
        }
    }

    /// Draws a number, mostly where limits are likely to be.
    pub fn number(&mut self) -> u64 {
        match self.below(24) {
            0..16 => self.below(8),
            16 => 999 + self.below(3),
            17 => 4095 + self.below(3),
            18 => 65_535 + self.below(2),
            19 => 262_144,
            20 => u32::MAX.into(),
            21 => u64::MAX - self.below(2),
            _ => self.below(u64::MAX),
        }
    }

    pub fn small(&mut self) -> u32 {
        match self.below(6) {
            4 => u32::MAX,
            5 => self.below(1 << 32) as u32,
            small => small as u32,
        }
    }

    /// Draws a count of bytes.
    pub fn len(&mut self) -> usize {
        match self.below(4) {
            0 => self.below(8) as usize,
            1 => self.below(1 << 8) as usize,
            _ => self.below(5000) as usize,
        }
    }

    pub fn wait(&mut self) -> Duration {
        let millis = match self.below(12) {
            0..6 => self.below(50),
            6..9 => 50 + self.below(6000),
            9..11 => 6000 + self.below(34_000),
            _ => 40_000 + self.below(360_000),
        };
        Duration::from_millis(millis)
    }
}
