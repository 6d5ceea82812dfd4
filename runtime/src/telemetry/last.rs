//! What a process says when it fails.

use super::notice::Notice;
use super::writer::Lines;
use core::fmt::Write as _;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

/// Has panics logged like everything else: the hook of the standard library writes to standard error
/// itself, and a pipe that nobody drains would hold up the thread that panics.
pub(super) fn log_panics(lines: Lines) {
    panic::set_hook(Box::new(move |info| {
        lines.note(&Notice::error("titan_runtime::panic", &describe(info)));
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with a payload that is no text");
    let mut text = format!("thread {name} panicked");
    // A text takes whatever is written.
    if let Some(place) = info.location() {
        let _ = write!(text, " at {place}");
    }
    let _ = write!(text, ": {message}");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        let _ = write!(text, "\n{trace}");
    }
    text
}
