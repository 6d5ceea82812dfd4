//! Answers as people read them.

use super::values::time_text;
use core::fmt;
use serde_json::Value;

/// Rows of texts under a head, in columns.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// How a column is filled: its head and the member it shows.
pub(super) type Column = (&'static str, &'static str, Kind);

/// How a member is written.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// As it is; `-` if it is not there.
    Plain,
    /// Unix seconds as a date.
    Time,
    /// Bytes with a unit.
    Bytes,
    /// Bytes per second with a unit.
    Rate,
}

impl Table {
    /// One row for each item of a list.
    pub(super) fn list(items: &Value, columns: &[Column]) -> Self {
        let items = items.as_array().map_or(&[][..], Vec::as_slice);
        let row = |item: &Value| {
            let cell = |(_, member, kind): &Column| cell(member_of(item, member), *kind);
            columns.iter().map(cell).collect()
        };
        Self {
            head: columns.iter().map(|(head, ..)| *head).collect(),
            rows: items.iter().map(row).collect(),
        }
    }

    /// One row for each member of one thing.
    pub(super) fn one(item: &Value, columns: &[Column]) -> Self {
        let row = |(head, member, kind): &Column| {
            vec![(*head).to_owned(), cell(member_of(item, member), *kind)]
        };
        Self {
            head: Vec::new(),
            rows: columns.iter().map(row).collect(),
        }
    }
}

/// The member at a path such as `route/mode`.
fn member_of<'a>(item: &'a Value, path: &str) -> &'a Value {
    item.pointer(&format!("/{path}")).unwrap_or(&Value::Null)
}

fn cell(value: &Value, kind: Kind) -> String {
    match (value, kind) {
        (Value::Null, _) => "-".to_owned(),
        // What others wrote must not command the terminal.
        (Value::String(text), _) => text.chars().filter(|one| !one.is_control()).collect(),
        (Value::Number(number), Kind::Time) => {
            number.as_u64().map_or_else(|| "-".to_owned(), time_text)
        }
        (Value::Number(number), Kind::Bytes) => amount(number.as_f64().unwrap_or(0.0), ""),
        (Value::Number(number), Kind::Rate) => amount(number.as_f64().unwrap_or(0.0), "/s"),
        (Value::Array(items), _) if items.is_empty() => "-".to_owned(),
        (Value::Array(items), kind) => {
            let items: Vec<_> = items.iter().map(|item| cell(item, kind)).collect();
            items.join(", ")
        }
        (other, _) => other.to_string(),
    }
}

fn amount(bytes: f64, per: &str) -> String {
    let (mut value, mut unit) = (bytes, "B");
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 1_000.0 {
            break;
        }
        (value, unit) = (value / 1_000.0, larger);
    }
    let digits = usize::from(unit != "B");
    format!("{value:.digits$} {unit}{per}")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<String> = self.head.iter().map(|text| (*text).to_owned()).collect();
        let rows = [head].into_iter().filter(|head| !head.is_empty());
        let rows: Vec<_> = rows.chain(self.rows.iter().cloned()).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = rows.iter().filter_map(|row: &Vec<String>| row.get(column));
            cells
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_nothing_commands_the_terminal() {
        let items = json!([
            { "id": "a", "n": 1_500_000, "deep": { "x": true } },
            { "id": "long\u{1b}[31m", "n": null },
        ]);
        let table = Table::list(
            &items,
            &[
                ("ID", "id", Kind::Plain),
                ("SIZE", "n", Kind::Bytes),
                ("X", "deep/x", Kind::Plain),
            ],
        );
        assert_eq!(
            table.to_string(),
            "ID        SIZE    X\na         1.5 MB  true\nlong[31m  -       -\n"
        );
    }
}
