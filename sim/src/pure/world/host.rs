//! Which process something is about.

/// A process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Host {
    Pop(usize),
    Edge(usize),
}
