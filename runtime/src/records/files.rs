//! The files that records are in: bounded in size and in age.
//!
//! A directory holds files `records-TIME.jsonl`, by the time of their beginning in Unix milliseconds. One
//! is written, until it is a sixteenth of what all may be, in bytes or in age; then the next is begun, and
//! the oldest go. A process that starts goes on with the last file if no other process has it.

use crate::token::create_private;
use core::time::Duration;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// How many parts the whole is bounded by: what is thrown away at once, and how exact the bounds are.
const PARTS: u32 = 16;

const PREFIX: &str = "records-";
const SUFFIX: &str = ".jsonl";

/// What all files of a directory may be together.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// In bytes.
    pub(super) bytes_max: u64,
    /// No line gets older but for one part of this, an hour at most, until which its removal may wait.
    pub(super) age_max: Duration,
}

/// Where records are written.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    bounds: Bounds,
    current: Option<Current>,
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    file: File,
    began: Duration,
    len: u64,
}

/// A file that is there.
struct Found {
    path: PathBuf,
    began: Duration,
    len: u64,
}

impl Files {
    pub(super) const fn new(directory: PathBuf, bounds: Bounds) -> Self {
        Self {
            directory,
            bounds,
            current: None,
        }
    }

    /// Returns how often [`tidy`](Self::tidy) is worth a call.
    pub(super) fn tidy_interval(&self) -> Duration {
        self.part_age()
    }

    fn part_age(&self) -> Duration {
        self.bounds.age_max / PARTS
    }

    fn part_bytes(&self) -> u64 {
        self.bounds.bytes_max / u64::from(PARTS)
    }

    /// Writes whole lines; `now` is the Unix time. What was written of them if that fails is taken away.
    ///
    /// # Errors
    /// Fails as the file system does. The next call begins anew.
    pub(super) fn write(&mut self, lines: &[u8], now: Duration) -> io::Result<()> {
        let (part_bytes, part_age) = (self.part_bytes(), self.part_age());
        let len = lines.len() as u64;
        let goes_on = |current: &Current| {
            let has_room = current.len == 0 || current.len + len <= part_bytes;
            has_room && now.saturating_sub(current.began) < part_age
        };
        let mut current = match self.current.take().filter(goes_on) {
            Some(current) => current,
            None => self.begin(len, now)?,
        };
        if let Err(error) = current.file.write_all(lines) {
            // Where that cannot be, whoever goes on with the file ends the line.
            let _ = current.file.set_len(current.len);
            return Err(error);
        }
        current.len += len;
        self.current = Some(current);
        Ok(())
    }

    /// Ends the file that is written if it is too old, and removes those that are.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub(super) fn tidy(&mut self, now: Duration) -> io::Result<()> {
        let part_age = self.part_age();
        self.current
            .take_if(|current| now.saturating_sub(current.began) >= part_age);
        self.remove_beyond(0, now)
    }

    /// Goes on with the last file or begins another one, with room for so many bytes.
    fn begin(&self, len: u64, now: Duration) -> io::Result<Current> {
        create_private(&self.directory)?;
        self.remove_beyond(self.part_bytes().max(len), now)?;
        let last = found(&self.directory)?.pop();
        let mut number = millis(now);
        if let Some(last) = last {
            number = number.max(millis(last.began).saturating_add(1));
            let young = now.saturating_sub(last.began) < self.part_age();
            if young
                && last.len + len <= self.part_bytes()
                && let Some(current) = go_on(&last, &self.directory)?
            {
                return Ok(current);
            }
        }
        let path = self.directory.join(format!("{PREFIX}{number}{SUFFIX}"));
        let file = options().create_new(true).open(path)?;
        limit_readers(&file, &self.directory)?;
        let _ = file.try_lock();
        Ok(Current {
            file,
            began: Duration::from_millis(number),
            len: 0,
        })
    }

    /// Removes the oldest files until so many bytes more would fit, and those that hold lines that are too
    /// old.
    fn remove_beyond(&self, more: u64, now: Duration) -> io::Result<()> {
        let files = match found(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        let mut total: u64 = files.iter().map(|file| file.len).sum();
        for file in files {
            let old = now.saturating_sub(file.began) >= self.bounds.age_max;
            if !old && total + more <= self.bounds.bytes_max {
                break;
            }
            match fs::remove_file(&file.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => total -= file.len,
            }
        }
        Ok(())
    }
}

/// Opens a file again, unless another process writes it.
fn go_on(last: &Found, directory: &Path) -> io::Result<Option<Current>> {
    let mut file = options().read(true).open(&last.path)?;
    // A file system without locks has one writer, or lines of two in one file.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Ok(None);
    }
    let about = file.metadata()?;
    let mut len = about.len();
    if about.is_file() {
        limit_readers(&file, directory)?;
        if len > 0 {
            // Its process may have ended within a line.
            let mut end = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut end)?;
            if end != *b"\n" {
                file.write_all(b"\n")?;
                len += 1;
            }
        }
    }
    Ok(Some(Current {
        file,
        began: last.began,
        len,
    }))
}

/// Returns the files of a directory, the oldest first.
fn found(directory: &Path) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            continue;
        };
        let path = entry.path();
        let len = match fs::metadata(&path) {
            // Removed meanwhile by another process.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?.len(),
        };
        all.push(Found {
            path,
            began: Duration::from_millis(number),
            len,
        });
    }
    all.sort_unstable_by_key(|file| file.began);
    Ok(all)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Lets nobody but its owner read a file, and the group of a directory that may read there and has what is made
/// in it (its setgid bit): else the file's group is another one.
#[cfg(unix)]
fn limit_readers(file: &File, directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    const GROUP_HAS_AND_READS: u32 = 0o2040;
    let entry = fs::metadata(directory)?.permissions().mode();
    let for_group = entry & GROUP_HAS_AND_READS == GROUP_HAS_AND_READS;
    let mode = if for_group { 0o640 } else { 0o600 };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn limit_readers(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
