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
pub(super) fn violated(number: u8, what: fmt::Arguments<'_>) -> ! {
    panic!("I{number}: {what}")
}

/// Ends the run: something should have ended by now.
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
    let place = info
        .location()
        .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
    let invariant = text
        .strip_prefix('I')
        .and_then(|rest| rest.split(':').next())
        .and_then(|number| number.split(',').next()?.parse().ok());
    let kind = if text.starts_with("no progress") {
        Kind::NoProgress
    } else if invariant.is_some() {
        Kind::WrongResult
    } else {
        Kind::Crash
    };
    let by_check = kind != Kind::Crash
        && info
            .location()
            .is_some_and(|at| at.file().contains("audit") || at.file().contains("pure"));
    Violation {
        kind,
        invariant: invariant.or_else(|| (kind == Kind::NoProgress).then_some(6)),
        message: format!("{text}{place}"),
        by_check,
    }
}
