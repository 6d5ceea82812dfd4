//! Records: who reached what through which node, when, with how many bytes, and how it ended (requirement
//! B14). One line of JSON for each session that is over, of users who are recorded.
//!
//! Whoever has a record puts its line into a bounded queue and goes on; one thread writes. A disk that is
//! full keeps lines waiting, then costs lines, which are counted for each user and told, and nothing else.

mod files;
mod queue;
mod record;
mod writer;

pub(crate) use record::Record;

use crate::config::RecordsConfig;
use crate::data::{self, DataError};
use crate::env::Env;
use core::time::Duration;
use files::{Bounds, Files};
use queue::Queue;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use writer::Desk;

/// How many bytes of lines may wait, with what they cost beside: some ten thousand lines.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long the end of a POP waits for its records to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The records of a POP. The thread that writes starts with the first line, or if there are files of
/// before, which are to go when they are old.
#[derive(Debug)]
pub(crate) struct Records<E> {
    env: E,
    directory: PathBuf,
    bounds: Bounds,
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<E: Env> Records<E> {
    /// Looks after the records in `directory`.
    ///
    /// # Errors
    /// Fails if everyone is recorded, unless set otherwise, and the directory cannot be written.
    pub(crate) fn open(
        env: E,
        directory: PathBuf,
        config: &RecordsConfig,
    ) -> Result<Self, DataError> {
        if config.enabled {
            data::check(&directory)?;
        }
        let is_there = directory.is_dir();
        let records = Self {
            env,
            directory,
            bounds: Bounds {
                bytes_max: config.bytes_max,
                age_max: config.age_max,
            },
            desk: Arc::new(Desk::new(Queue::new(QUEUE_BYTES_MAX))),
            thread: Mutex::default(),
        };
        if is_there {
            records.start();
        }
        Ok(records)
    }

    /// Has a record written, or counts it as lost if too much of its user's waits.
    pub(crate) fn push(&self, user: &Arc<str>, record: &Record<'_>) {
        self.desk.push(user, record.line());
        self.start();
    }

    /// Starts the thread that writes, if none does, as after a panic that ended it.
    fn start(&self) {
        let mut thread = self.lock();
        // One that began on a desk that is closed would be waited for without a limit.
        let is_served = thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if is_served || !self.desk.is_open() {
            return;
        }
        let (desk, env) = (Arc::clone(&self.desk), self.env.clone());
        let files = Files::new(self.directory.clone(), self.bounds.clone());
        let started = thread::Builder::new()
            .name("titan-records".to_owned())
            .spawn(move || desk.serve(files, || env.unix_time()));
        match started {
            Ok(started) => *thread = Some(started),
            // The next line tries again.
            Err(error) => tracing::warn!(%error, "no thread writes records"),
        }
    }
}

impl<E> Records<E> {
    /// Waits until everything is written, but not for long. What is not by then is lost.
    pub(crate) fn close(&self) {
        let thread = self.lock().take();
        let Some(thread) = thread else {
            return;
        };
        if self.desk.close(CLOSE_TIMEOUT) {
            // It has said that it ends; a panic is in the log.
            let _ = thread.join();
        } else {
            tracing::warn!(
                "records were not written in time: those that still wait at the end are lost"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        // What panicked while it started a thread has left none.
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A POP that failed to start leaves no thread behind.
impl<E> Drop for Records<E> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
