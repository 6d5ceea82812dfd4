//! Opening a connection to whichever address of a target answers first.
//!
//! Happy Eyeballs version 2, RFC 8305 section 5: attempts start one after the other without waiting
//! for the one before to fail, and the first to succeed wins. The losers are dropped. Nothing is
//! written, so that a failed race proves that no byte has reached the target.

use crate::env::Env;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use titan_core::time::Instant;
use titan_proto::Code;

/// The wait before the next address is tried beside those that have not answered; the recommended
/// value (RFC 8305 section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of `candidates` that answers, and returns which one it was.
///
/// The candidates are tried in their order, which is the caller's (RFC 8305 section 4). The next
/// attempt starts 250 ms after the last, or as soon as any fails. Dropping the future drops all
/// attempts.
///
/// # Errors
/// Reports [`Code::TimedOut`] if no attempt succeeded by `deadline`, and [`Code::NotResolved`] if
/// there is no candidate. If all attempts failed before, the failure that says most about the target
/// wins: refused over timed out over host unreachable over network unreachable over a want of this
/// host's own ([`Code::Overloaded`]) over any other. A host that answers tells more than one that is
/// silent, and silence more than a missing route.
pub async fn race<E: Env>(
    env: &E,
    candidates: &[SocketAddr],
    deadline: Instant,
) -> Result<(E::Stream, SocketAddr), Code> {
    race_permitted(env, candidates, deadline, |_| true).await
}

/// Does as [`race`], but passes over a candidate that `permits` refuses when its turn comes.
///
/// # Errors
/// As [`race`]; [`Code::Forbidden`] if no candidate was permitted.
pub async fn race_permitted<E: Env>(
    env: &E,
    candidates: &[SocketAddr],
    deadline: Instant,
    permits: impl Fn(IpAddr) -> bool,
) -> Result<(E::Stream, SocketAddr), Code> {
    if candidates.is_empty() {
        return Err(Code::NotResolved);
    }
    let start = |to| (to, Box::pin(env.connect(to)));
    let pause = || Some(Box::pin(env.sleep_until(env.now() + ATTEMPT_DELAY)));
    let mut rest = candidates.iter().copied().filter(|to| permits(to.ip()));
    let mut attempts: Vec<_> = rest.next().map(start).into_iter().collect();
    let mut failure = None;
    let mut wait = if attempts.is_empty() { None } else { pause() };
    let mut expiry = pin!(env.sleep_until(deadline));
    poll_fn(|cx| {
        loop {
            let mut index = 0;
            while let Some((to, attempt)) = attempts.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Pending => index += 1,
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok((stream, *to))),
                    Poll::Ready(Err(error)) => {
                        let code = code(&error, *to);
                        failure = Some(failure.map_or(code, |known| more_telling(known, code)));
                        drop(attempts.remove(index));
                        wait = None;
                    }
                }
            }
            // Answers count before the deadline does: both may have waited while we did not run.
            if expiry.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Code::TimedOut));
            }
            if wait
                .as_mut()
                .is_some_and(|wait| wait.as_mut().poll(cx).is_pending())
            {
                return Poll::Pending;
            }
            if let Some(to) = rest.next() {
                attempts.push(start(to));
                wait = pause();
            } else if attempts.is_empty() {
                // Nobody dialled a target of which nothing is said.
                return Poll::Ready(Err(failure.unwrap_or(Code::Forbidden)));
            } else {
                wait = None;
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Returns what a failed connect means.
#[must_use]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most kinds of error say nothing about a target"
)]
pub fn code(error: &io::Error, to: SocketAddr) -> Code {
    match error.kind() {
        ErrorKind::ConnectionRefused => Code::Refused,
        ErrorKind::TimedOut => Code::TimedOut,
        ErrorKind::HostUnreachable => Code::HostUnreachable,
        ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => Code::NetworkUnreachable,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Code::Reset,
        // A host without a global IPv6 address has none to connect from.
        ErrorKind::AddrNotAvailable if to.is_ipv6() => Code::NetworkUnreachable,
        _ if is_own_want(error) => Code::Overloaded,
        _ => Code::Internal,
    }
}

/// Returns what a failed look-up means.
#[must_use]
pub fn lookup_code(error: &io::Error) -> Code {
    if is_own_want(error) {
        Code::Overloaded
    } else {
        Code::NotResolved
    }
}

/// Tells whether this host ran out of something, which says nothing about the target: descriptors,
/// memory, or ports to connect from.
#[must_use]
pub fn is_own_want(error: &io::Error) -> bool {
    #[cfg(unix)]
    let wants = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EADDRNOTAVAIL,
        // Linux' connect, when every port is in use.
        libc::EAGAIN,
    ];
    #[cfg(not(unix))]
    // WSAEMFILE, WSAENOBUFS, WSAEADDRNOTAVAIL.
    let wants = [10_024, 10_055, 10_049];
    let busy = error.kind() == ErrorKind::ResourceBusy;
    busy || error
        .raw_os_error()
        .is_some_and(|code| wants.contains(&code))
}

/// Returns the code that says more about the target.
fn more_telling(a: Code, b: Code) -> Code {
    let order = [
        Code::Overloaded,
        Code::NetworkUnreachable,
        Code::HostUnreachable,
        Code::TimedOut,
        Code::Refused,
    ];
    let rank = |code| order.iter().position(|other| *other == code);
    if rank(a) > rank(b) { a } else { b }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn wants_of_this_host_are_told_as_its_own() {
        let to = |text: &str| text.parse::<SocketAddr>().unwrap();
        for errno in [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOBUFS,
            libc::ENOMEM,
            libc::EADDRNOTAVAIL,
            libc::EAGAIN,
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(code(&error, to("192.0.2.1:1")), Code::Overloaded, "{error}");
            assert_eq!(lookup_code(&error), Code::Overloaded, "{error}");
        }
        let no_ipv6 = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
        let unreachable = code(&no_ipv6, to("[2001:db8::1]:1"));
        assert_eq!(unreachable, Code::NetworkUnreachable);
        for kind in [ErrorKind::NotFound, ErrorKind::TimedOut] {
            assert_eq!(lookup_code(&kind.into()), Code::NotResolved);
        }
    }
}
