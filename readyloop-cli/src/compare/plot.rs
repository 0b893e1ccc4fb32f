//! Throughput over the number of idle sessions, a line for each way to wait, as SVG.

use plotters::prelude::*;

use super::{Measured, Point, name};

const SIZE: (u32, u32) = (900, 480);
const COLORS: [RGBColor; 4] =
    [RGBColor(190, 80, 60), RGBColor(214, 153, 40), RGBColor(47, 97, 152), RGBColor(60, 150, 110)];

/// Draws. The numbers of idle sessions stand side by side, however far apart they are.
///
/// # Errors
/// When it cannot be drawn, in words.
pub fn draw(active: u32, all: &[(Point, Measured)]) -> Result<String, String> {
    let mut svg = String::new();
    draw_into(&mut svg, active, all).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn draw_into(
    svg: &mut String,
    active: u32,
    all: &[(Point, Measured)],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut idle: Vec<u32> = all.iter().map(|(point, _)| point.idle).collect();
    idle.dedup();
    let mut names: Vec<String> = Vec::new();
    for (point, _) in all {
        let name = name(point);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let place =
        |point: &Point| idle.iter().position(|each| *each == point.idle).unwrap_or(0) as f64;
    let highest = all.iter().map(|(_, measured)| measured.throughput).fold(1.0, f64::max);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let last = idle.len().saturating_sub(1) as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{active} busy sessions beside idle ones"), ("sans-serif", 18))
        .margin(16)
        .margin_right(48)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(-0.1..last + 0.1, 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .x_labels(idle.len())
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_desc("idle sessions")
        .y_desc("messages/s")
        .x_label_formatter(&|at| label(&idle, *at))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (nth, each) in names.iter().enumerate() {
        let color = COLORS[nth % COLORS.len()];
        let of_it = || all.iter().filter(|(point, _)| name(point) == *each);
        let points = || of_it().map(|(point, measured)| (place(point), measured.throughput));
        let line = chart.draw_series(LineSeries::new(points(), color.stroke_width(2)))?;
        line.label(each)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(points().map(|at| Circle::new(at, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .label_font(("sans-serif", 13))
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    area.present()?;
    Ok(())
}

/// The number of idle sessions at a place on the axis, if there is one.
fn label(idle: &[u32], at: f64) -> String {
    let nearest = at.round();
    match idle.get(nearest as usize) {
        Some(count) if (at - nearest).abs() < 0.01 && nearest >= 0.0 => count.to_string(),
        _ => String::new(),
    }
}
