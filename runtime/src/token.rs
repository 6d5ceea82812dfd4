//! Secrets, and the tokens by which a POP knows a node.
//!
//! The manager signs node tokens with Ed25519 as PASETO `v4.public`; POPs only hold the public key.
//! A token names its node and its POP, so it is of no use for another node or at another POP.

#[cfg(feature = "token")]
mod node;
#[cfg(all(feature = "token", feature = "store"))]
mod ring;
mod secret;

#[cfg(feature = "token")]
pub use node::{NodeClaims, Signer, TokenError, Verifier};
#[cfg(all(feature = "token", feature = "store"))]
pub use ring::{KeyRing, ManagerKey};
pub use secret::{Secret, SecretError};

/// The longest node or POP id, in bytes.
pub const ID_MAX: usize = 64;

/// Returns whether `id` may name a node or a POP: 1 to 64 of `A-Z a-z 0-9 . _ -`, at least one of them
/// a letter or digit, so that an id is safe in paths, headers and file names.
#[must_use]
pub fn is_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && id.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// Writes a file that appears whole or not at all, readable by its owner alone if `private`.
pub(crate) fn write_file(
    path: &std::path::Path,
    content: &[u8],
    private: bool,
) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    // A crash may have left one behind, with whatever rights.
    let _ = std::fs::remove_file(&new);
    let mut file = options.open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// Creates a directory, and those above it, that only its owner may enter.
#[cfg(feature = "store")]
pub(crate) fn create_private(directory: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn ids_are_short_and_plain() {
        for id in ["a", "edge-1", "0c9e.4_B", &"x".repeat(64)] {
            assert!(is_id(id), "{id}");
        }
        for id in [
            "",
            ".",
            "..",
            "-",
            "a b",
            "a/b",
            "a:b",
            "é",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(!is_id(id), "{id}");
        }
    }
}
