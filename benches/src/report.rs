//! The table for people and the JSON for programs.

use serde_json::{Value, json};

use crate::measure::Outcome;
use crate::plan::{Goal, Row};
use crate::system::Kind;

const HEAD: [&str; 9] = [
    "",
    "unit",
    "yardstick",
    "titan ws",
    "ratio",
    "titan wss",
    "ratio",
    "target ws / wss",
    "",
];

/// Lays out all outcomes as one plain table.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for outcome in outcomes {
        lines.extend(
            outcome
                .measurement
                .rows
                .iter()
                .map(|row| Figures::new(outcome, row).cells()),
        );
    }
    let widths: [usize; HEAD.len()] = std::array::from_fn(|column| {
        lines
            .iter()
            .map(|cells| cells[column].chars().count())
            .max()
            .unwrap_or_default()
    });
    let mut text = String::new();
    for cells in lines {
        let padded = cells
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                // Words stand left, numbers right.
                if matches!(column, 0 | 1 | 7 | 8) {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    text
}

/// Gives all medians, ratios and rounds in base units (bytes, seconds).
pub(crate) fn json(outcomes: &[Outcome]) -> Value {
    outcomes
        .iter()
        .map(|outcome| {
            let figures = outcome.measurement.rows.iter().map(|row| {
                let figures = Figures::new(outcome, row);
                json!({
                    "title": row.title,
                    "key": row.key,
                    "yardstick": figures.yardstick,
                    "ws": figures.titan[0],
                    "ws_ratio": figures.ratio(0),
                    "wss": figures.titan[1],
                    "wss_ratio": figures.ratio(1),
                    "ok": figures.verdict(),
                })
            });
            let rounds =
                Kind::ALL.map(|kind| (kind.name().to_owned(), json!(outcome.rounds[kind.index()])));
            json!({
                "name": outcome.measurement.name,
                "figures": figures.collect::<Value>(),
                "rounds": rounds.into_iter().collect::<Value>(),
            })
        })
        .collect()
}

/// The medians of one row.
struct Figures<'a> {
    row: &'a Row,
    yardstick: Option<f64>,
    titan: [Option<f64>; 2],
}

impl<'a> Figures<'a> {
    fn new(outcome: &Outcome, row: &'a Row) -> Self {
        let median = |kind| outcome.median(kind, row.key);
        let titan = [median(Kind::Ws), median(Kind::Wss)];
        Self {
            row,
            yardstick: median(Kind::Yardstick),
            titan,
        }
    }

    fn ratio(&self, transport: usize) -> Option<f64> {
        Some(self.titan[transport]? / self.yardstick?)
    }

    /// Whether every goal is met that both exists and was measured.
    fn verdict(&self) -> Option<bool> {
        let met = (0..2).filter_map(|transport| {
            Some(match self.row.goals[transport]? {
                Goal::RatioMin(bound) => self.ratio(transport)? >= bound,
                Goal::RatioMax(bound) => self.ratio(transport)? <= bound,
                Goal::BytesMax(bound) => self.titan[transport]? <= bound,
            })
        });
        met.reduce(|all, one| all && one)
    }

    fn cells(&self) -> [String; HEAD.len()] {
        let (scale, unit) = self.row.unit.scale();
        let value = |value: Option<f64>| show(value.map(|value| value / scale));
        let ratio = |transport| {
            self.ratio(transport)
                .map_or_else(dash, |ratio| format!("{ratio:.2}"))
        };
        let verdict = match self.verdict() {
            None => "",
            Some(true) => "ok",
            Some(false) => "short",
        };
        [
            self.row.title.to_owned(),
            unit.to_owned(),
            value(self.yardstick),
            value(self.titan[0]),
            ratio(0),
            value(self.titan[1]),
            ratio(1),
            goals(self.row.goals),
            verdict.to_owned(),
        ]
    }
}

fn goals(goals: [Option<Goal>; 2]) -> String {
    if goals.iter().all(Option::is_none) {
        return String::new();
    }
    goals.map(|goal| goal.map_or_else(dash, name)).join(" / ")
}

fn name(goal: Goal) -> String {
    match goal {
        Goal::RatioMin(bound) => format!(">= {bound} x"),
        Goal::RatioMax(bound) => format!("<= {bound} x"),
        Goal::BytesMax(bound) => format!("<= {} KiB", bound / 1024.0),
    }
}

fn show(value: Option<f64>) -> String {
    match value {
        None => dash(),
        Some(value) if value.abs() < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Values;
    use crate::plan::MEASUREMENTS;

    fn outcome(name: &str, key: &str, samples: [&[f64]; 3]) -> Outcome {
        let measurement = MEASUREMENTS
            .iter()
            .find(|measurement| measurement.name == name)
            .unwrap();
        let values = |value: &f64| Values::from([(key.to_owned(), *value)]);
        Outcome {
            measurement,
            rounds: samples.map(|list| list.iter().map(values).collect()),
        }
    }

    #[test]
    fn medians_and_verdicts() {
        let outcomes = [
            outcome(
                "bulk-up-1",
                "bytes_per_second",
                [&[1e9, 3e9, 2e9], &[1.9e9], &[0.9e9]],
            ),
            outcome("memory-session", "bytes", [&[], &[2048.0], &[]]),
        ];
        let table = table(&outcomes);
        let lines = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let lines = lines.collect::<Vec<_>>();
        assert_eq!(
            lines[1],
            "bulk up, 1 stream MB/s 2000 1900 0.95 900 0.45 >= 0.9 x / >= 0.5 x short"
        );
        assert_eq!(
            lines[2],
            "memory per idle session KiB - 2.0 - - - <= 4 KiB / <= 4 KiB ok"
        );
        assert_eq!(json(&outcomes)[0]["ws_ratio"], Value::Null);
        assert_eq!(json(&outcomes)[0]["figures"][0]["ws_ratio"], json!(0.95));
    }
}
