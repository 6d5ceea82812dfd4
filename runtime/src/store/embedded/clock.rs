//! The store's time: one for all daemons of a host, whatever their clocks say.

use core::fmt;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use std::fs;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Counts Unix seconds. Clones tell the same.
#[derive(Clone)]
pub(super) enum Clock {
    /// What the host was up when a lease is looked at, counted on from the Unix time of its start. The
    /// daemon that opened the file first since then said when that was.
    Uptime { booted: u64 },
    /// The daemon's own, on hosts that do not tell for how long they are up.
    Wall,
    /// A simulation's.
    Given(Arc<dyn Fn() -> u64 + Send + Sync>),
}

impl Clock {
    /// Agrees with the other daemons of the host on a clock.
    pub(super) fn of_host(connection: &mut Connection) -> rusqlite::Result<Self> {
        let (Some(boot), Some(up)) = (boot(), uptime()) else {
            return Ok(Self::Wall);
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = transaction
            .query_row("SELECT booted FROM clock WHERE boot = ?1", [&boot], |row| {
                row.get::<_, i64>(0)
            })
            .optional()?;
        let booted = if let Some(booted) = known {
            u64::try_from(booted).unwrap_or_default()
        } else {
            let now = wall();
            let booted = now.saturating_sub(up);
            transaction.execute("DELETE FROM clock", [])?;
            transaction.execute(
                "INSERT INTO clock VALUES (?1, ?2)",
                params![boot, signed(booted)],
            )?;
            // No POP of this host has outlived its start.
            transaction.execute(
                "UPDATE pops SET lease_until = min(lease_until, ?1),
                     retiring_until = min(retiring_until, ?1)",
                [signed(now)],
            )?;
            booted
        };
        transaction.commit()?;
        Ok(Self::Uptime { booted })
    }

    /// Returns the time.
    pub(super) fn now(&self) -> u64 {
        match self {
            Self::Uptime { booted } => uptime().map_or_else(wall, |up| booted + up),
            Self::Wall => wall(),
            Self::Given(clock) => clock(),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uptime { .. } => "Uptime",
            Self::Wall => "Wall",
            Self::Given(_) => "Given",
        })
    }
}

/// No time comes near the end of what SQLite can count.
fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Returns for how long the host is up, times of sleep included, in seconds.
fn uptime() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    text.split(['.', ' ']).next()?.parse().ok()
}

/// Returns what tells this start of the host from others.
fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Clock, wall};
    use crate::store::embedded::{schema, unsigned};
    use rusqlite::Connection;

    /// Says when the host started, as a daemon whose clock is wrong by this much does.
    fn skewed(connection: &Connection, by: i64) {
        let set = "UPDATE clock SET booted = booted + ?1";
        assert_eq!(connection.execute(set, [by]).unwrap(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_daemons_of_a_host_have_the_time_of_the_first() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::prepare(&mut connection).unwrap();
        let first = Clock::of_host(&mut connection).unwrap().now();
        assert!(first.abs_diff(wall()) <= 2, "{first}");
        skewed(&connection, -3_600);
        let second = Clock::of_host(&mut connection).unwrap().now();
        assert!((first - 3_600).abs_diff(second) <= 2, "{first} {second}");
        let lives = "INSERT INTO pops (id, incarnation, url, info, lease_until)
                     VALUES ('p', 1, '', '', 99999999999)";
        connection.execute(lives, []).unwrap();
        let lease = |connection: &Connection| {
            let find = "SELECT lease_until FROM pops";
            let found = connection.query_row(find, [], |row| row.get(0));
            unsigned(found.unwrap())
        };
        Clock::of_host(&mut connection).unwrap();
        assert_eq!(lease(&connection), 99_999_999_999);

        // After another start of the host it is right again, and no POP lives.
        let other = "UPDATE clock SET boot = 'another'";
        assert_eq!(connection.execute(other, []).unwrap(), 1);
        let third = Clock::of_host(&mut connection).unwrap().now();
        assert!(third.abs_diff(wall()) <= 2, "{third}");
        assert!(lease(&connection) <= third);
    }
}
