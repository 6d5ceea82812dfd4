//! The tables for people and the JSON for programs.

use serde_json::{Value, json};

use crate::measure::Outcome;
use crate::plan::{Goal, Row};
use crate::system::{Builds, Kind};

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

const COMPARED_HEAD: [&str; 8] = [
    "",
    "unit",
    "titan ws",
    "other ws",
    "ws/other",
    "titan wss",
    "other wss",
    "wss/other",
];

/// Lays out all outcomes beside the yardstick as one plain table.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    lay_out(HEAD, &[0, 1, 7, 8], outcomes, |figures| figures.cells())
}

/// Lays out all outcomes beside those of the daemons that are compared with.
pub(crate) fn comparison(outcomes: &[Outcome]) -> String {
    lay_out(COMPARED_HEAD, &[0, 1], outcomes, |figures| {
        figures.compared_cells()
    })
}

fn lay_out<const N: usize>(
    head: [&str; N],
    words: &[usize],
    outcomes: &[Outcome],
    cells: impl Fn(&Figures<'_>) -> [String; N],
) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    for outcome in outcomes {
        let rows = outcome.measurement.rows.iter();
        lines.extend(rows.map(|row| cells(&Figures::new(outcome, row))));
    }
    let widths: [usize; N] = std::array::from_fn(|column| {
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
                if words.contains(&column) {
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

/// Gives all medians, ratios and rounds in base units (bytes, seconds), and which daemons they are of.
pub(crate) fn json(outcomes: &[Outcome], builds: &Builds) -> Value {
    json!({
        "build": builds.own,
        "against": builds.other,
        "measurements": outcomes.iter().map(measurement).collect::<Value>(),
    })
}

fn measurement(outcome: &Outcome) -> Value {
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
            "other_ws": figures.other[0],
            "ws_to_other": figures.to_other(0),
            "other_wss": figures.other[1],
            "wss_to_other": figures.to_other(1),
        })
    });
    let rounds = Kind::ALL.map(|kind| {
        (
            kind.name().replace(' ', "_"),
            json!(outcome.rounds[kind.index()]),
        )
    });
    json!({
        "name": outcome.measurement.name,
        "figures": figures.collect::<Value>(),
        "rounds": rounds.into_iter().collect::<Value>(),
    })
}

/// The medians of one row.
struct Figures<'a> {
    row: &'a Row,
    yardstick: Option<f64>,
    titan: [Option<f64>; 2],
    other: [Option<f64>; 2],
}

impl<'a> Figures<'a> {
    fn new(outcome: &Outcome, row: &'a Row) -> Self {
        let median = |kind| outcome.median(kind, row.key);
        Self {
            row,
            yardstick: median(Kind::Yardstick),
            titan: [median(Kind::Ws), median(Kind::Wss)],
            other: [median(Kind::OtherWs), median(Kind::OtherWss)],
        }
    }

    fn ratio(&self, transport: usize) -> Option<f64> {
        Some(self.titan[transport]? / self.yardstick?)
    }

    fn to_other(&self, transport: usize) -> Option<f64> {
        Some(self.titan[transport]? / self.other[transport]?)
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
        let value = |value| self.show(value);
        let verdict = match self.verdict() {
            None => "",
            Some(true) => "ok",
            Some(false) => "short",
        };
        [
            self.row.title.to_owned(),
            self.row.unit.scale().1.to_owned(),
            value(self.yardstick),
            value(self.titan[0]),
            show_ratio(self.ratio(0)),
            value(self.titan[1]),
            show_ratio(self.ratio(1)),
            goals(self.row.goals),
            verdict.to_owned(),
        ]
    }

    fn compared_cells(&self) -> [String; COMPARED_HEAD.len()] {
        [
            self.row.title.to_owned(),
            self.row.unit.scale().1.to_owned(),
            self.show(self.titan[0]),
            self.show(self.other[0]),
            show_ratio(self.to_other(0)),
            self.show(self.titan[1]),
            self.show(self.other[1]),
            show_ratio(self.to_other(1)),
        ]
    }

    fn show(&self, value: Option<f64>) -> String {
        let (scale, _) = self.row.unit.scale();
        match value.map(|value| value / scale) {
            None => dash(),
            Some(value) if value.abs() < 10.0 => format!("{value:.2}"),
            Some(value) if value.abs() < 100.0 => format!("{value:.1}"),
            Some(value) => format!("{value:.0}"),
        }
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

fn show_ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(dash, |ratio| format!("{ratio:.2}"))
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Values;
    use crate::plan::{MEASUREMENTS, PROCESSORS_EACH};

    fn outcome(name: &str, key: &str, samples: [&[f64]; 5]) -> Outcome {
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
                [&[1e9, 3e9, 2e9], &[1.9e9], &[0.9e9], &[], &[]],
            ),
            outcome("memory-session", "bytes", [&[], &[2048.0], &[], &[], &[]]),
        ];
        let lines = words(&table(&outcomes));
        assert_eq!(
            lines[1],
            "bulk up, 1 stream MB/s 2000 1900 0.95 900 0.45 >= 0.9 x / >= 0.5 x short"
        );
        assert_eq!(
            lines[3],
            "memory per idle session KiB - 2.00 - - - <= 4 KiB / <= 4 KiB ok"
        );
        let document = json(&outcomes, &Builds::default());
        let measurements = &document["measurements"];
        assert_eq!(document["against"], Value::Null);
        assert_eq!(measurements[1]["figures"][0]["ws_ratio"], Value::Null);
        assert_eq!(measurements[0]["figures"][0]["ws_ratio"], json!(0.95));
    }

    #[test]
    fn two_builds_are_compared_by_medians() {
        let key = PROCESSORS_EACH;
        let (ours, others) = ([0.97e-9, 0.5e-9, 9e-9], [1e-9]);
        let samples: [&[f64]; 5] = [&[], &ours, &[], &others, &[2e-9]];
        let outcomes = [outcome("bulk-down-1", key, samples)];
        let lines = words(&comparison(&outcomes));
        assert_eq!(
            lines[2],
            "CPU per GB down, 1 stream s/GB 0.97 1.00 0.97 - 2.00 -"
        );
        let builds = Builds {
            own: "new".into(),
            other: Some("old".into()),
        };
        let document = json(&outcomes, &builds);
        assert_eq!(document["build"], json!("new"));
        assert_eq!(document["against"], json!("old"));
        let figures = &document["measurements"][0]["figures"][1];
        assert_eq!(figures["ws_to_other"], json!(0.97e-9 / 1e-9));
        assert_eq!(figures["wss_to_other"], Value::Null);
        let rounds = &document["measurements"][0]["rounds"];
        assert_eq!(rounds["other_wss"][0][key], json!(2e-9));
    }

    /// The lines of a table with single spaces.
    fn words(table: &str) -> Vec<String> {
        let lines = table.lines();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.map(words).collect()
    }
}
