//! What a process says when it fails.

use super::notice::Notice;
use super::writer::Lines;
use core::fmt::Write as _;
use core::time::Duration;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

/// How long a thread that panics waits for its message to be written: nothing of the process may come after. The
/// log's own thread does not wait: it is the one that writes it next.
const WRITTEN_TIMEOUT: Duration = Duration::from_millis(200);

/// Has panics logged like everything else: the hook of the standard library writes to standard error
/// itself, and a pipe that nobody drains would hold up the thread that panics for good.
pub(super) fn log_panics(lines: Lines) {
    panic::set_hook(Box::new(move |info| {
        lines.note(&Notice::error("titan_runtime::panic", &describe(info)));
        // A panic within a panic aborts the process next.
        lines.flush(WRITTEN_TIMEOUT);
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

#[cfg(test)]
mod tests {
    use crate::telemetry::{LogFormat, init};
    use std::process::{Command, Stdio};

    /// Says that this process is the one to abort.
    const ABORTS: &str = "TITAN_TEST_ABORTS";

    struct Again;

    impl Drop for Again {
        fn drop(&mut self) {
            panic!("the second word");
        }
    }

    #[test]
    fn the_last_words_of_a_process_that_aborts_are_written() {
        if std::env::var_os(ABORTS).is_some() {
            init(LogFormat::Compact).unwrap();
            let _again = Again;
            // More than a pipe holds, so that it is not written by chance before the end.
            panic!("{} the first word", "-".repeat(512 << 10));
        }
        let name = "telemetry::last::tests::the_last_words_of_a_process_that_aborts_are_written";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ABORTS, "1")
            .stdout(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        for word in ["the first word", "the second word"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
