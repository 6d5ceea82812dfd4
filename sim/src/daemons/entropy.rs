//! Randomness and wall time of the process, handed out by the seed within a run.
//!
//! The daemons take both from their environment. What they are built on does not: hash maps and
//! `Sec-WebSocket-Key` draw from `getrandom`, the `Date` of an HTTP answer reads the real-time
//! clock. Two functions of libc are replaced in this process; outside of [`on_fresh_thread`] they
//! pass through to the kernel. The monotonic clock stays real: tokio's paused clock reads it only
//! when a runtime is made and never shows it to anyone.
#![allow(
    unsafe_code,
    reason = "replacing two functions of libc is the only way to reach what dependencies draw"
)]

use super::clock;
use std::cell::Cell;
use std::panic::resume_unwind;
use std::thread;

thread_local! {
    /// The state of this thread's generator while a run is on.
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The stack of a run: daemons, clients and targets nest deeper than a test's thread allows.
const STACK: usize = 16 << 20;

/// Runs `f` on a new thread on which everything that is drawn follows from `seed`. A new thread,
/// because the standard library keeps the keys of hash maps per thread.
///
/// # Panics
/// Panics if `f` does, or if no thread can be started.
pub(super) fn on_fresh_thread<T: Send + 'static>(
    seed: u64,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    let run = move || {
        STATE.set(Some(seed));
        let out = f();
        STATE.set(None);
        out
    };
    let thread = thread::Builder::new().stack_size(STACK).spawn(run);
    let thread = thread.expect("a machine that runs tests has room for a thread");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Returns the next number and the state after it (SplitMix64).
const fn next(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31), state)
}

/// Replaces `getrandom(2)` of libc.
///
/// # Safety
/// As for the original: `buffer` can be written for `len` bytes.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn getrandom(buffer: *mut u8, len: usize, flags: u32) -> isize {
    // A thread that ends has no generator any more.
    let Some(mut state) = STATE.try_with(Cell::get).ok().flatten() else {
        // SAFETY: the caller's promise, handed on to the kernel.
        let done = unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) };
        return done as isize;
    };
    // SAFETY: the caller promises that the buffer can be written for `len` bytes.
    let bytes = unsafe { core::slice::from_raw_parts_mut(buffer, len) };
    for part in bytes.chunks_mut(8) {
        let (number, after) = next(state);
        part.copy_from_slice(&number.to_le_bytes()[..part.len()]);
        state = after;
    }
    STATE.set(Some(state));
    len as isize
}

/// Replaces `clock_gettime(2)` of libc.
///
/// # Safety
/// As for the original: `time` can be written.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let wall = matches!(id, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    let simulated = STATE.try_with(Cell::get).ok().flatten().is_some();
    if wall && simulated {
        let now = clock::UNIX_EPOCH + clock::now();
        // SAFETY: the caller promises that the time can be written.
        unsafe {
            (*time).tv_sec = now.as_secs() as libc::time_t;
            (*time).tv_nsec = libc::c_long::from(now.subsec_nanos() as i32);
        }
        return 0;
    }
    // SAFETY: the caller's promise, handed on to the kernel.
    let done = unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) };
    done as libc::c_int
}
