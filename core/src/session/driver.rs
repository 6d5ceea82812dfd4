//! What the driver that holds a session has seen of it.

/// What the driver that holds a session knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Driver {
    /// It has let go, or was never given the session.
    Gone,
    /// It has seen everything.
    Told,
    /// Something has changed since it looked.
    Untold,
    /// Something has changed, and the session is in the queue of those it has to look at.
    Called,
}

impl Driver {
    /// Notes that something has changed.
    pub(super) const fn tell(&mut self) {
        if matches!(self, Self::Told) {
            *self = Self::Untold;
        }
    }
}
