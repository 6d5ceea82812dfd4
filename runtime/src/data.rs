//! The data directory, looked at before anything relies on it.

use crate::token::create_private;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why a data directory is of no use.
#[derive(Debug, thiserror::Error)]
#[error(
    "the data directory {} cannot be written: {error}; it must belong to the user that this runs as, on \
     a file system that takes writes",
    path.display()
)]
pub struct DataError {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// Makes a data directory if there is none, and writes a file there to see that it can be done. A disk
/// that is full is no error: it may have room again when something has to be written.
///
/// # Errors
/// Fails if the directory can be neither made nor written to.
pub fn check(directory: &Path) -> Result<(), DataError> {
    let failed = |error| DataError {
        path: directory.to_owned(),
        error,
    };
    match create_private(directory) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
        made => made.map_err(failed)?,
    }
    // Processes of two containers that share a directory have one id, as it may be.
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let probe = directory.join(format!(".written-{:016x}", u64::from_ne_bytes(name)));
    match File::create_new(&probe).and_then(|_| fs::remove_file(&probe)) {
        Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_directory_is_made_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("a/b");
        check(&data).unwrap();
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
    }

    #[test]
    fn many_look_at_one_directory_at_once() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        check(directory.path()).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_directory_and_what_takes_no_writes_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), std::path::Path::new("/proc/self")] {
            let error = check(path).unwrap_err().to_string();
            assert!(
                error.contains("cannot be written") && error.contains(&path.display().to_string()),
                "{error}"
            );
        }
    }
}
