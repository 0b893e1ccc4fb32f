//! The latency curve by percentile, as SVG.

use plotters::prelude::*;

use super::report::{Report, spelled};

/// How many nines are shown: up to 99.999 %.
const NINES: f64 = 5.0;
const SIZE: (u32, u32) = (900, 480);

/// Draws: the share of answers on an axis on which each further nine has the same room, and the time
/// that they took at most.
///
/// # Errors
/// When it cannot be drawn, in words.
pub fn draw(report: &Report) -> Result<String, String> {
    let mut svg = String::new();
    draw_into(&mut svg, report).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn draw_into(svg: &mut String, report: &Report) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let points: Vec<(f64, f64)> = (0..=500)
        .map(|step| NINES * f64::from(step) / 500.0)
        .filter_map(|nines| Some((nines, report.percentile(percent(nines))? as f64)))
        .collect();
    let highest = points.iter().map(|(_, nanos)| *nanos).fold(1_000.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .caption(&report.what, ("sans-serif", 18))
        .margin(16)
        .margin_right(48)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..NINES, 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .x_labels(6)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_desc("answers")
        .y_desc("latency, at most")
        .x_label_formatter(&|nines| format!("{} %", trimmed(percent(*nines))))
        .y_label_formatter(&|nanos| spelled(*nanos as u64))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let color = RGBColor(47, 97, 152);
    chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
    area.present()?;
    Ok(())
}

/// 0 nines are 0 %, 1 is 90 %, 2 are 99 %.
fn percent(nines: f64) -> f64 {
    100.0 * (1.0 - 10f64.powf(-nines))
}

fn trimmed(percent: f64) -> String {
    let text = format!("{percent:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::report;

    #[test]
    fn the_curve_is_drawn_with_its_labels() {
        let svg = draw(&report()).unwrap();
        for words in ["<svg ", "<polyline ", "99.9 %", " ms"] {
            assert!(svg.contains(words), "no {words}");
        }
    }
}
