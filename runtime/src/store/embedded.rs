//! The store of one host: a SQLite file that its daemons share.

mod accounts;
mod audit;
mod blacklist;
mod changes;
mod clock;
mod meta;
mod nodes;
mod pops;
mod replica;
mod schema;
mod secrets;
mod shares;
mod tokens;
mod traffic;
mod users;

use super::StoreError;
use crate::daemon::vital;
use clock::Clock;
use core::time::Duration;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, types::Type};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The most operations that wait for the store's thread; more fail at once as unavailable, so that a
/// stuck disk costs a bounded amount of memory.
const JOBS_MAX: usize = 1_024;

/// How long a caller waits for an operation in a thread of its own: longer than
/// [`schema::BUSY_TIMEOUT`], so that a stuck disk is told as such.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The name of the file in the data directory.
const FILE_NAME: &str = "titan.db";

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The store of one host: SQLite, shared by all daemons that open the same file.
///
/// Dropping the last clone finishes what was asked for and closes the file; that may take as long as
/// the operations that still wait.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
    clock: Clock,
}

/// Where an embedded store keeps its data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// In `titan.db` in this data directory, which is created if missing; what managers alone may read beside
    /// it in `manager.db`.
    Data(PathBuf),
    /// In `titan.db` in one directory, and what managers alone may read in `manager.db` in another, their own.
    Apart {
        /// The directory of the daemons' common file. What its group may do there it may with the file.
        shared: PathBuf,
        /// The data directory of the manager.
        data: PathBuf,
    },
    /// In memory, gone with the last clone.
    Memory,
}

/// Which thread runs the operations of an embedded store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A thread of its own, fed by a bounded queue: production.
    Thread,
    /// The caller's, at once: simulation, where nothing may happen at a time of the host's choosing.
    Inline,
}

enum Inner {
    Thread {
        jobs: Option<SyncSender<Job>>,
        thread: Option<JoinHandle<()>>,
    },
    Inline(Mutex<Connection>),
}

impl Embedded {
    /// Opens a store, creating or migrating its files. Blocks; for the start of a daemon. Its time is the
    /// host's: the same for all daemons that have opened it since the host was started.
    ///
    /// # Errors
    /// Fails if a file cannot be opened, is no database, or was written by a newer version.
    pub fn open(location: &Location, mode: Mode) -> Result<Self, StoreError> {
        let mut connection = connect(location)?;
        let clock = Clock::of_host(&mut connection)?;
        Self::with_connection(connection, mode, clock)
    }

    /// Opens what the daemons share and no more: without admin tokens and audit log, operations on which are
    /// unavailable. For POPs.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_shared(location: &Location, mode: Mode) -> Result<Self, StoreError> {
        let mut connection = open_shared(location)?;
        let clock = Clock::of_host(&mut connection)?;
        Self::with_connection(connection, mode, clock)
    }

    /// As [`open`](Self::open), with a time of its own, in Unix seconds: for a simulation.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_at(
        location: &Location,
        mode: Mode,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        Self::with_connection(connect(location)?, mode, Clock::Given(Arc::new(clock)))
    }

    fn with_connection(
        connection: Connection,
        mode: Mode,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let inner = match mode {
            Mode::Inline => Inner::Inline(Mutex::new(connection)),
            Mode::Thread => {
                let (jobs, queue) = sync_channel(JOBS_MAX);
                let thread = std::thread::Builder::new()
                    .name("titan-store".to_owned())
                    .spawn(move || vital(|| run(connection, &queue)))
                    .map_err(|error| StoreError::Unavailable(error.to_string()))?;
                Inner::Thread {
                    jobs: Some(jobs),
                    thread: Some(thread),
                }
            }
        };
        let inner = Arc::new(inner);
        Ok(Self { inner, clock })
    }

    /// As [`call`](Self::call), for an operation that depends on the store's time.
    async fn call_now<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Connection, u64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let clock = self.clock.clone();
        self.call(move |connection| operation(connection, clock.now()))
            .await
    }

    async fn call<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &*self.inner {
            // A panic inside SQLite's binding leaves no half-done Rust state behind: transactions
            // roll back as they unwind.
            Inner::Inline(connection) => {
                operation(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Inner::Thread { jobs, .. } => {
                let (reply, answer) = oneshot::channel();
                let job: Job = Box::new(move |connection| {
                    // Whoever gave up waiting does not expect it to happen later.
                    if !reply.is_closed() {
                        // Who asked may have gone meanwhile; then nobody wants the answer.
                        let _ = reply.send(operation(connection));
                    }
                });
                let jobs = jobs
                    .as_ref()
                    .expect("taken only when the last handle is dropped");
                jobs.try_send(job).map_err(|error| match error {
                    TrySendError::Full(_) => unavailable("too many operations are waiting"),
                    TrySendError::Disconnected(_) => unavailable("the store's thread has ended"),
                })?;
                tokio::time::timeout(ANSWER_TIMEOUT, answer)
                    .await
                    .map_err(|_| unavailable("no answer in time"))?
                    .map_err(|_| unavailable("the operation panicked; the log says where"))?
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Self::Thread { jobs, thread } = self {
            // Closing the queue lets the thread finish what is in it and end.
            drop(jobs.take());
            if let Some(thread) = thread.take() {
                // A panicked thread has already reported itself.
                let _ = thread.join();
            }
        }
    }
}

impl core::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Runs jobs until nobody can ask for more. One that panics fails alone: dropped, it tells who asked. What it
/// leaves behind is mended before the next; a store that cannot be mended ends the process.
fn run(mut connection: Connection, queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        if catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
            tracing::error!("an operation of the store panicked");
            mend(&connection)
                .unwrap_or_else(|error| panic!("the store cannot be used after that: {error}"));
        }
    }
}

