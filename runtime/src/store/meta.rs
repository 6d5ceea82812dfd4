//! Small values that all daemons share.

use super::StoreError;

/// The longest value of [`Meta::swap_meta`], in bytes.
pub const META_MAX: usize = 64 * 1024;

/// The key of [`Meta::meta`] under which managers keep the public keys of node tokens.
pub const META_NODE_TOKEN_KEYS: &str = "node_token.public_keys";

subject! {
    /// Small values that all daemons share.
    pub trait Meta {
        /// Returns a small value that all daemons share.
        fn meta(&self, key: &str) -> Option<String>;

        /// Sets a small value that all daemons share if it is what `expected` says, none included; false if it is not.
        ///
        /// # Errors
        /// [`StoreError::TooLarge`] if the value is longer than [`META_MAX`].
        fn swap_meta(&self, key: &str, expected: Option<String>, value: String) -> bool;
    }
}
