//! Does a seed give the same run every time?

use super::run::{How, Run, run};
use super::scenario::Scenario;
use super::trace::Trace;
use core::fmt;

/// Two runs of one seed that are not the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// They differ in this line of the trace, counted from 1.
    Line {
        /// Its number.
        number: usize,
        /// What one run has there.
        one: String,
        /// What the other has.
        other: String,
    },
    /// Their traces are alike when the lines are kept, though their hashes were not.
    Fleeting,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { number, one, other } => {
                write!(
                    f,
                    "line {number} differs:\n  one    {one}\n  other  {other}"
                )
            }
            Self::Fleeting => f.write_str("the hashes differ, and no line did at the next try"),
        }
    }
}

impl Difference {
    /// Returns the first difference of two traces whose lines were kept.
    #[must_use]
    pub fn of(one: &Trace, other: &Trace) -> Self {
        let first = one.first_difference(other);
        first.map_or(Self::Fleeting, |(number, one, other)| Self::Line {
            number,
            one,
            other,
        })
    }
}

/// Runs a seed twice and compares every log line of everything. Returns the trace of both.
///
/// # Errors
/// Says where the two runs part.
pub fn run_twice(scenario: &Scenario, seed: u64) -> Result<Trace, Difference> {
    let traced = |lines| {
        let how = How {
            trace: true,
            trace_lines: lines,
            ..How::default()
        };
        run(scenario, seed, how)
    };
    let same =
        |one: &Run, other: &Run| (&one.outcome, &one.trace) == (&other.outcome, &other.trace);
    let (one, other) = (traced(false), traced(false));
    if same(&one, &other) {
        return Ok(one.trace);
    }
    Err(Difference::of(&traced(true).trace, &traced(true).trace))
}
