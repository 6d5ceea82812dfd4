//! What the kernel knows about other processes.

use std::fs;
use std::time::Duration;

use crate::failure::{Context as _, Failure, Result};

/// Ticks per second of the times in `/proc/PID/stat`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Bytes of user space that belong to a process alone: private pages it wrote, no code, no socket buffers.
pub(crate) fn private_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).context(format_args!("cannot read {path}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| Failure::new(format!("no Private_Dirty in {path}")))
}

/// Processor time a process used so far, in user and kernel mode, by all its threads.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).context(format_args!("cannot read {path}"))?;
    // The command's name may hold anything; behind its closing bracket utime and stime are fields 11 and 12.
    let ticks = text.rsplit_once(')').map(|(_, rest)| {
        rest.split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
    });
    match ticks {
        Some(ticks) => Ok(Duration::from_secs_f64(
            ticks.sum::<f64>() / TICKS_PER_SECOND,
        )),
        None => Err(Failure::new(format!("cannot understand {path}"))),
    }
}

/// Counts established connections whose local port is `port`, over both IP families.
pub(crate) fn established_count(port: u16) -> Result<usize> {
    let local = format!(":{port:04X}");
    let mut count = 0;
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(text) = fs::read_to_string(path) else {
            continue; // A host without IPv6 has no such file.
        };
        let rows = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().skip(1));
        count += rows
            .filter_map(|mut fields| Some((fields.next()?, fields.nth(1)?)))
            .filter(|(address, state)| address.ends_with(&local) && *state == "01")
            .count();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn reads_this_process() {
        assert!(private_bytes(std::process::id()).unwrap() > 0);
        let before = processor_time(std::process::id()).unwrap();
        while processor_time(std::process::id()).unwrap() == before {}
    }

    #[test]
    fn counts_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(established_count(address.port()).unwrap(), 0);
        let _clients = [
            TcpStream::connect(address).unwrap(),
            TcpStream::connect(address).unwrap(),
        ];
        assert_eq!(established_count(address.port()).unwrap(), 2);
    }
}