/// Leaves behind what an operation that panicked has begun.
fn mend(connection: &Connection) -> rusqlite::Result<()> {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    connection.pragma_update(None, "synchronous", "normal")
}

fn unavailable(why: &str) -> StoreError {
    StoreError::unavailable(why)
}

/// Runs a transaction that may be lost with the machine's power, and with it all daemons here.
fn quick<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Runs a transaction that is on the disk when it returns.
fn durable<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.pragma_update(None, "synchronous", "full")?;
    let result = quick(connection, work);
    connection.pragma_update(None, "synchronous", "normal")?;
    result
}

/// SQLite has signed integers only; no time or counter of ours comes near the end of their range.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The other way round from [`integer`].
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Makes an error of a column that does not hold what it must.
fn malformed(
    column: usize,
    error: impl core::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// Opens the file that all daemons share, and the manager's own.
fn connect(location: &Location) -> Result<Connection, StoreError> {
    let mut connection = open_shared(location)?;
    let own = match location {
        Location::Data(data) | Location::Apart { data, .. } => {
            let path = data.join(secrets::FILE_NAME);
            create_file(data, &path, false)?;
            Some(path)
        }
        Location::Memory => None,
    };
    secrets::attach(&mut connection, own.as_deref())?;
    Ok(connection)
}

/// Opens the file that all daemons share.
fn open_shared(location: &Location) -> Result<Connection, StoreError> {
    let mut connection = match location {
        Location::Data(shared) | Location::Apart { shared, .. } => {
            let path = shared.join(FILE_NAME);
            create_file(shared, &path, true)?;
            Connection::open_with_flags(
                &path,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?
        }
        Location::Memory => Connection::open_in_memory()?,
    };
    schema::prepare(&mut connection)?;
    Ok(connection)
}

/// Makes a database's file if there is none: for its owner alone, and if it is shared for the group of its
/// directory as far as that may write there. SQLite gives its companion files the rights of the main one, so
/// it must have them first.
fn create_file(directory: &Path, path: &Path, is_shared: bool) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| unavailable(&format!("{}: {error}", path.display()));
    crate::token::create_private(directory).map_err(failed)?;
    let mut options = fs::OpenOptions::new();
    options.create_new(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(file) if is_shared => share(directory, &file).map_err(failed),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Lets the group of a directory that may write there write a new file.
#[cfg(unix)]
fn share(directory: &Path, file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    const GROUP_WRITES: u32 = 0o020;
    if fs::metadata(directory)?.permissions().mode() & GROUP_WRITES == 0 {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(0o660))
}

#[cfg(not(unix))]
fn share(_: &Path, _: &fs::File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{NOW, Passing};
    use crate::store::{
        Accounts as _, ChangeLog as _, Holder, Meta as _, Pops as _, Resolution, Totals,
        Users as _, contract,
    };
    use rusqlite::hooks::{AuthContext, Authorization};
    use std::sync::atomic::{AtomicU64, Ordering};

    impl Passing for Embedded {
        async fn pass(&self, seconds: u64) {
            let aged = self.call(move |connection| {
                connection.execute_batch(&format!(
                    "UPDATE pops SET lease_until = lease_until - {seconds},
                         retiring_until = retiring_until - {seconds};
                     UPDATE usage SET reported_at = reported_at - {seconds};
                     UPDATE homes SET seen_at = seen_at - {seconds};"
                ))?;
                Ok(())
            });
            aged.await.unwrap();
        }
    }

    #[tokio::test]
    async fn memory_inline_keeps_the_contract() {
        contract::all(|| {
            let store = Embedded::open(&Location::Memory, Mode::Inline).unwrap();
            (store.clone(), store)
        })
        .await;
    }

    #[tokio::test]
    async fn one_file_with_two_handles_keeps_the_contract() {
        let directory = tempfile::tempdir().unwrap();
        let mut count = 0;
        contract::all(|| {
            count += 1;
            let location = Location::Data(directory.path().join(count.to_string()));
            let open = || Embedded::open(&location, Mode::Thread).unwrap();
            (open(), open())
        })
        .await;
    }

    #[tokio::test]
    async fn a_file_outlives_its_handles_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Data(directory.path().to_owned());
        let store = Embedded::open(&location, Mode::Thread).unwrap();
        store.create_user(contract::user("kept")).await.unwrap();
        drop(store);
        let store = Embedded::open(&location, Mode::Thread).unwrap();
        assert!(store.user("kept").await.unwrap().is_some());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            for entry in fs::read_dir(directory.path()).unwrap() {
                let mode = entry.unwrap().metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0);
            }
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_group_of_a_shared_directory_may_write_the_shared_file_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let (shared, data) = (
            directory.path().join("shared"),
            directory.path().join("data"),
        );
        // The group may write both: that says which file it may write only of what is shared.
        for directory in [&shared, &data] {
            fs::create_dir(directory).unwrap();
            fs::set_permissions(directory, fs::Permissions::from_mode(0o770)).unwrap();
        }
        let location = Location::Apart {
            shared: shared.clone(),
            data: data.clone(),
        };
        let store = Embedded::open(&location, Mode::Thread).unwrap();
        store.create_user(contract::user("ann")).await.unwrap();
        for (directory, expected) in [(shared, 0o660), (data, 0o600)] {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, expected, "{}", entry.path().display());
            }
        }
    }

    #[tokio::test]
    async fn two_thousand_nodes_cost_as_many_steps_as_a_hundred() {
        let steps = Arc::new(AtomicU64::new(0));
        let stores = [0, 1].map(|_| Embedded::open(&Location::Memory, Mode::Inline).unwrap());
        for store in &stores {
            let steps = Arc::clone(&steps);
            let counting = store.call(move |connection| {
                let count = move || {
                    steps.fetch_add(1, Ordering::Relaxed);
                    false
                };
                // Before each step of the virtual machine that SQLite runs statements on.
                Ok(connection.progress_handler(1, Some(count))?)
            });
            counting.await.unwrap();
        }
        contract::cost::is_flat(stores, async |_| steps.swap(0, Ordering::Relaxed)).await;
    }

    #[tokio::test]
    async fn traffic_of_a_user_who_is_idle_is_forgotten() {
        let time = Arc::new(AtomicU64::new(NOW));
        let clock = Arc::clone(&time);
        let clock = move || clock.load(Ordering::Relaxed);
        let store = Embedded::open_at(&Location::Memory, Mode::Inline, clock).unwrap();
        let ann = store.create_user(contract::user("ann")).await.unwrap();
        let holder = Holder {
            pop: "p".to_owned(),
            incarnation: 1,
        };
        let totals = Totals {
            uploaded: 5,
            ..Totals::new("ann".to_owned(), ann.id)
        };
        store.report(holder, vec![totals], None).await.unwrap();
        for (index, gone) in Resolution::ALL.into_iter().enumerate() {
            let age = gone.kept() * gone.width();
            for (later, left) in [(age - gone.width(), 1), (age + gone.width(), 0)] {
                time.store(NOW + later, Ordering::Relaxed);
                let pop = contract::pop("p", 1);
                store.pop_alive(pop, 9).await.unwrap();
                let found = store.traffic("ann", gone, 0, NOW).await.unwrap().unwrap();
                assert_eq!(found.len(), left, "{gone:?}");
            }
            // The wider ones are kept for longer.
            for kept in &Resolution::ALL[index + 1..] {
                let found = store.traffic("ann", *kept, 0, NOW).await.unwrap().unwrap();
                assert_eq!(found.len(), 1, "{kept:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_replica_knows_nothing_of_what_came_later() {
        let store = Embedded::open(&Location::Memory, Mode::Inline).unwrap();
        store.create_user(contract::user("ann")).await.unwrap();
        let cursor = store.changes(None, 1).await.unwrap().cursor;
        let replica = store.replica().unwrap();
        store.create_user(contract::user("bob")).await.unwrap();
        store.fail_over(&replica).unwrap();
        assert!(store.user("ann").await.unwrap().is_some());
        assert_eq!(store.user("bob").await.unwrap(), None);
        let changes = store.changes(Some(cursor.clone()), 1).await.unwrap();
        assert!(changes.reload && changes.cursor.run != cursor.run);
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Data(directory.path().to_owned());
        let thread = Embedded::open(&location, Mode::Thread).unwrap();
        assert!(thread.replica().is_err() && thread.fail_over(&replica).is_err());
    }

    #[tokio::test]
    async fn an_operation_that_panics_fails_alone_and_leaves_nothing_behind() {
        let store = Embedded::open(&Location::Memory, Mode::Thread).unwrap();
        store.create_user(contract::user("ann")).await.unwrap();
        let within = store.call(|connection| -> Result<(), StoreError> {
            durable(connection, |transaction| {
                transaction.execute("DELETE FROM users", [])?;
                panic!("on purpose: within a transaction")
            })
        });
        let within = within.await;
        // No guard rolls this one back.
        let by_hand = store.call(|connection| -> Result<(), StoreError> {
            connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM users")?;
            panic!("on purpose: within a transaction by hand")
        });
        for failed in [within, by_hand.await] {
            assert!(matches!(failed, Err(StoreError::Unavailable(_))));
            assert!(store.user("ann").await.unwrap().is_some());
        }
        let state = store.call(|connection| {
            let synchronous = connection.pragma_query_value(None, "synchronous", |row| row.get(0));
            Ok((connection.is_autocommit(), synchronous?))
        });
        const NORMAL: i64 = 1;
        assert_eq!(state.await, Ok((true, NORMAL)));
    }

    #[test]
    fn a_store_that_cannot_be_mended_ends_the_process() {
        const VARIABLE: &str = "TITAN_TEST_STORE_UNMENDED";
        if std::env::var_os(VARIABLE).is_some() {
            let store = Embedded::open(&Location::Memory, Mode::Thread).unwrap();
            let panicking = store.call(|connection| -> Result<(), StoreError> {
                connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM users")?;
                connection.authorizer(Some(|_: AuthContext<'_>| Authorization::Deny))?;
                panic!("on purpose: within a transaction that nobody can end")
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            let ended = runtime.unwrap().block_on(async {
                panicking.await.unwrap_err();
                // Asked of a store that goes on, it would be answered out of the transaction.
                store.user("ann").await
            });
            unreachable!("the process goes on: {ended:?}");
        }
        let name = "store::embedded::tests::a_store_that_cannot_be_mended_ends_the_process";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(VARIABLE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("the process goes on"), "{said}");
        let code = i32::from(crate::daemon::PANICKED);
        assert_eq!(output.status.code(), Some(code), "{said}");
    }

    #[tokio::test]
    async fn a_stuck_thread_refuses_more_than_the_queue_holds() {
        let store = Embedded::open(&Location::Memory, Mode::Thread).unwrap();
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        let stuck = tokio::spawn({
            let store = store.clone();
            async move {
                store
                    .call(move |_| {
                        started.send(()).unwrap();
                        gate.recv().unwrap();
                        Ok(())
                    })
                    .await
            }
        });
        running.await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..=JOBS_MAX {
            let store = store.clone();
            waiting.spawn(async move { store.meta("x").await });
        }
        // All but one wait; the one too many is refused at once.
        assert!(matches!(
            waiting.join_next().await.unwrap().unwrap(),
            Err(StoreError::Unavailable(_))
        ));
        release.send(()).unwrap();
        stuck.await.unwrap().unwrap();
        while let Some(answer) = waiting.join_next().await {
            assert_eq!(answer.unwrap(), Ok(None));
        }
    }
}
