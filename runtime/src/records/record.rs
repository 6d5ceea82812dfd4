//! One session's record, as the line that is written.

use core::time::Duration;
use serde::Serialize;
use std::net::IpAddr;

/// What is recorded of a session. Every line has every key; what is not known is null.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    /// The POP that wrote it.
    pub(crate) pop: &'a str,
    /// The user's name.
    pub(crate) user: &'a str,
    /// The number that no other user ever has, one of the same name included.
    pub(crate) user_id: u64,
    /// What was asked for: a name or an address, and a port.
    pub(crate) target: &'a str,
    /// The address that was connected.
    pub(crate) address: Option<IpAddr>,
    /// The node it went through; of one that was never connected, the last that was tried.
    pub(crate) node: Option<&'a str>,
    /// The address from which the node's carrier came.
    pub(crate) exit: Option<IpAddr>,
    /// When it was asked for.
    #[serde(serialize_with = "millis")]
    pub(crate) started_at_ms: Duration,
    /// When it was over.
    #[serde(serialize_with = "millis")]
    pub(crate) ended_at_ms: Duration,
    /// Bytes taken from the client.
    pub(crate) uploaded: u64,
    /// Bytes written to the client.
    pub(crate) downloaded: u64,
    /// How it ended.
    pub(crate) code: &'a str,
    /// Whose limit that was.
    pub(crate) whose: Option<&'a str>,
    /// Its name in logs.
    pub(crate) trace: &'a str,
}

/// Lines that found no room.
#[derive(Debug, Serialize)]
struct Lost<'a> {
    /// Whose they were; several users' if there is none.
    user: Option<&'a str>,
    lost: u64,
    #[serde(serialize_with = "millis")]
    told_at_ms: Duration,
}

impl Record<'_> {
    /// Returns the line, its end included.
    pub(super) fn line(&self) -> Box<[u8]> {
        line(self).into()
    }
}

/// Returns the line that tells of lines that were lost.
pub(super) fn lost(user: Option<&str>, lost: u64, now: Duration) -> Vec<u8> {
    line(&Lost {
        user,
        lost,
        told_at_ms: now,
    })
}

fn line(content: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(content).expect("has text keys and writes to memory");
    line.push(b'\n');
    line
}

fn millis<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
