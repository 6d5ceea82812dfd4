//! The one error of the bench: a sentence for the person who started it.

use std::error::Error;
use std::fmt;

/// Result of anything that can end the bench.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Says what went wrong; nothing in the bench reacts to its kind.
pub(crate) struct Failure(String);

impl Failure {
    /// Makes a failure of a message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

// Not an `Error` itself, so that every error converts by `?`.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Says what was being done when an error came.
pub(crate) trait Context<T> {
    /// Puts `doing` before the error's own words.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Failure>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("{doing}: {}", error.into())))
    }
}
