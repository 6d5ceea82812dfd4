//! The chart of the experiment on early data.

use super::row::{Mode, Row};
use plotters::coord::Shift;
use plotters::prelude::*;

type Error = Box<dyn core::error::Error>;

const WIDTH: u32 = 760;
const HEIGHT: u32 = 620;

const fn color(mode: Mode) -> RGBColor {
    match mode {
        Mode::Classic => RGBColor(192, 57, 43),
        Mode::Truthful => RGBColor(125, 60, 152),
        Mode::Fast => RGBColor(31, 119, 180),
        Mode::Eager => RGBColor(39, 135, 80),
    }
}

/// Draws rows in which only the path from POP to edge differs.
pub(super) fn draw(rows: &[Row]) -> Result<String, Error> {
    let mut out = String::new();
    {
        let root = SVGBackend::with_string(&mut out, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        let (times, savings) = root.split_vertically(370);
        draw_times(&times, rows)?;
        draw_savings(&savings, rows)?;
        root.present()?;
    }
    Ok(out)
}

fn span(rows: &[Row]) -> core::ops::Range<f64> {
    0.0..rows.last().map_or(1.0, |row| row.delays.b as f64)
}

fn draw_times(area: &DrawingArea<SVGBackend<'_>, Shift>, rows: &[Row]) -> Result<(), Error> {
    let highest = rows.iter().flat_map(|row| row.took).fold(1.0, f64::max);
    let caption = match rows.first() {
        Some(row) => format!(
            "Time to the first byte (client–POP {} ms, edge–target {} ms, name {} ms)",
            row.delays.a, row.delays.c, row.delays.d
        ),
        None => "Time to the first byte".to_owned(),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(span(rows), 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("round trip between POP and edge, ms")
        .y_desc("ms")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for mode in Mode::ALL {
        let color = color(mode);
        let formula = rows
            .iter()
            .map(|row| (row.delays.b as f64, mode.formula(row.delays) as f64));
        chart
            .draw_series(LineSeries::new(formula, color.stroke_width(2)))?
            .label(mode.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        let points = rows.iter().map(|row| {
            let at = (row.delays.b as f64, row.of(mode));
            Circle::new(at, 3, color.filled())
        });
        chart.draw_series(points)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

fn draw_savings(area: &DrawingArea<SVGBackend<'_>, Shift>, rows: &[Row]) -> Result<(), Error> {
    let mut chart = ChartBuilder::on(area)
        .caption("What fast mode saves", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(span(rows), 0.0..60.0)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("round trip between POP and edge, ms")
        .y_desc("per cent")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for than in [Mode::Classic, Mode::Truthful] {
        let color = color(than);
        let line = rows.iter().map(|row| {
            let saved = row.saves(Mode::Fast, than) * 100.0;
            (row.delays.b as f64, saved)
        });
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(format!("of {}", than.name()))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}
