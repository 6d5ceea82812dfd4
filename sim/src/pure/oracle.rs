//! What a violation is, and how one leaves a run.

use core::fmt;
use std::cell::RefCell;
use std::panic;
use std::sync::Once;

/// What went wrong in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// An invariant does not hold.
    WrongResult,
    /// Something should have ended and did not.
    NoProgress,
    /// Code of the core panicked.
    Crash,
}

/// A run that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What kind of failure.
    pub kind: Kind,
    /// The number of the invariant, if it is known.
    pub invariant: Option<u8>,
    /// What was seen, and where in the code.
    pub message: String,
    /// A check saw it: an oracle of the simulation or the core's audit, not an assertion on the way.
    pub by_check: bool,
}

impl Violation {
    /// Returns what it says without its numbers: the same for the same failure elsewhere.
    #[must_use]
    pub fn gist(&self) -> String {
        let mut gist: String = self.message.replace(|c: char| c.is_ascii_digit(), "#");
        for list in ["##", "#.#", "#, #"] {
            while gist.contains(list) {
                gist = gist.replace(list, "#");
            }
        }
        gist
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::WrongResult => "wrong result",
            Kind::NoProgress => "no progress",
            Kind::Crash => "crash",
        };
        write!(f, "{kind}: {}", self.message)
    }
}

/// Ends the run: invariant `number` does not hold.
#[track_caller]
pub(super) fn violated(number: u8, what: fmt::Arguments<'_>) -> ! {
    panic!("I{number}: {what}")
}

/// Ends the run: something should have ended by now.
#[track_caller]
pub(super) fn stuck(what: fmt::Arguments<'_>) -> ! {
    panic!("no progress: {what}")
}

thread_local! {
    /// The panic of a run on this thread: none while no run is guarded.
    static CAUGHT: RefCell<Option<Option<Violation>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `run` and turns its panic into a violation, without a word on the terminal.
///
/// # Errors
/// Returns what the panic said.
pub(super) fn guarded<T>(run: impl FnOnce() -> T + panic::UnwindSafe) -> Result<T, Violation> {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = CAUGHT.with(|caught| match &mut *caught.borrow_mut() {
                Some(place) => {
                    *place = Some(read(info));
                    true
                }
                None => false,
            });
            if !ours {
                before(info);
            }
        }));
    });
    CAUGHT.set(Some(None));
    let result = panic::catch_unwind(run);
    let caught = CAUGHT.take().flatten();
    result.map_err(|_| {
        caught.unwrap_or_else(|| Violation {
            kind: Kind::Crash,
            invariant: None,
            message: "a panic without a word".to_owned(),
            by_check: false,
        })
    })
}

fn read(info: &panic::PanicHookInfo<'_>) -> Violation {
    let payload = info.payload();
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    let (file, line) = info.location().map_or(("", 0), |at| (at.file(), at.line()));
    judge(text, file, line)
}

/// Tells what a panic at this place means.
fn judge(text: &str, file: &str, line: u32) -> Violation {
    // What `assert_eq!` says before the message of ours, and the values that it shows after.
    let claim = text.split_once(" failed: ").map_or(text, |(_, ours)| ours);
    let invariant = claim
        .strip_prefix('I')
        .and_then(|rest| rest.split_once(':'))
        .and_then(|(number, _)| number.parse().ok());
    let is_check = file.contains("endpoint/audit") || file.contains("pure/");
    let kind = if text.starts_with("no progress") {
        Kind::NoProgress
    } else if is_check && (invariant.is_some() || file.contains("endpoint/audit")) {
        Kind::WrongResult
    } else {
        Kind::Crash
    };
    Violation {
        kind,
        invariant: invariant.or_else(|| (kind == Kind::NoProgress).then_some(6)),
        message: format!("{} ({file}:{line})", claim.replace('\n', ";")),
        by_check: kind != Kind::Crash,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, guarded, judge, stuck, violated};

    #[test]
    fn crash_wrong_result_and_no_progress_are_told_apart() {
        let wrong = guarded(|| violated(7, format_args!("two targets"))).expect_err("it panics");
        assert_eq!((wrong.kind, wrong.invariant), (Kind::WrongResult, Some(7)));
        let stands = guarded(|| stuck(format_args!("flow 3"))).expect_err("it panics");
        assert_eq!((stands.kind, stands.invariant), (Kind::NoProgress, Some(6)));
        let broken =
            guarded(|| "no number".parse::<u8>().expect("there is one")).expect_err("it panics");
        assert_eq!((broken.kind, broken.invariant), (Kind::Crash, None));
        assert!(wrong.by_check && stands.by_check && !broken.by_check);
    }

    #[test]
    fn an_assertion_of_the_audit_is_a_check_and_one_of_the_core_is_not() {
        let audit = "core/src/endpoint/audit.rs";
        let equal = "assertion `left == right` failed: I4: a sum\n  left: 1\n right: 2";
        let found = judge(equal, audit, 9);
        assert_eq!((found.kind, found.invariant), (Kind::WrongResult, Some(4)));
        assert_eq!(
            judge("a session's tunnel", audit, 9).kind,
            Kind::WrongResult
        );
        let found = judge("I4: on the way", "core/src/session/send.rs", 9);
        assert_eq!((found.kind, found.by_check), (Kind::Crash, false));
    }

    #[test]
    fn the_gist_of_a_violation_leaves_numbers_out() {
        let gist = |text| judge(text, "sim/src/pure/world.rs", 1).gist();
        assert_eq!(
            gist("I6: flow 12: [1, 2, 34] at 3.5"),
            gist("I6: flow 7: [8] at 10")
        );
        assert_ne!(gist("I6: flow 12 ended"), gist("I6: flow 12 began"));
    }
}
