//! What the terminal shows.

use core::time::Duration;
use indicatif::{ProgressBar, ProgressStyle};
use std::thread::available_parallelism;
use titan_core::mark::{self, Mark};
use titan_sim::pure::explore::Summary;

/// Returns how many threads to use when nothing is said.
pub(crate) fn jobs() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Reads a duration like `90`, `90s`, `5m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        Some((at, _)) => text.split_at(at),
        None => (text, "s"),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text:?} is no duration"))?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(format!("{unit:?} is no unit of time: s, m or h")),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

/// Writes a number with separators of thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the rare paths that were never taken.
pub(crate) fn unhit() -> Vec<Mark> {
    let all = Mark::ALL.iter().copied();
    all.filter(|&mark| mark::count(mark) == 0).collect()
}

/// Makes the bar of a search; hidden where no terminal is.
pub(crate) fn bar(count: Option<u64>) -> ProgressBar {
    let (bar, template) = match count {
        Some(count) => (
            ProgressBar::new(count),
            "{elapsed_precise} {bar:32.cyan/blue} {human_pos}/{human_len}  {msg}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{elapsed_precise} {spinner} {human_pos} seeds  {msg}",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Moves the bar of a search.
pub(crate) fn progress(bar: &ProgressBar, summary: &Summary, jobs: usize) {
    let marks = Mark::ALL.len() - unhit().len();
    bar.set_position(summary.seeds);
    bar.set_message(format!(
        "{}/min and core, marks {marks}/{}, violations {}",
        thousands(summary.per_minute(jobs) as u64),
        Mark::ALL.len(),
        summary.violations.len()
    ));
}

/// Writes what came of a search.
pub(crate) fn summary(summary: &Summary, jobs: usize) {
    let row = |name: &str, value: String| println!("  {name:<28}{value}");
    println!();
    row("seeds", thousands(summary.seeds));
    row(
        "seeds per minute and core",
        thousands(summary.per_minute(jobs) as u64),
    );
    row(
        "events per seed",
        format!(
            "median {}, most {}",
            thousands(summary.actions.median()),
            thousands(summary.actions.max())
        ),
    );
    row(
        "faults that fired per seed",
        format!(
            "median {}, most {}",
            summary.faults.median(),
            summary.faults.max()
        ),
    );
    row("events in all", thousands(summary.actions.sum()));
    let mut ends: Vec<_> = summary.ends.iter().collect();
    ends.sort_by_key(|&(_, &count)| core::cmp::Reverse(count));
    let ends: Vec<String> = ends
        .iter()
        .map(|(code, count)| format!("{} {}", code.tag(), thousands(**count as u64)))
        .collect();
    row("flows ended", ends.join(", "));
    row("trace of all", format!("{:016x}", summary.trace));
    row("violations", summary.violations.len().to_string());
}

/// Writes how often each rare path was taken.
pub(crate) fn marks() {
    let unhit = unhit();
    println!(
        "\n  rare paths taken: {} of {}",
        Mark::ALL.len() - unhit.len(),
        Mark::ALL.len()
    );
    for &mark in Mark::ALL {
        println!("  {:<36}{:>12}", mark.name(), thousands(mark::count(mark)));
    }
}
