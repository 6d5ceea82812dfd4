//! Values that must not be shown.

use super::write_file;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;

/// The longest secret read from a file, in bytes.
const SECRET_MAX: u64 = 4_096;

/// A secret text. Its `Debug` form hides it, and comparing takes the same time whatever differs.
#[derive(Clone)]
pub struct Secret(String);

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        error: io::Error,
    },
    /// The file is empty or does not hold what it should.
    #[error(
        "{}: holds no secret of the expected form: copy it anew, or delete the file where it was made \
         and start the manager for another",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Makes the secret of 32 random bytes: 64 hexadecimal digits, safe in URLs and headers.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        use core::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        Self(text)
    }

    /// Reads a secret from a file, without the white space around it.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is empty, or is longer than 4 KiB.
    pub fn load(path: &Path) -> Result<Self, SecretError> {
        let error = |error| SecretError::File {
            path: path.to_owned(),
            error,
        };
        let malformed = || SecretError::Malformed {
            path: path.to_owned(),
        };
        if fs::metadata(path).map_err(error)?.len() > SECRET_MAX {
            return Err(malformed());
        }
        let text = fs::read_to_string(path).map_err(error)?;
        let text = text.trim();
        if text.is_empty() {
            Err(malformed())
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// Reads a secret from a file or, if there is none, makes one of `random` and writes it there,
    /// readable by the owner alone.
    ///
    /// # Errors
    /// Fails if the file cannot be read or written, or holds no secret.
    pub fn load_or_create(path: &Path, random: [u8; 32]) -> Result<Self, SecretError> {
        match Self::load(path) {
            Err(SecretError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                let secret = Self::from_random(random);
                write_file(path, format!("{}\n", secret.0).as_bytes(), true).map_err(|error| {
                    SecretError::File {
                        path: path.to_owned(),
                        error,
                    }
                })?;
                Ok(secret)
            }
            other => other,
        }
    }

    /// Returns the secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the 32 bytes of a secret of 64 hexadecimal digits.
    #[cfg(feature = "token")]
    pub(crate) fn to_bytes(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        if self.0.len() != 64 {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(self.0.as_bytes().chunks(2)) {
            let [high, low] = digits else { return None };
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
        }
        Some(bytes)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.token");
        let first = Secret::load_or_create(&path, [7; 32]).unwrap();
        let second = Secret::load_or_create(&path, [8; 32]).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.expose(), "07".repeat(32));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_ne!(first, Secret::from_random([8; 32]));
        assert_ne!(first, Secret::new(String::new()));
    }

    #[test]
    fn files_without_a_secret_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("join");
        assert!(matches!(Secret::load(&path), Err(SecretError::File { .. })));
        for content in [" \n".to_owned(), "x".repeat(5_000)] {
            fs::write(&path, content).unwrap();
            assert!(matches!(
                Secret::load(&path),
                Err(SecretError::Malformed { .. })
            ));
            assert!(Secret::load_or_create(&path, [1; 32]).is_err());
        }
        fs::write(&path, "  key \n").unwrap();
        assert_eq!(Secret::load(&path).unwrap().expose(), "key");
    }

    #[test]
    fn debug_hides_it() {
        assert!(!format!("{:?}", Secret::new("hidden".to_owned())).contains("hidden"));
    }
}
