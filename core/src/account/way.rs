//! The direction of bytes.

/// The direction of bytes, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// Taken from the client.
    Up,
    /// Written to the client.
    Down,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Up, Self::Down];
}
