//! A descriptor kept for the day that there is no other.
//!
//! A process that has used up its descriptors cannot even accept a connection to refuse it. Giving this
//! one up makes room for just that.

use std::fs::File;
use std::io;

/// A descriptor in reserve.
#[derive(Debug, Default)]
pub(super) struct Descriptor(Option<File>);

impl Descriptor {
    /// Takes one if none is there and the system has one.
    pub(super) fn keep(&mut self) {
        if cfg!(unix) && self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Lets it go. Returns whether there was one.
    pub(super) fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// Tells whether an error is the want of a descriptor.
pub(super) fn is_want(error: &io::Error) -> bool {
    #[cfg(unix)]
    return matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}
