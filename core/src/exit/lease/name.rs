//! The names that users give sessions which are to leave from the same exit.

use alloc::sync::Arc;

/// Bytes of a session name at most.
pub const NAME_MAX: usize = 64;

/// A name that a user gives sessions which are to leave from the same exit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SessionName(Arc<str>);

impl SessionName {
    /// Takes a name of 1 to [`NAME_MAX`] bytes.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        (1..=NAME_MAX)
            .contains(&name.len())
            .then(|| Self(name.into()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a session asks for that belongs to others of its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sticky {
    /// Whose name it is: a number that stays the user's, also while there is no session.
    pub owner: u64,
    /// The name.
    pub name: SessionName,
    /// Rather no exit than another one.
    pub strict: bool,
}

/// Whose lease it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LeaseKey {
    pub(crate) owner: u64,
    pub(crate) name: SessionName,
}
